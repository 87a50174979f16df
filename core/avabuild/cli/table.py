"""Tables: of the images of a run, a row for each as a platform lists its images, and of anything else."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avabuild.cli.units import human
from avabuild.images.columns import OWN, split

if TYPE_CHECKING:
    from avabuild.plan.plan import Plan
    from avabuild.resolve.lock import Package
from collections.abc import Collection

HEAD = ("image", "Python", "SDK", "JupyterLab", "device", "framework", "size", "seconds", "state")
_RIGHT = ("size", "seconds")
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One image: what it holds, as `about` says it, and what became of it."""

    image: str
    about: Mapping[str, object]
    state: str
    size: int = 0
    seconds: float | None = None


def about(plan: Plan, packages: Iterable[Package] = ()) -> dict[str, str]:
    """Return the columns that say what an image holds; `packages` tell whole versions."""
    whole = {package.name: package.version for package in packages if package.name in OWN.values()}
    own, others = split({chosen.name: chosen.series for chosen in plan.frameworks} | whole)
    return {
        "python": plan.target.python or NOTHING,
        **{column: version or NOTHING for column, version in own.items()},
        "device": str(plan.target.device),
        "framework": ", ".join(f"{name} {number}" for name, number in others.items()) or NOTHING,
    }


def unchanged(image: Mapping[str, Any]) -> Row:
    """Return the row of an image for which nothing was to do, as it was remembered."""
    return Row(str(image["reference"]).removeprefix("localhost/"), image, "unchanged", int(image["size"]))


def lines_of(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the table's lines, columns apart by two spaces."""
    yield from grid(HEAD, map(_cells, rows), _RIGHT)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], right: Container[str] = ()) -> Iterator[str]:
    """Yield the lines of a table under `head`; columns named in `right` are numbers."""
    yield from aligned([head, *rows], right=[at for at, name in enumerate(head) if name in right])


def _cells(row: Row) -> tuple[str, ...]:
    said = [
        str(row.about.get(name, NOTHING)) for name in ("python", "sdk", "jupyterlab", "device", "framework")
    ]
    seconds = NOTHING if row.seconds is None else f"{row.seconds:.1f}"
    return (row.image, *said, human(row.size) if row.size else NOTHING, seconds, row.state)


# -- columns: rows of texts as lines, each column as wide as its widest text ---------------------------------


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> Iterator[str]:
    """Yield a line per row, columns apart by two spaces; those in `right` end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            text.rjust(width) if number in right else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()
