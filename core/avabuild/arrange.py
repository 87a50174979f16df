"""Arranging resolved wheels into file layers: which share one, in what order, under which key. Pure.

Big wheels get a layer each, so that a new version of one moves nothing else, and very big ones several, so
that making, importing and pulling them can overlap; small ones share. The order
is stable, heavy first, frameworks below the recipe's own packages: the image storage extracts anew
everything above the first layer that differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from avabuild.bytecode import FORMAT as BYTECODE
from avabuild.lock import Package
from avabuild.value import Value, digest_of
from avabuild.wheel import FORMAT, Scheme

HEAVY = 20_000_000  # bytes of a wheel
PART = 130_000_000  # bytes of a wheel for each layer that it gets
MOST_LAYERS = 40
_MOST_HEAVY = 16
_MOST_PARTS = 4


class FileLayer(Value):
    """One layer made without a container.

    Attributes:
        kind: the environment's skeleton, wheels, or the bytecode of wheels.
        name: what a person is shown.
        packages: whose wheels it holds, in the order in which they are written.
        part: which of how many layers a wheel's files were dealt to.
        parts: the named inputs of its key, to tell which one changed.
        key: digest of the parts.
    """

    kind: Literal["venv", "wheels", "bytecode"]
    name: str
    packages: tuple[Package, ...] = ()
    part: tuple[int, int] = (0, 1)
    parts: tuple[tuple[str, str], ...]
    key: str

    @property
    def download(self) -> int:
        """Bytes of the packages' files."""
        return sum(package.size for package in self.packages) // self.part[1] if self.kind == "wheels" else 0


def arrange(
    packages: Sequence[Package],
    wheels: Mapping[str, str],
    scheme: Scheme,
    interpreter: str,
    *,
    bytecode: bool,
    compression: str,
    room: int = MOST_LAYERS,
) -> tuple[FileLayer, ...]:
    """Return the file layers of `packages`, lowest first.

    `wheels` gives, by package name, the sha256 of the wheel where it isn't the package's own file (those
    built from source). `room` is how many layers there may be; heavy wheels share when there are more.
    """
    common = (
        ("format", str(FORMAT)),
        ("scheme", digest_of(scheme.identity)),
        ("compression", compression),
    )
    layers = [_keyed("venv", "python environment", (), (*common, ("interpreter", interpreter)))]
    for extra, title in ((False, "frameworks"), (True, "packages")):
        group = [package for package in packages if package.extra is extra]
        heavy = sorted((p for p in group if p.size >= HEAVY), key=_weight)[
            : max(0, min(_MOST_HEAVY, room // 2 - 3))
        ]
        light = sorted((p for p in group if p not in heavy), key=lambda p: p.name)
        spare = max(0, min(_MOST_HEAVY, room // 2 - 3)) - len(heavy)
        for package in heavy:
            count = min(_MOST_PARTS, 1 + spare, max(1, round(package.size / PART)))
            spare -= count - 1
            layers += _dealt(package, count, wheels, common)
        if light:
            layers.append(_wheels(f"wheels of {title}", tuple(light), wheels, common))
        if bytecode and group:
            hashes = (
                *common,
                ("python", scheme.python),
                ("worker", str(BYTECODE)),
                *_hashes((*heavy, *light), wheels),
            )
            layers.append(_keyed("bytecode", f"bytecode of {title}", (*heavy, *light), hashes))
    return tuple(layers)


def _wheels(
    name: str, packages: tuple[Package, ...], wheels: Mapping[str, str], common: tuple[tuple[str, str], ...]
) -> FileLayer:
    return _keyed("wheels", name, packages, (*common, *_hashes(packages, wheels)))


def _dealt(
    package: Package, count: int, wheels: Mapping[str, str], common: tuple[tuple[str, str], ...]
) -> list[FileLayer]:
    """Return the `count` layers of one wheel."""
    if count == 1:
        return [_wheels(package.name, (package,), wheels, common)]
    made = []
    for index in range(count):
        name = f"{package.name} {index + 1}/{count}"
        layer = _wheels(name, (package,), wheels, (*common, ("part", f"{index}/{count}")))
        made.append(layer.model_copy(update={"part": (index, count)}))
    return made


def _hashes(packages: Sequence[Package], wheels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((package.name, wheels.get(package.name) or package.sha256) for package in packages)


def _keyed(
    kind: Literal["venv", "wheels", "bytecode"],
    name: str,
    packages: tuple[Package, ...],
    parts: tuple[tuple[str, str], ...],
) -> FileLayer:
    return FileLayer(kind=kind, name=name, packages=packages, parts=parts, key=digest_of([kind, parts]))


def _weight(package: Package) -> tuple[int, str]:
    """Heavy first, by powers of two: a version that is a little bigger doesn't change places."""
    return (-package.size.bit_length(), package.name)
