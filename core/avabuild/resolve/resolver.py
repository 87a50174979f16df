"""Resolver: requirements to locked packages, and locked packages to where their files are now."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from avabuild.common.errors import AvabuildError, ResolveError, WheelError
from avabuild.resolve.about import UNNAMED, About, configuration
from avabuild.resolve.facade import write_facade
from avabuild.resolve.indexes import Indexes, redact
from avabuild.resolve.lock import Package
from avabuild.resolve.needed_by import UNKNOWN, Origins, asking, by_origin, origins_of, parse_annotated
from avabuild.resolve.platforms import Platform
from avabuild.resolve.pylock import Resolved, file_urls, preference_text, read_pylock
from avabuild.resolve.requirements import pin_line, requirement_line
from avabuild.resolve.stubs import in_words, light
from avabuild.resolve.uv import (
    Command,
    NeedsMetadata,
    Runner,
    compile_argv,
    failure,
    find_uv,
    run_here,
)


def _silent(line: str) -> None:
    """Take a log line and drop it."""


def _by(one: Resolved, by: Sequence[str]) -> Resolved:
    return replace(one, package=one.package.model_copy(update={"by": tuple(by)}))


def kept_versions(
    before: Sequence[Package], preferred: Sequence[str], upgrade: frozenset[str]
) -> tuple[Package, ...]:
    """Return what a resolver is to prefer: the pins of plugins, then what the lock had and isn't upgraded."""
    pins = tuple(Package(name=name, version=version) for name, version in map(_pin, preferred))
    names = {pin.name for pin in pins}
    if "*" in upgrade:
        return pins
    return (*pins, *(one for one in before if one.name not in names | upgrade))


def older_than(found: Sequence[Resolved], kept: Sequence[Package]) -> frozenset[str]:
    """Return the names of packages that are older now than the versions that were to be kept."""
    before = {one.name: one.version for one in kept}
    return frozenset(
        package.name
        for package in (one.package for one in found)
        if package.name in before and _is_older(package.version, before[package.name])
    )


def _is_older(version: str, other: str) -> bool:
    try:
        return Version(version) < Version(other)
    except InvalidVersion:  # of a lock that somebody edited
        return False


def _pin(text: str) -> tuple[str, str]:
    pin = Requirement(text)
    return str(canonicalize_name(pin.name)), next(iter(pin.specifier)).version


def together(resolved: Sequence[Resolved], alone: Sequence[Resolved]) -> tuple[Resolved, ...]:
    """Return both, by name; ResolveError when the resolution came to another version of one that is alone."""
    found = {one.package.name: one for one in resolved}
    for one in alone:
        other = found.get(one.package.name, one).package
        if other.version != one.package.version:
            raise ResolveError(
                f"{other.name} is pinned to {one.package.version} without its dependencies, but "
                f"other packages need {other.version}",
                hint="request it with its dependencies, or constrain it to the same version",
            )
        by = tuple(sorted({*other.by, *one.package.by}))
        found[other.name] = replace(found.get(other.name, one), package=other.model_copy(update={"by": by}))
    return tuple(found[name] for name in sorted(found))


