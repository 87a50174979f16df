"""Arranging resolved wheels into file layers: which share one, in what order, under which key. Pure.

Big wheels get a layer each, so that a new version of one moves nothing else, and very big ones several, so
that making, importing and pulling them can overlap; small ones share, those of a framework with each other.
The image storage extracts anew everything above the first layer that differs, so what many images have in
common is lowest: pip, frameworks that are the same for every device, the others, the recipe's own packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from avabuild.common.value import Value, digest_of
from avabuild.layer.bytecode import FORMAT as BYTECODE
from avabuild.layer.standing import Standing
from avabuild.layer.wheel import FORMAT, Scheme
from avabuild.resolve.lock import Package

HEAVY = 20_000_000  # bytes of a wheel
PART = 130_000_000  # bytes of a wheel for each layer that it gets
MOST_LAYERS = 40
_MOST_HEAVY = 16
_MOST_PARTS = 4
_MOST_GROUPS = 8
_OWN = "avabuild"  # who asks for pip

Parts = tuple[tuple[str, str], ...]
Kind = Literal["venv", "wheels", "bytecode"]


class FileLayer(Value):
    """One layer made without a container.

    Attributes:
        kind: the environment's skeleton, wheels, or the bytecode of wheels.
        name: what a person is shown.
        packages: whose wheels it holds, in the order in which they are written.
        origins: who asked for it: frameworks, `recipe`, or `avabuild` itself.
        part: which of how many layers a wheel's files were dealt to.
        parts: the named inputs of its key, to tell which one changed.
        key: digest of the parts.
    """

    kind: Kind
    name: str
    packages: tuple[Package, ...] = ()
    origins: tuple[str, ...] = ()
    part: tuple[int, int] = (0, 1)
    parts: Parts
    key: str

    @property
    def download(self) -> int:
        """Bytes of the packages' files."""
        return sum(package.size for package in self.packages) // self.part[1] if self.kind == "wheels" else 0


class Group(Value):
    """Packages whose layers stand together: what `origins` need and no group below has."""

    title: str
    origins: tuple[str, ...]
    packages: tuple[Package, ...]


