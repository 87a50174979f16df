"""What a finished run leaves for the next: the stamp by which that one may see that nothing is to do."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from avabuild.common.errors import LockError
from avabuild.engine.output import Output
from avabuild.layer.files import chosen
from avabuild.layer.ignore import FILES
from avabuild.plan.plan import Plan
from avabuild.plan.project import Project
from avabuild.plugins.provider import is_path
from avabuild.recipe import ArchiveBase, candidates, pip_kind
from avabuild.resolve import read_lock
from avabuild.run import stamp
from avabuild.run.publish import Done
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.watch import Watch
from avabuild.store.store import file_digest


def inputs(project: Project, plans: Sequence[Plan]) -> tuple[Path, ...]:
    """Return every file and directory whose content, or absence, decides the images of one base."""
    recipe, directory = project.recipe, project.directory
    found = [Path(place.rpartition(":")[0]) for place in recipe.source.places.values()]
    found += [recipe.path, project.lock_path, *project.below]
    found += [directory / entry for entry in recipe.plugins if is_path(entry)]
    found += [place for path in (recipe.path, *project.below) for place in candidates(path.parent)]
    found += [directory / entry.source for entry in recipe.files]
    found += [directory / name for name in FILES] if recipe.files else []
    found += [directory / mount.source for step in recipe.run for mount in step.mounts]
    found += [directory / text for text in recipe.packages.pip if pip_kind(text) == "file"]
    if isinstance(recipe.base, ArchiveBase):
        found.append(directory / recipe.base.archive)
    found += [directory / name for plan in plans for name in plan.read]
    directories = [entry for entry in found if entry.is_dir()]
    below = [path for entry in directories for path in sorted(entry.rglob("*")) if path.is_file()]
    return tuple(dict.fromkeys([*found, *below, *_of_plugins(plans)]))


def _of_plugins(plans: Sequence[Plan]) -> list[Path]:
    """Return what plugins take of this host: what they choose of a directory, and its list."""
    layers = [step.layer for plan in plans for step in plan.files if step.origins != ("recipe",)]
    found: list[Path] = []
    for file in (file for layer in layers for file in layer.files):
        source = Path(file.source or "")
        if file.only and source.is_dir():
            found += [source, *(path for path, _ in chosen(source, file.only))]
        elif file.source:
            found += [source, *(path for path in sorted(source.rglob("*")) if path.is_file())]
    return found


def modules_elsewhere() -> tuple[Path, ...]:
    """Return the files of all imported modules that no installer put there: of editable plugins and such.

    A distribution that is installed is told by when it was; these change while that stays.
    """
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places = (*(f"{place}{os.sep}" for place in installed), f"{Path(__file__).parents[1]}{os.sep}")
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    found = {Path(file) for file in files if isinstance(file, str) and not file.startswith(places)}
    return tuple(sorted(path.absolute() for path in found if path.is_file()))


def write(
    path: Path,
    recipe: RecipeRun,
    done: Mapping[str, Done],
    kept: Mapping[str, stamp.Image],
    every: Sequence[str] | None,
    listed: Path | None,
    shown: Callable[[Done], str],
    bills: Mapping[str, Sequence[str]],
    watch: Watch,
    installed: str,
) -> None:
    """Write the stamp of what a run has `done` of one recipe; `listed` is the list of local images.

    `kept` are the images of the stamp before for which nothing was to do. `bills` are beside the images:
    digests in a layout, else paths. No stamp is written when an input changed while the run read it, and
    none when a secret decides what is built: it is not kept, so nothing could tell its change.
    """
    projects, output = recipe.projects, recipe.workplace.wishes.output
    plans, store = [one.plan for one in done.values()], recipe.store
    if any(step.secrets for project in projects for step in project.recipe.run):
        return
    images = dict(kept)
    for name, one in done.items():
        found = [_state(output, listed, one.plan.reference, one.built.identity, one.built.composed.digest)]
        found += [_bill_state(output, bill) for bill in bills.get(one.plan.reference, ())]
        images[name] = stamp.Image(tuple(found), shown(one))
    read = dict.fromkeys(file for project in projects for file in inputs(project, plans))
    read |= dict.fromkeys(stamp.inputs_of(path) if kept else ())
    read |= dict.fromkeys(modules_elsewhere())

    def digest(file: Path) -> str:
        return file_digest(store, file).removeprefix("sha256:")

    def unchanged() -> bool:
        return all(_is_own(file, recipe) or watch.unchanged(file) for file in read)

    if not unchanged():
        path.unlink(missing_ok=True)
        return
    stamp.write_stamp(path, read, images, every, digest, installed)
    if not unchanged():
        path.unlink(missing_ok=True)


def _is_own(file: Path, recipe: RecipeRun) -> bool:
    """Whether it is the recipe's lock as this run wrote it."""
    if file.absolute() != recipe.lock.path.absolute() or recipe.lock.lock is None:
        return False
    with suppress(LockError):
        return read_lock(file) == recipe.lock.lock
    return False


def _state(
    output: Output, listed: Path | None, reference: str, identity: str, digest: str
) -> Mapping[str, str]:
    if output.path is None:
        return {"list": str(listed), "id": identity, "name": reference}
    if output.kind == "oci":
        return {"layout": str(output.path), "digest": digest}
    return {"archive": str(output.path), "state": stamp.archive_state(output.path)}


def _bill_state(output: Output, bill: str) -> Mapping[str, str]:
    if output.kind == "oci":
        return {"layout": str(output.path), "digest": bill}
    return {"archive": bill, "state": stamp.archive_state(Path(bill))}
