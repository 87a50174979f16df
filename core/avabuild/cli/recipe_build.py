"""A run of `avabuild recipe` with something to do: the catalogue is built, shown and remembered."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from avabuild.cli.console import described, short
from avabuild.cli.options import host_for
from avabuild.cli.table import Row, about, unchanged
from avabuild.common.errors import AvabuildError, JointError, Problem, RecipeError, together
from avabuild.host.places import config_path
from avabuild.images.sbom.sbom import Format, push_bill, sbom_of_kept, write_beside
from avabuild.run import stamp, stamp_inputs
from avabuild.run.builds import Listener, Outcome, build, image_list, pushed_before
from avabuild.run.catalogue import Catalogue
from avabuild.run.image import ImageRun
from avabuild.run.run import Workplace
from avabuild.run.watch import Watch
from avabuild.tools.events import Report

if TYPE_CHECKING:
    from avabuild.cli.console import QuietConsole
    from avabuild.cli.registries import Outside, Outsiders
    from avabuild.host.host import Host
    from avabuild.run.graph import Ended
    from avabuild.run.publish import Done, There
    from avabuild.run.run import Wishes


class Run:
    """One run: some recipes are fresh by their stamps, the others are built.

    Args:
        marks: where the stamp of each recipe is.
        fresh: what to say of the recipes for which nothing is to do.
        flags: what the command line says of the host.
        watch: whether inputs change, since before anything was read.
    """

    def __init__(
        self,
        console: QuietConsole,
        marks: Mapping[Path, Path],
        fresh: Mapping[Path, Sequence[str]],
        wishes: Wishes,
        flags: Mapping[str, str | None],
        outside: Outside,
        bills: Sequence[Format] = (),
        watch: Watch | None = None,
    ) -> None:
        self._console = console
        self._marks = marks
        self._fresh = {path: [json.loads(image) for image in shown] for path, shown in fresh.items()}
        self._wishes = wishes
        self._flags = flags
        self._bills = bills
        self._outside = outside
        self._there: dict[str, There] = {}
        self._kept: dict[Path, dict[str, stamp.Image]] = {}
        self._watch = watch or Watch()
        self._installed = stamp.installed_digest()

    def build(self, only: Sequence[str], jobs: int | None, *, keep_going: bool) -> None:
        """Build what is not fresh; show a table when there is more than one image."""
        console, host = self._console, host_for(self._flags)
        with console:
            report = Report(console.take)
            with self._outside.open(host, report) as outside:
                try:
                    catalogue, entries = self._open(only, report, host, outside, keep_going=keep_going)
                    with closing(catalogue.workplace):
                        outcome = self._made(catalogue, entries, jobs or default_jobs(host.cores), keep_going)
                        bills = self._write_bills(catalogue, outcome, report)
                        kept = outside[1] is None or outside[1].finish()
                        if kept and self._outside.push is None:  # what a registry has is asked every time
                            self._stamp(catalogue, entries, outcome, bills)
                except AvabuildError as error:
                    for one in error.errors if isinstance(error, JointError) else (error,):
                        console.failed(one)
                    raise
            if console.several:
                console.table(list(self._rows(catalogue, entries, outcome)))
        raise_first([*(lost.error for lost in catalogue.lost), *outcome.errors])

    def _open(
        self, only: Sequence[str], report: Report, host: Host, outside: Outsiders, *, keep_going: bool
    ) -> tuple[Catalogue, tuple[ImageRun, ...]]:
        wishes, stale = self._wishes, [path for path in self._marks if path not in self._fresh]
        if len(self._marks) > 1:
            shared = wishes.output.model_copy(update={"shared": True})
            wishes = dataclasses.replace(wishes, output=shared)
        catalogue = Catalogue(stale, Workplace.on(host, wishes, *outside), report)
        if outside[0]:
            outside[0].greet()  # before bases are fetched for what can't be pushed
        self._look(catalogue)
        there = [image for images in self._fresh.values() for image in images]
        entries = catalogue.entries(only, [short(str(image["reference"])) for image in there])
        if not keep_going:
            together([lost.error for lost in catalogue.lost])
        count = len(entries) + len(there) + len(catalogue.lost)
        if count > 1 and wishes.output.kind.endswith("archive"):
            message = f"holds one image, and this run makes {count}; use oci:DIR"
            raise RecipeError((Problem(f"--output {wishes.output}", "", message),))
        self._console.several = count > 1
        for image in there:
            self._console.up_to_date(image, 0.0)
        for lost in catalogue.lost:
            self._console.failed(lost.error, lost.name)
        self._there = pushed_before(entries, self._bills)
        for entry in entries:
            if (image := self._unchanged(entry)) is not None:
                self._console.up_to_date(image, 0.0)
        return catalogue, entries

    def _look(self, catalogue: Catalogue) -> None:
        """Note the inputs, and find those images of stale recipes for which nothing is to do."""
        self._watch.note([config_path(os.environ)])
        for recipe in catalogue.recipes:
            mark = self._marks[recipe.path]
            self._watch.note(file for project in recipe.projects for file in stamp_inputs.inputs(project, ()))
            self._watch.note(stamp.inputs_of(mark))
            if not self._wishes.upgrade and self._outside.push is None:
                self._kept[recipe.path] = stamp.images_of(mark)

    def _unchanged(self, entry: ImageRun) -> dict[str, object] | None:
        """Return what is told of an image for which nothing is to do; None of one that is built."""
        if entry.plan.reference in self._there:
            return self._found(entry)
        kept = self._kept.get(entry.recipe.path, {}).get(entry.name)
        return None if kept is None else dict(json.loads(kept.shown))

    def _made(
        self, catalogue: Catalogue, entries: Sequence[ImageRun], jobs: int, keep_going: bool
    ) -> Outcome:
        """Build the images that are neither here nor in their registry."""
        missing = [entry for entry in entries if self._unchanged(entry) is None]
        return build(catalogue, missing, Listener(self._done, self._ended), jobs=jobs, keep_going=keep_going)

    def _found(self, entry: ImageRun) -> dict[str, object]:
        """Return what is told of an image that its registry has."""
        there, lock = self._there[entry.plan.reference], entry.recipe.lock.lock
        locked = lock.target(entry.plan.target.tag) if lock else None
        return {
            "reference": entry.plan.reference,
            "pushed": f"{there.name.bare}@{there.digest}",
            "digest": there.digest,
            "size": there.size,
            "layers": there.layers,
            **about(entry.plan, locked.python if locked else ()),
        }

    def _done(self, entry: ImageRun, done: Done, seconds: Mapping[str, float]) -> None:
        del entry
        self._console.image(done, seconds)

    def _ended(self, end: Ended) -> None:
        if end.state == "skipped":
            self._console.skipped(end.node.name, end.why)
        elif isinstance(end.error, AvabuildError):
            self._console.failed(end.error, end.node.name)

    def _write_bills(self, catalogue: Catalogue, outcome: Outcome, report: Report) -> dict[str, list[str]]:
        """Put the bills that were asked for where the images went; return what names those on disk."""
        workplace, output = catalogue.workplace, self._wishes.output
        written: dict[str, list[str]] = {}
        for name, done in outcome.done.items():
            for kind in self._bills:
                with report.step(f"{kind} of {short(name)}", "sbom"):
                    digest = done.built.composed.digest
                    data = sbom_of_kept(workplace.store, name, digest, kind)
                    if output.path is not None:
                        beside = write_beside(workplace.store, digest, output, data, kind)
                        written.setdefault(name, []).append(beside)
                    if done.pushed and workplace.publisher:
                        repository = workplace.publisher.repository(done.pushed.name)
                        push_bill(repository, workplace.store, digest, data, kind)
        return written

    def _stamp(
        self,
        catalogue: Catalogue,
        entries: Sequence[ImageRun],
        outcome: Outcome,
        bills: Mapping[str, Sequence[str]],
    ) -> None:
        """Remember the images that are there, recipe by recipe."""
        local = outcome.done and self._wishes.output.path is None
        listed = image_list(catalogue) if local else None
        if not self._watch.unchanged(config_path(os.environ)):
            return
        for recipe in catalogue.recipes:
            mine = {entry.name: entry.plan.reference for entry in entries if entry.recipe is recipe}
            done = {name: outcome.done[ref] for name, ref in mine.items() if ref in outcome.done}
            stamp_inputs.write(
                self._marks[recipe.path],
                recipe,
                done,
                self._kept.get(recipe.path, {}),
                catalogue.names(recipe),
                listed,
                lambda one: json.dumps(described(one)),
                bills,
                self._watch,
                self._installed,
            )

    def _rows(self, catalogue: Catalogue, entries: Sequence[ImageRun], outcome: Outcome) -> Iterator[Row]:
        """Yield a row per image, in the order of the command line."""
        ended = {end.node.name: end for end in outcome.ended}
        for path in self._marks:
            yield from (unchanged(image) for image in self._fresh.get(path, ()))
            yield from (Row(lost.name, {}, "failed") for lost in catalogue.lost if lost.recipe.path == path)
            for entry in entries:
                if entry.recipe.path != path:
                    continue
                if (image := self._unchanged(entry)) is not None:
                    yield unchanged(image)
                else:
                    yield _row(entry, outcome.done.get(entry.plan.reference), ended)


def default_jobs(cores: int) -> int:
    """Return how many images are built at a time when nobody says."""
    return max(2, min(4, cores))


def _row(entry: ImageRun, done: Done | None, ended: Mapping[str, Ended]) -> Row:
    name = entry.plan.reference
    if done:
        held = about(done.plan, done.built.lock.python)
        return Row(short(name), held, "built", done.built.composed.size, done.seconds)
    end = ended[name]
    if end.state == "skipped":
        return Row(short(name), about(entry.plan), "skipped")
    return Row(short(name), about(entry.plan), "failed", seconds=end.seconds)


def raise_first(errors: Sequence[BaseException]) -> None:
    """Raise the failures of a run; a bug before what was to be expected."""
    for error in errors:
        if not isinstance(error, AvabuildError):
            raise error
    together([error for error in errors if isinstance(error, AvabuildError)])