def arrange(
    packages: Sequence[Package],
    wheels: Mapping[str, str],
    scheme: Scheme,
    interpreter: str,
    *,
    common: Sequence[str] = (),
    frameworks: Sequence[str] = (),
    bytecode: bool,
    compression: str,
    room: int = MOST_LAYERS,
    compiled_by: str = "",
    standing: Standing = Standing(),  # noqa: B008 - a frozen value
) -> tuple[FileLayer, ...]:
    """Return the file layers of `packages`, lowest first.

    `wheels` gives, by package name, the sha256 of the wheel where it isn't the package's own file (those
    built from source). `frameworks` is the order of their groups, but for those in `common`, which are
    lowest. `room` is how many layers there may be; groups and heavy wheels share when there are more.
    `compiled_by` tells the image's interpreter from others of its version; empty where all can be trusted.
    `standing` is how the base's directories are.
    """
    inputs = (
        ("format", str(FORMAT)),
        ("scheme", digest_of(scheme.identity)),
        ("compression", compression),
        *standing.parts,
    )
    most = max(1, min(_MOST_GROUPS, (room - 3) // 4))
    groups = grouped(packages, common, frameworks, most)
    own = [package for package in packages if not package.by]
    limit = max(0, min(_MOST_HEAVY, (room - 1 - 2 * (len(groups) + 1)) // 2))
    counts = _heavy([p for group in groups for p in group.packages], limit) | _heavy(own, limit)
    if own:
        groups = (*groups, Group(title="packages", origins=("recipe",), packages=tuple(own)))
    own_parts = (*inputs, ("interpreter", interpreter), *((("sudo", "yes"),) if standing.sudo else ()))
    layers = [_keyed("venv", "python environment", (), own_parts)]
    for group in groups:
        layers += _layers(group, counts, wheels, scheme, inputs, bytecode=bytecode, compiled_by=compiled_by)
    return tuple(layers)


def grouped(
    packages: Sequence[Package], common: Sequence[str], frameworks: Sequence[str], most: int
) -> tuple[Group, ...]:
    """Return what the frameworks need as `most` groups or fewer, lowest first.

    Which packages a group holds, and what is below it, depends on no framework above it: the groups of two
    images are the same up to the first framework that only one of them has.
    """
    needed: dict[str, list[Package]] = {}
    for package in packages:
        for name in package.by:
            needed.setdefault(name, []).append(package)
    places = {name: place for place, name in enumerate(frameworks)}
    order = sorted(
        needed,
        key=lambda name: (
            (0, 0, name)
            if name == _OWN
            else (1, -len(needed[name]), name)
            if name in common
            else (2, places.get(name, len(places)), name)
        ),
    )
    groups: list[Group] = []
    taken: set[str] = set()
    for name in order:
        if left := tuple(package for package in needed[name] if package.name not in taken):
            groups.append(Group(title="pip" if name == _OWN else name, origins=(name,), packages=left))
            taken |= {package.name for package in left}
    if len(groups) <= most:
        return tuple(groups)
    rest = groups[most - 1 :]
    merged = Group(
        title="frameworks" if most == 1 else "other frameworks",
        origins=tuple(origin for group in rest for origin in group.origins),
        packages=tuple(package for group in rest for package in group.packages),
    )
    return (*groups[: most - 1], merged)


def _heavy(packages: Sequence[Package], limit: int) -> dict[str, int]:
    """Return how many layers each heavy wheel gets, `limit` in all, the heaviest first."""
    heavy = sorted((package for package in packages if package.size >= HEAVY), key=_weight)[:limit]
    spare = limit - len(heavy)
    counts: dict[str, int] = {}
    for package in heavy:
        counts[package.name] = min(_MOST_PARTS, 1 + spare, max(1, round(package.size / PART)))
        spare -= counts[package.name] - 1
    return counts


def _layers(
    group: Group,
    counts: Mapping[str, int],
    wheels: Mapping[str, str],
    scheme: Scheme,
    inputs: Parts,
    *,
    bytecode: bool,
    compiled_by: str,
) -> list[FileLayer]:
    """Return the layers of one group: heavy wheels, the light ones together, the bytecode of both."""
    heavy = sorted((p for p in group.packages if p.name in counts), key=_weight)
    light = sorted((p for p in group.packages if p.name not in counts), key=lambda p: p.name)
    made = [layer for p in heavy for layer in _dealt(p, counts[p.name], wheels, inputs)]
    if light:
        made.append(_wheels(f"wheels of {group.title}", tuple(light), wheels, inputs))
    if bytecode:
        hashes = (
            *inputs,
            ("python", scheme.python),
            ("worker", str(BYTECODE)),
            *((("interpreter", compiled_by),) if compiled_by else ()),
            *_hashes((*heavy, *light), wheels),
        )
        made.append(_keyed("bytecode", f"bytecode of {group.title}", (*heavy, *light), hashes))
    return [layer.model_copy(update={"origins": group.origins}) for layer in made]


def _wheels(name: str, packages: tuple[Package, ...], wheels: Mapping[str, str], inputs: Parts) -> FileLayer:
    return _keyed("wheels", name, packages, (*inputs, *_hashes(packages, wheels), *_direct(packages)))


def _dealt(package: Package, count: int, wheels: Mapping[str, str], inputs: Parts) -> list[FileLayer]:
    """Return the `count` layers of one wheel."""
    if count == 1:
        return [_wheels(package.name, (package,), wheels, inputs)]
    made = []
    for index in range(count):
        name = f"{package.name} {index + 1}/{count}"
        layer = _wheels(name, (package,), wheels, (*inputs, ("part", f"{index}/{count}")))
        made.append(layer.model_copy(update={"part": (index, count)}))
    return made


def _hashes(packages: Sequence[Package], wheels: Mapping[str, str]) -> Parts:
    return tuple((package.name, wheels.get(package.name) or package.sha256) for package in packages)


def _direct(packages: Sequence[Package]) -> Parts:
    """Return what the layer says of packages that come from no index."""
    return tuple((f"{package.name} is from", package.direct) for package in packages if package.direct)


def _keyed(kind: Kind, name: str, packages: tuple[Package, ...], parts: Parts) -> FileLayer:
    return FileLayer(kind=kind, name=name, packages=packages, parts=parts, key=digest_of([kind, parts]))


def _weight(package: Package) -> tuple[int, str]:
    """Heavy first, by powers of two: a version that is a little bigger doesn't change places."""
    return (-package.size.bit_length(), package.name)
