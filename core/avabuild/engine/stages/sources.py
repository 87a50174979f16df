"""The sources of a compile: fetched once, each verified by its hash before anything reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from avabuild.common.errors import AvabuildError, ResolveError, StepError, UnavailableError, WheelError
from avabuild.engine.exec.apt_run import run_apt
from avabuild.engine.stages.stage import Stage
from avabuild.plugins.sources import DebianSource, Download, ProjectFile
from avabuild.resolve import Fetcher
from avabuild.resolve.lock import Package
from avabuild.store.store import file_digest
from avabuild.store.whole import make_directory, open_up, publish
from avabuild.tools.argv import Bind

_PLACE = "/run/avabuild-sources"
_GONE = ("does not have a Release file", "404  Not Found", "no longer has a Release file")
# The mirror of the stage's own packages, as the first deb line or URIs field that it has.
_MIRROR = (
    r"sed -n 's/^deb \(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p; s/^URIs: *\([^ ]*\).*/\1/p'"
    " /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources"
    " 2>/dev/null | head -n 1"
)


def fetch_sources(
    stage: Stage, fetcher: Fetcher, sources: Sequence[Download | DebianSource | ProjectFile]
) -> dict[str, Path]:
    """Return every file of `sources` by its name: whole, and with the hash that it must have.

    Raises:
        WheelError: a file has another hash, or no index has it.
        ResolveError: the mirror has no such source package.
        UnavailableError: a server doesn't answer, or the mirror has dropped the suite.
    """
    files: dict[str, Path] = {}
    plain = [_package(source) for source in sources if not isinstance(source, DebianSource)]
    for package, path in fetcher.fetch(plain, {}):
        files[package.filename] = path
    for source in sources:
        if isinstance(source, DebianSource):
            files |= _debian(stage, fetcher, source)
    return files


def _package(source: Download | ProjectFile) -> Package:
    """Return a source as what the fetcher knows: a file by its hash, with its address where it has one."""
    if isinstance(source, ProjectFile):
        return Package(
            name=source.name,
            version=source.version,
            kind="wheel" if source.filename.endswith(".whl") else "sdist",
            filename=source.filename,
            sha256=source.sha256,
        )
    name = source.filename
    return Package(name=name, version="", kind="sdist", filename=name, sha256=source.sha256, url=source.url)


def _debian(stage: Stage, fetcher: Fetcher, source: DebianSource) -> dict[str, Path]:
    """Return the files of a source package; APT asks the mirror for those that are not here."""
    wanted = {
        file: Package(name=source.name, version=source.version, filename=file.filename, sha256=file.sha256)
        for file in source.files
    }
    places = {file: fetcher.find(package) or fetcher.path(package) for file, package in wanted.items()}
    if not all(path.is_file() for path in places.values()):
        context = stage.chain.context
        with context.report.step(f"source {source.name} {source.version}", "compile"):
            fetched = context.scratch.directory(f"source-{source.name}")
            _ask_apt(stage, source, fetched)
            for file, path in ((file, path) for file, path in places.items() if not path.is_file()):
                _keep(stage, source, fetched / file.filename, file.sha256, path)
    return {file.filename: path for file, path in places.items()}


def _keep(stage: Stage, source: DebianSource, found: Path, sha256: str, path: Path) -> None:
    if found.is_symlink() or not found.is_file():
        raise ResolveError(f"the source package {source.name} {source.version} has no file {found.name}")
    got = file_digest(stage.chain.context.store, found).removeprefix("sha256:")
    if got != sha256:
        found.unlink()
        raise WheelError(
            f"{found.name} has another hash: expected sha256 {sha256}, got {got}",
            place=f"source {source.name}",
            hint="the mirror has another file of this name; nothing of it was kept",
        )
    make_directory(path.parent)
    open_up(found, path.parent)
    publish(found, path)


def _ask_apt(stage: Stage, source: DebianSource, directory: Path) -> None:
    mirror = stage.chain.context.host.mirror
    bind = Bind(source=str(directory), target=_PLACE, writable=True)
    try:
        run_apt(stage.chain, stage.start(), source_script(source, mirror), [bind])
    except StepError as error:
        raise explained(error, source) from None
    except UnavailableError as error:
        if found := _dropped(str(error), source):
            raise found from error
        raise


def source_script(source: DebianSource, mirror: str | None) -> str:
    """Return the text that fetches a source package into `_PLACE` from `mirror`, or from the stage's own.

    Every file is held against its hash afterwards, so it is of no account who signed the suite's index, nor
    when: a stage of one release need not have the keys of another.
    """
    own = f"mirror={shlex.quote(mirror)}" if mirror else f"mirror=$({_MIRROR})"
    options = (
        f"-o Dir::Etc::SourceList={_PLACE}/sources.list -o Dir::Etc::SourceParts=- "
        f"-o Dir::State::Lists={_PLACE}/lists -o APT::Update::Error-Mode=any"
    )
    exact = shlex.quote(f"{source.name}={source.version}")
    return (
        f"{own}\ncd {_PLACE}\nmkdir -p lists/partial\n"
        f'echo "deb-src [trusted=yes check-valid-until=no] $mirror {source.suite} main" > sources.list\n'
        f"apt-get {options} update -qq\n"
        f"apt-get {options} source -qq --download-only --only-source {exact}\n"
        "rm -rf lists sources.list\n"
    )


def explained(error: StepError, source: DebianSource) -> AvabuildError:
    """Return what a failure of APT means for `source`, or `error` itself."""
    if found := _dropped(error.tail, source):
        return found
    if re.search(
        r"E: (Unable to find a source package|Can not find version|Version .* not found)", error.tail
    ):
        return ResolveError(
            f"the mirror has no source package {source.name} {source.version} in {source.suite}",
            hint="name a mirror that has it with AVABUILD_DEBIAN_MIRROR, or take a newer plugin",
        )
    return error


def _dropped(words: str, source: DebianSource) -> UnavailableError | None:
    if not any(gone in words for gone in _GONE):
        return None
    return UnavailableError(
        f"the mirror has no suite {source.suite} any more, where the source of {source.name} is",
        hint="name one that keeps it, such as an archive of old releases, with AVABUILD_DEBIAN_MIRROR",
    )