@dataclass(frozen=True, slots=True)
class Resolver:
    """Asks uv, one target at a time.

    Attributes:
        platform: what the wheels must fit.
        indexes: what to ask.
        recipe_dir: what the recipe's own files are relative to.
        workdir: an existing directory for uv's inputs and outputs, of this resolver alone.
        run: how uv is run.
        interpreter: the Python that uv inspects; it runs nothing else with it.
        learn: finds out what an sdist or a commit says of itself, where foreign code may run; None where that
            is nowhere.
        known: what was found out so, by the words in which uv asked.
        log: takes each command line and each warning of uv.
    """

    platform: Platform
    indexes: Indexes
    recipe_dir: Path
    workdir: Path
    run: Runner = run_here
    interpreter: Path = Path(sys.executable)
    learn: Callable[[Resolved], About] | None = None
    known: dict[str, About] = field(default_factory=dict)
    log: Callable[[str], None] = _silent

    def resolve(
        self,
        requirements: Sequence[str],
        extras: Sequence[str] = (),
        *,
        alone: Sequence[str] = (),
        origins: Origins = UNKNOWN,
        preferences: Sequence[Package] = (),
        preferred: Sequence[str] = (),
        upgrade: frozenset[str] = frozenset(),
        constraints: Sequence[str] = (),
        build: bool = False,
    ) -> tuple[Resolved, ...]:
        """Resolve the frameworks' `requirements` and the recipe's own `extras` together, once.

        `origins` gives who asks for each of `requirements` and `alone`: a package is `by` all that need it.
        Versions of `preferences` (an older lock) are kept unless `upgrade` names their project or holds `*`.
        The exact pins `preferred` of plugins come before those, and hold where nothing wants another version.
        `constraints` limit versions without asking for a package. The exact pins `alone` are added without
        what they need, and have no part in the rest.
        Packages that only the extras need are by nobody. Results are sorted by name.

        Raises:
            ResolveError: the requirements contradict each other, or name what no index has.
            NeedsBuild: an sdist's metadata is wanted and `build` is off.
            UnavailableError: an index did not answer.
        """
        lines = {text: requirement_line(text, self.recipe_dir) for text in (*requirements, *extras)}
        if build:
            lines = {text: self._named(line) for text, line in lines.items()}
        if not lines:
            return ()
        if alone:
            rest = self.resolve(
                requirements,
                extras,
                origins=origins,
                preferences=preferences,
                preferred=preferred,
                upgrade=upgrade,
                constraints=constraints,
                build=build,
            )
            who = {str(canonicalize_name(Requirement(pin).name)): asking(origins, pin) for pin in alone}
            return together(rest, [_by(one, who[one.package.name]) for one in self.pinned(alone)])
        kept = kept_versions(preferences, preferred, upgrade)
        refresh = tuple(sorted(upgrade))
        everything = self._compile(
            "all", lines.values(), kept=kept, pins=constraints, build=build, refresh=refresh
        )
        if lower := older_than(everything, kept):
            # uv leaves a preferred version whose first index has only files that don't fit, whatever others
            # have, and takes an older one (astral-sh/uv#8922 mends that for versions that nobody prefers).
            kept = tuple(one for one in kept if one.name not in lower)
            everything = self._compile("again", lines.values(), kept=kept, pins=constraints, build=build)
        if not requirements:
            return everything
        asked = by_origin(requirements, origins, lines)
        if not extras and len(asked) == 1:
            return tuple(_by(one, tuple(asked)) for one in everything)
        needed = self._needed(asked, [one.package for one in everything], build=build)
        return tuple(_by(one, needed.get(one.package.name, ())) for one in everything)

    def locate(self, packages: Sequence[Package]) -> dict[str, str]:
        """Return the URL of every file among `packages`, by sha256: what the lock does not keep.

        Raises WheelError when no index has a file of that hash, UnavailableError as `resolve` does.
        """
        own = {p.sha256: (self.recipe_dir / p.path).resolve().as_uri() for p in packages if p.kind == "file"}
        direct = {p.sha256: p.url for p in packages if p.kind in {"wheel", "sdist"} and p.url}
        indexed = [p for p in packages if p.kind in {"wheel", "sdist"} and not p.url]
        found: Mapping[str, str] = {}
        if indexed:
            pins = [pin_line(package, self.recipe_dir) for package in indexed]
            found = file_urls(self._lock("pins", pins, dependencies=False))
            missing = [p for p in indexed if p.sha256 not in found]
            if missing:
                raise WheelError(
                    "no configured index has "
                    + ", ".join(f"{p.filename} (sha256 {p.sha256})" for p in missing),
                    hint=f"resolve again: --upgrade {missing[0].name}",
                )
        return {**found, **own, **direct}

    def pinned(self, pins: Sequence[str]) -> tuple[Resolved, ...]:
        """Find the files of exact pins, each for itself, without what it depends on.

        Raises as `resolve` does.
        """
        output = self._lock("pinned", pins, dependencies=False)
        return read_pylock(output, self.platform, self.recipe_dir, self._stubs)

    def _needed(
        self, asked: Mapping[str, Sequence[str]], packages: Sequence[Package], *, build: bool
    ) -> dict[str, tuple[str, ...]]:
        """Return who needs each package, from what uv's cache already holds if it can.

        `asked` has the lines of each that asks.
        """
        pins = [light(pin_line(package, self.recipe_dir), self._stubs) for package in packages]
        constraints = self._write("needed.constraints", "\n".join(pins))
        sources = {
            self._write(f"needed.{number}.in", self._lines(asked[name])): name
            for number, name in enumerate(sorted(asked))
        }

        def ask(*, offline: bool) -> Path:
            output = self.workdir.resolve() / "needed.txt"
            output.unlink(missing_ok=True)
            options: dict[str, Any] = {"constraints": constraints, "build": build, "offline": offline}
            return self._run_uv(tuple(sources), output, annotated=True, **options)

        try:
            output = ask(offline=True)
        except AvabuildError:
            output = ask(offline=False)
        files = {path.name: name for path, name in sources.items()}
        return origins_of(parse_annotated(output.read_text(encoding="utf-8")), files)

    def _compile(
        self,
        stem: str,
        lines: Iterable[str],
        *,
        kept: Sequence[Package] = (),
        pins: Sequence[str] = (),
        build: bool = False,
        refresh: tuple[str, ...] = (),
    ) -> tuple[Resolved, ...]:
        constraints = self._write(f"{stem}.constraints", "\n".join(pins)) if pins else None
        output = self._lock(stem, lines, kept, constraints=constraints, build=build, refresh=refresh)
        return read_pylock(output, self.platform, self.recipe_dir, self._stubs)

    def _lock(self, stem: str, lines: Iterable[str], kept: Sequence[Package] = (), **options: Any) -> Path:
        """Have uv lock `lines` and return the file it wrote; it prefers the versions of `kept`."""
        source = self._write(f"{stem}.in", self._lines(lines))
        return self._run_uv([source], self._write(f"pylock.{stem}.toml", preference_text(kept)), **options)

    def _run_uv(
        self, sources: Sequence[Path], output: Path, provisional: Sequence[About] = (), **options: Any
    ) -> Path:
        """Run uv on the requirements files `sources` and return `output`, which it wrote.

        It is asked again whenever it wanted to know of an sdist what could be found out.
        """
        facade = write_facade(self.workdir.resolve(), self.interpreter)
        while True:
            told = [*self.known.values(), *provisional]
            metadata = self._write("uv.toml", configuration(told)) if told else None
            try:
                return self._ask_uv(facade, sources, output, metadata=metadata, **options)
            except NeedsMetadata as wanted:
                if self.learn is None or wanted.source in self.known or provisional:
                    raise
                self.known[wanted.source] = self.learn(self._source(wanted.source))

    def _source(self, words: str) -> Resolved:
        """Find the file or the commit that uv names by `words`, without a look into it."""
        name, _, address = words.partition(" @ ")
        if not address and "://" not in words:
            return self.pinned([words])[0]
        if not address:
            name, address = UNNAMED, words
        nothing = About(name=str(canonicalize_name(name)), version="0")
        output = self._lock("source", [f"{name} @ {address}"], dependencies=False, provisional=[nothing])
        return read_pylock(output, self.platform, self.recipe_dir, self._stubs)[0]

    def _named(self, line: str) -> str:
        """Return `line` with its name in front, which for a bare address is found out where it can be."""
        if self.learn is None or "://" not in line or re.match(r"[\w.\[\],-]+\s*@", line):
            return line
        if line not in self.known:
            self.known[line] = self.learn(self._source(line))
        return f"{self.known[line].name} @ {line}"

    def _ask_uv(self, facade: Path, sources: Sequence[Path], output: Path, **options: Any) -> Path:
        uv = find_uv()
        no_index = self.indexes.no_index
        argv = compile_argv(uv, facade, self.platform, sources, output, no_index=no_index, **options)
        self.log(shlex.join(argv))
        reads = (uv, self.recipe_dir.resolve(), *self.indexes.local_paths())
        environment = tuple(sorted(self.indexes.environment().items()))
        outcome = self.run(Command(argv, environment, self.workdir.resolve(), reads))
        outcome = replace(outcome, stderr=in_words(outcome.stderr, self._stubs))
        if outcome.status != 0:
            raise failure(outcome, self.indexes)
        for line in redact(outcome.stderr).splitlines():
            self.log(line)
        return output

    @property
    def _stubs(self) -> Path:
        """Where what stands for the recipe's own wheels is."""
        return self.workdir.resolve() / "stubs"

    def _lines(self, lines: Iterable[str]) -> str:
        return "".join(f"{light(line, self._stubs)}\n" for line in lines)

    def _write(self, name: str, text: str) -> Path:
        path = self.workdir.resolve() / name
        path.write_text(text, encoding="utf-8")
        return path
