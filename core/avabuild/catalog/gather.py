"""From plans, locks and what a registry holds to the entries of a site. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avabuild.catalog.values import Entry, Part, Slice, State, natural
from avabuild.images.columns import split
from avabuild.images.image import Image
from avabuild.plan.labels import exact_version
from avabuild.plan.plan import Plan
from avabuild.plugins.cuda import driver_minimum
from avabuild.plugins.target import Device
from avabuild.resolve.lock import TargetLock
from avabuild.run.forecast import Row
from avabuild.run.image import ImageRun as Planned

_DEBIAN = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}


def entry_of(planned: Planned, rows: Sequence[Row], recipe: str) -> Entry:
    """Return the entry of an image that a recipe makes; `rows` is its forecast, `recipe` the file's name."""
    plan = planned.plan
    lock = planned.starting_lock
    locked = lock if lock and lock.request == plan.request_digest else None
    below = sum(blob.size for blob in planned.base.layers) if planned.base else 0
    base = base_words(plan)
    lowest = (Slice(name=f"base: {base}", size=below),) if base else ()
    slices = (*lowest, *_slices(plan, rows, locked))
    whole = planned.base is not None and all(row.state == "cached" for row in rows)
    state: State = "built" if whole else "planned"
    return Entry(
        name=plan.name,
        tag=plan.tag,
        reference=plan.reference,
        state=state,
        recipe=recipe,
        base=base,
        arch=plan.target.arch,
        ports=_ports(plan.settings.ports),
        slices=slices,
        python_packages=_packages(locked),
        apt_packages=_debs(locked),
        requirements=() if locked else _asked(plan),
        size=sum(one.size for one in slices) if whole else 0,
        **_device(plan.target.python or "", plan.target.device),
        **_frameworks(_versions(plan, locked)),
    )


def base_words(plan: Plan) -> str:
    """Say what the image stands on, never by the mirror or the path it comes from; empty for scratch."""
    written = plan.base.model_dump(mode="json")
    if not isinstance(written, dict):
        return ""
    kind, named = next(iter(written.items()))
    if kind == "debian":
        return f"{_DEBIAN.get(str(named), 'Debian')} ({named})"
    return str(named).rpartition("/")[2] if kind == "archive" else str(named)


def named(held: Image) -> tuple[str, str]:
    """Return name and tag of an image of a registry, as entries have them."""
    name, _, tag = held.reference.rpartition("/")[2].partition(":")
    return name, tag


def published(entry: Entry, held: Image) -> Entry:
    """Return the entry of a recipe's image that is in the registry: what that one holds is what counts."""
    found = unplanned(held)
    alike = (found.frameworks, found.sdk, found.jupyterlab) == (entry.frameworks, entry.sdk, entry.jupyterlab)
    told: dict[str, Any] = {"recipe": entry.recipe, "base": entry.base}
    if (
        alike and held.description.lock is None
    ):  # else the recipe went on since, and its lock speaks of others
        told |= {
            "python_packages": entry.python_packages,
            "apt_packages": entry.apt_packages,
            "requirements": entry.requirements,
        }
    return found.model_copy(update={**told, "slices": _joined(entry.slices, found.slices)})


def unplanned(held: Image) -> Entry:
    """Return the entry of an image in the registry that none of the recipes makes: by what it says itself."""
    name, tag = named(held)
    about = held.description
    arch = str(held.config.get("architecture") or "")
    slices = tuple(Slice(name=one.name, size=one.size or 0, origins=one.origins) for one in about.layers)
    return Entry(
        name=name,
        tag=tag,
        reference=held.reference,
        state="published",
        arch={"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch),
        ports=_ports(sorted((held.config.get("config") or {}).get("ExposedPorts") or ())),
        slices=slices,
        python_packages=_packages(about.lock),
        apt_packages=_debs(about.lock),
        digest=held.digest,
        size=sum(one.size for one in slices),
        **_device(about.python, _parsed(about.device)),
        **_frameworks(about.frameworks),
    )


def _parsed(device: str) -> Device:
    """Return the device that an image names; what can't be read is none."""
    try:
        return Device.parse(device)
    except ValueError:
        return Device()


def _joined(planned: Sequence[Slice], there: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return the layers that are there, with what the plan knows of those of the same name."""
    known = {one.name: one for one in planned}
    return tuple(
        one.model_copy(update={"holds": known[one.name].holds, "origins": known[one.name].origins})
        if one.name in known
        else one
        for one in there
    )


def _ports(written: Sequence[str]) -> tuple[str, ...]:
    """Return ports as `podman run -p` takes them; tcp goes without saying."""
    return tuple(port.removesuffix("/tcp") for port in written)


def _slices(plan: Plan, rows: Sequence[Row], locked: TargetLock | None) -> Iterator[Slice]:
    """Yield the plan's layers; what each one fetches goes by the lock, whatever is here already."""
    sizes = {str(part): part.size for part in (*_packages(locked), *_debs(locked))}
    sharing = Counter(row.holds for row in rows if row.holds)  # a very big wheel is dealt to several layers
    for row in rows:
        fetched = sum(sizes.get(words, 0) for words in row.holds) // (sharing[row.holds] or 1)
        yield Slice(
            name=row.name, size=row.size, download=fetched, origins=_askers(plan, row), holds=row.holds
        )


def _askers(plan: Plan, row: Row) -> tuple[str, ...]:
    """Return who asked for a layer, without listing all frameworks for what they need together."""
    origins = tuple(origin for origin in row.origins if origin != "avabuild")
    if len(origins) > 1 and {one.name for one in plan.frameworks} <= set(origins):
        return ("frameworks", *(["recipe"] if "recipe" in origins else []))
    return origins or row.origins


def _versions(plan: Plan, locked: TargetLock | None) -> dict[str, str]:
    packages = {package.name: package.version for package in locked.python} if locked else {}
    return {one.name: exact_version(one.name, one.series, packages) for one in plan.frameworks}


def _frameworks(versions: Mapping[str, str]) -> dict[str, Any]:
    own, others = split(versions)
    parts = (Part(name=name, version=version) for name, version in others.items())
    return {**own, "frameworks": tuple(sorted(parts, key=lambda part: natural(part.name)))}


def _device(python: str, device: Device) -> dict[str, str]:
    cuda = device.cuda or ""
    return {
        "python": python,
        "cuda": cuda,
        "cudnn": device.cudnn or "",
        "driver": driver_minimum(cuda) or "",
    }


def _packages(locked: TargetLock | None) -> tuple[Part, ...]:
    found = locked.python if locked else ()
    return tuple(
        sorted((Part(name=p.name, version=p.version, size=p.size) for p in found), key=lambda p: p.name)
    )


def _debs(locked: TargetLock | None) -> tuple[Part, ...]:
    found = [deb for layer in locked.apt for deb in layer.debs] if locked else []
    parts = {deb.name: Part(name=deb.name, version=deb.version, size=deb.size) for deb in found}
    return tuple(parts[name] for name in sorted(parts))


def _asked(plan: Plan) -> tuple[str, ...]:
    """Return what the image asks of indexes and of APT."""
    mine, extra = plan.requirements
    return tuple(dict.fromkeys([*mine, *extra, *plan.apt_names]))
