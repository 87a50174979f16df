"""Names of packages, looked up in the distribution's own index before anything is installed or made.

The index is what APT fetched for an earlier build on the base, what a mirror has, or this host's own where
that is of the same release. Where there is none, APT itself tells, later.
"""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from avabuild.common.errors import ResolveError
from avabuild.common.tars import passing
from avabuild.common.value import digest_of
from avabuild.engine.exec.apt_run import kept_lists
from avabuild.engine.mirror_index import NO_INDEX, read
from avabuild.host.host import Host
from avabuild.layer.base import Base
from avabuild.layer.facts import READ_AT_MOST, is_debian
from avabuild.layer.merged import Merged, is_whiteout, plain
from avabuild.plan.plan import Plan
from avabuild.plugins.kinds import Apt
from avabuild.plugins.target import Target
from avabuild.resolve.lock import AptLock
from avabuild.store import Store
from avabuild.store.whole import write_whole

DAY = 86400  # seconds for which an index is taken as it is
_FIELD = re.compile(rb"^(Package|Provides): (.+)$", re.MULTILINE)
_LINE = re.compile(r"^deb (?:\[[^\]]*\] )?(\S+) (\S+) (.+)$", re.MULTILINE)
_HELPER = Path("/usr/lib/apt/apt-helper")
_HOST_LISTS = Path("/var/lib/apt/lists")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Names:
    """What an index lists: `packages`, who provides each virtual one, and whether it is `old`."""

    packages: frozenset[str]
    providers: Mapping[str, tuple[str, ...]]
    old: bool = False

    def unknown(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Return a line for each of `wanted` that has no package of its name, with what could be meant."""
        lines = []
        for text in wanted:
            name = re.split(r"[=/]", text, maxsplit=1)[0]
            if name in self.packages:
                continue
            providers = self.providers.get(name, ())
            if len(providers) == 1:  # which APT takes by itself
                continue
            if providers:
                lines.append(f"{name} is virtual: name one that provides it, {_listed(providers)}")
            else:
                near = self._near(name)
                lines.append(
                    f"{name}: there is no such package" + (f"; near it: {_listed(near)}" if near else "")
                )
        return tuple(lines)

    def _near(self, name: str) -> list[str]:
        alike = [one for one in self.packages if one[:1] == name[:1] and abs(len(one) - len(name)) <= 4]
        begins = [one for one in self.packages if name in {one.rstrip("0123456789.-"), f"{one}s"}]
        close = difflib.get_close_matches(name, sorted(alike), _SHOWN, 0.75)
        return list(dict.fromkeys([*close, *sorted(begins)]))[:_SHOWN]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def parse(texts: Iterable[bytes]) -> Names:
    """Read `Packages` files (Debian Policy, 5.3), whole ones or in pieces of whole lines."""
    packages: set[str] = set()
    providers: dict[str, set[str]] = {}
    package = ""  # the texts may be pieces of one file
    for text in texts:
        for field, value in _FIELD.findall(text):
            if field == b"Package":
                package = value.decode().strip()
                packages.add(package)
                continue
            for one in value.decode().split(","):
                providers.setdefault(one.split("(")[0].strip(), set()).add(package)
    return Names(frozenset(packages), {name: tuple(sorted(by)) for name, by in providers.items()})


def looked_up(plan: Plan, locks: Sequence[AptLock]) -> tuple[Apt, ...]:
    """Return what is installed and named by anybody but avabuild itself, and not in `locks`.

    Where a step on the bare base may add sources of packages, nothing is known before it has run.
    """
    if plan.system:
        return ()
    known = {lock.packages for lock in locks}
    steps = (step for step in plan.apt_steps if set(step.origins) != {"avabuild"})
    return tuple(step.layer for step in steps if step.layer.packages not in known)


def refuse_unknown(names: Names | None, wanted: Sequence[str], distribution: str) -> None:
    """Raise ResolveError for all of `wanted` that the index does not have."""
    if names and (lines := names.unknown(wanted)):
        words = "\n".join(f"  {line}" for line in lines)
        raise ResolveError(
            f"{distribution} does not have all of the packages that are asked for:\n{words}",
            hint="names under packages.apt are those of the base's distribution; other repositories are "
            "named under packages.repositories",
        )


def names_for(
    store: Store, host: Host, base: Base | None, target: Target, apt: Apt, mirror: str
) -> Names | None:
    """Return what can be installed by `apt`, None where no index is at hand; a mirror is asked once a day.

    Args:
        store: keeps indexes.
        host: whose proxies and certificates are used.
        base: when it is here.
        target: whose distribution and machine.
        apt: what is asked for; of other repositories only what APT fetched is known.
        mirror: the recipe's or the host's own, empty for the base's.
    """
    lists = kept_lists(store, base.digest, apt.repositories) if base else ()
    known = _of_files(store, lists) if lists else None
    if (known and not known.old) or apt.repositories:
        return known
    found = [_of_mirror(store, host, address) for address in _addresses(store, base, target, mirror)]
    whole = [names for names in found if names]
    if whole and len(whole) == len(found):
        return _together(whole)
    return known or (_of_host(store, target) if is_debian(target.distribution) else None)


def _together(parts: Sequence[Names]) -> Names:
    """Return what several indexes list."""
    if len(parts) == 1:
        return parts[0]
    virtual = {name for part in parts for name in part.providers}
    by = {name: sorted({one for part in parts for one in part.providers.get(name, ())}) for name in virtual}
    packages = frozenset(name for part in parts for name in part.packages)
    return Names(packages, {name: tuple(found) for name, found in by.items()})


def packages_of(
    store: Store, host: Host, base: Base, target: Target, mirror: str, sonames: Sequence[str]
) -> dict[str, str]:
    """Return the distribution's package of each library that it has; empty where its index is not at hand."""
    triplet = f"{target.arch}-linux-gnu"
    suites = [one.rpartition("/binary-")[0] for one in _addresses(store, base, target, mirror)]
    found: dict[str, str] = {}
    for suite in reversed(suites):  # the release itself comes first in a list of sources, and counts most
        place = _place(store, f"{suite} {triplet}")
        address = f"{suite}/Contents-{target.oci_arch}.gz"
        known = _fresh(place) or _fetched(store, host, address, place, triplet)
        found |= {soname: package for soname, package in known.items() if soname in sonames}
    return found


def _fresh(place: Path) -> dict[str, str]:
    if place.exists() and place.stat().st_mtime > time.time() - DAY:
        return dict(json.loads(place.read_text()))
    return {}


def _fetched(store: Store, host: Host, address: str, place: Path, triplet: str) -> dict[str, str]:
    """Fetch a `Contents` index, and keep which package has which library where loaders look."""
    below = rf"^(?:usr/)?lib/(?:{re.escape(triplet)}/)?(lib[^/\s]+\.so[^/\s]*)\s+\S*?([^/,\s]+)(?:,\S*)?$"
    pattern = re.compile(below.encode(), re.MULTILINE)

    def libraries_of(texts: Iterable[bytes]) -> dict[str, str]:
        return {a.decode(): b.decode() for text in texts for a, b in pattern.findall(text)}

    try:
        libraries = read(host, address, libraries_of)
    except NO_INDEX:
        return {}
    if libraries:
        _put(store, place, libraries)
    return libraries


def _of_files(store: Store, files: Sequence[Path]) -> Names:
    when = max(path.stat().st_mtime for path in files)
    key = digest_of([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])
    place = _place(store, key)
    if not place.exists():
        _keep(store, place, parse(map(_content, files)))
    return _load(place, when < time.time() - DAY)


def _content(path: Path) -> bytes:
    """Return a list's text, which APT may keep compressed; its own helper knows how."""
    if path.name.endswith("_Packages"):
        return path.read_bytes()
    return subprocess.run([_HELPER, "cat-file", path], capture_output=True, check=True).stdout


def _of_host(store: Store, target: Target) -> Names | None:
    """Return this host's own index, where it is of the same release."""
    pattern = f"*_dists_{target.distribution}_main_binary-{target.oci_arch}_Packages*"
    found = sorted(_HOST_LISTS.glob(pattern)) if _HELPER.exists() else []
    try:
        return _of_files(store, found) if found else None
    except (OSError, subprocess.CalledProcessError):
        return None


def _addresses(store: Store, base: Base | None, target: Target, mirror: str) -> list[str]:
    """Return where the `Packages.gz` of the distribution are."""
    below = f"binary-{target.oci_arch}/Packages.gz"
    if mirror:
        return [f"{mirror.rstrip('/')}/dists/{target.distribution}/main/{below}"]
    lines = _LINE.findall(_sources(store, base)) if base else []
    return [
        f"{uri.rstrip('/')}/dists/{suite}/{part}/{below}"
        for uri, suite, parts in lines
        for part in parts.split()
    ]


def _sources(store: Store, base: Base) -> str:
    """Return the base's list of sources, of one line each; empty for one that is said in other ways too."""
    known = store.recall("apt-sources", base.digest)
    if isinstance(known, str):
        return known
    merged: Merged[str | None] = Merged(lambda text: text is None)
    for layer in base.layers:
        merged.add(_of_apt(store.blob_path(layer.digest)))
    found = "" if merged.names("etc/apt/sources.list.d") else merged.get("etc/apt/sources.list") or ""
    store.record("apt-sources", base.digest, found)
    return found


def _of_apt(layer: Path) -> Iterator[tuple[str, str | None]]:
    """Yield what a layer has of APT's configuration, and its whiteouts: text, None for a directory."""
    with passing(layer) as tar:
        for member in tar:
            name = plain(member.name)
            if name in {"etc", "etc/apt"} or name.startswith("etc/apt/") or is_whiteout(name):
                wanted = name == "etc/apt/sources.list" and member.isreg()
                file = tar.extractfile(member) if wanted else None
                text = file.read(READ_AT_MOST).decode(errors="replace") if file else ""
                yield name, None if member.isdir() else text


def _of_mirror(store: Store, host: Host, address: str) -> Names | None:
    place = _place(store, address)
    if place.exists() and place.stat().st_mtime > time.time() - DAY:
        return _load(place, False)  # noqa: FBT003 - of a function that is cached by its arguments
    try:
        names = read(host, address, parse)
    except NO_INDEX:
        return None
    if not names.packages:
        return None
    _keep(store, place, names)
    return _load(place, False)  # noqa: FBT003


def _place(store: Store, what: str) -> Path:
    return store.root / "apt-names" / f"{digest_of([what]).removeprefix('sha256:')[:16]}.json"


def _put(store: Store, place: Path, data: object) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, json.dumps(data).encode(), store.root / "tmp")


def _keep(store: Store, place: Path, names: Names) -> None:
    _put(store, place, {"packages": sorted(names.packages), "providers": dict(names.providers)})
    _load.cache_clear()


@lru_cache(8)
def _load(place: Path, old: bool) -> Names:
    data = json.loads(place.read_text())
    return Names(frozenset(data["packages"]), {k: tuple(v) for k, v in data["providers"].items()}, old)
