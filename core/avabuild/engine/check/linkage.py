"""The linkage of an image, looked at while it is built: what is missing fails the build or is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from avabuild.common.errors import LinkageError
from avabuild.engine.check.judge import Finding, judge, package_hint, wasted
from avabuild.engine.check.loader import Tree
from avabuild.engine.check.nvidia import is_cuda
from avabuild.engine.context import Context
from avabuild.engine.layout import Composed
from avabuild.engine.names import packages_of
from avabuild.layer.base import Base
from avabuild.layer.elf import MAGIC, Elf
from avabuild.layer.facts import is_debian
from avabuild.layer.files import chosen
from avabuild.layer.inventory import Inventory, distributions, inventory
from avabuild.plan.plan import Plan
from avabuild.plugins.kinds import Libraries
from avabuild.store import oci
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece

DRIVER = "libcuda.so.1"
_MACHINES = {"x86_64": "EM_X86_64/64", "aarch64": "EM_AARCH64/64"}
_APT, _COMPILED, _BYTECODE = "avabuild: apt: ", "avabuild: compile", "avabuild: bytecode "
_OFF = 'or accept the image as it is, with linkage = "warn" under [build]'
_SHOWN = 10


@contextmanager
def base_ahead(context: Context, plan: Plan, base: Base) -> Iterator[None]:
    """Read the base's layers while the block runs, so that the check at the end finds them read."""
    with ThreadPoolExecutor(1, "scan") as pool:
        if plan.linkage != "off":
            for blob in base.layers:
                pool.submit(inventory, context.store, blob)  # what fails here fails again where it is told
        try:
            yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def require_libraries(context: Context, plan: Plan, base: Base, directory: Path) -> None:
    """Look for the libraries that the base or this host has to have, before anything is made.

    Raises:
        LinkageError: one is not there; says which, and how to give it.
    """
    for name, wanted in plan.libraries:
        if wanted.where == "base":
            config = base.read_config(context.store)
            tree = Tree(_inventories(context, base.layers), _library_path(config, plan.settings.library_path))
            _require(name, wanted, tree, plan.target.arch, "the base has no")
        elif wanted.where == "host":
            here = _host_names(plan, name, directory)
            missing = tuple(soname for soname in wanted.sonames if soname not in here)
            if missing:
                raise _absent(name, missing, "the directory has no", wanted.hint)


def _host_names(plan: Plan, origin: str, directory: Path) -> frozenset[str]:
    """Return the names of the ELF files that `origin` takes from this host."""
    found = set()
    for step in plan.files:
        for file in step.layer.files if step.origins == (origin,) else ():
            source = directory / (file.source or "")
            if file.source is None or not source.is_dir():
                continue
            for path, name in chosen(source, file.only or ("*",)):
                with path.open("rb") as opened:
                    if opened.read(len(MAGIC)) == MAGIC:
                        found.add(name)
    return frozenset(found)


def _require(name: str, wanted: Libraries, tree: Tree, arch: str, words: str) -> None:
    like = Elf(machine=_MACHINES.get(arch, ""))
    missing = tuple(s for s in wanted.sonames if tree.find(s, like, tree.library_path) is None)
    if missing:
        raise _absent(name, missing, words, wanted.hint)


def _absent(name: str, missing: Sequence[str], words: str, hint: str) -> LinkageError:
    return LinkageError(f"{words} {', '.join(missing)}", place=name, hint=hint or None)


def check_linkage(
    context: Context, plan: Plan, base: Base, pieces: Sequence[Piece], composed: Composed
) -> bool:
    """Look at every ELF file of the image; return whether some needs the driver's library.

    Raises:
        LinkageError: a library that a package needs is nowhere, and the recipe doesn't accept that.
    """
    if plan.linkage == "off":
        return False
    with context.report.step("linkage", "linkage") as said:
        linked = [piece for piece in pieces if not piece.created_by.startswith(_BYTECODE)]
        layers = _inventories(context, [*base.layers, *(piece.blob for piece in linked)])
        config = oci.decode(context.store.read(composed.config))
        tree = Tree(layers, _library_path(config))
        below = len(base.layers)
        judged = {
            below + number: piece.created_by.startswith(_COMPILED)
            for number, piece in enumerate(linked)
            if not piece.created_by.startswith(_APT)
        }
        found = judge(tree, distributions(layers), judged, cuda=plan.target.device.cuda is not None)
        said.append(f"{sum(tree.origins[name] in judged for name in tree.elves)} files")
    _tell(context, plan, base, found)
    for name, wanted in plan.libraries:
        _require(name, wanted, tree, plan.target.arch, "the image has no")
    _tell_waste(context, tree, below)
    return any(DRIVER in tree.elves[n].needed for n in tree.elves if tree.origins[n] in judged)


def _tell(context: Context, plan: Plan, base: Base, found: Sequence[Finding]) -> None:
    fatal = [one for one in found if one.fatal]
    if plan.linkage == "warn":
        fatal = []
    for one in found:
        if one not in fatal:
            context.report.warn(str(one), lasting=True)
    if fatal:
        more = len(fatal) - _SHOWN
        lines = [*map(str, fatal[:_SHOWN]), *([f"and {more} more files"] if more > 0 else [])]
        hints = _hints(context, plan, base, fatal[:_SHOWN])
        raise LinkageError("\n".join(lines), hint="\n  ".join([*hints, _OFF]))


def _hints(context: Context, plan: Plan, base: Base, fatal: Sequence[Finding]) -> list[str]:
    """Return what to do about findings, each package once: as the distribution's own index names them."""
    cuda = dict.fromkeys(one.hint for one in fatal if any(map(is_cuda, one.missing)))
    sonames = tuple(dict.fromkeys(name for one in fatal for name in one.missing if not is_cuda(name)))
    if not sonames:
        return list(cuda)
    mirror = (context.host.mirror if is_debian(plan.target.distribution) else None) or ""
    packages = packages_of(context.store, context.host, base, plan.target, mirror, sonames)
    return [*cuda, package_hint(sonames, packages)]


def _tell_waste(context: Context, tree: Tree, below: int) -> None:
    size, names = wasted(tree, below)
    if names:
        context.report.warn(
            f"both the base and the packages contain CUDA: {', '.join(names[:3])}"
            + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            + f"; {size / 1e6:.1f} MB of the base are never used: stand on one without CUDA",
            lasting=True,
        )


def _inventories(context: Context, blobs: Sequence[Blob]) -> list[Inventory]:
    with ThreadPoolExecutor(max(1, context.host.cores), "scan") as pool:
        return list(pool.map(lambda blob: inventory(context.store, blob), blobs))


def _library_path(config: Mapping[str, object], more: Sequence[str] = ()) -> str:
    inner = config.get("config")
    env = inner.get("Env") or [] if isinstance(inner, dict) else []
    own = next((entry.partition("=")[2] for entry in env if entry.startswith("LD_LIBRARY_PATH=")), "")
    return ":".join((*more, own))
