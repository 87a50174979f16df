"""APT repositories of one step: given to it by mount, with the key each is signed by; never in a layer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from avabuild.common import openpgp
from avabuild.common.errors import AvabuildError, ResolveError, UnavailableError
from avabuild.engine.exec.stack import GIVEN
from avabuild.plugins.kinds import Repository
from avabuild.tools.argv import Bind

SOURCES = "/run/avabuild-sources"  # below /run: what a step leaves there is in no layer
_OWN = "@MIRROR@"
# The base's own lists stay as they are; entries for its mirror take address and key from its first one.
_SCRIPT = f"""
mkdir -p {SOURCES}
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list >/tmp/avabuild-lists 2>/dev/null || :
cat /etc/apt/sources.list.d/*.sources >/tmp/avabuild-sources 2>/dev/null || :
mirror=$(sed -n 's/^deb \\(\\[[^]]*\\] *\\)\\{{0,1\\}}\\([^ ]*\\) .*/\\2/p' /tmp/avabuild-lists | head -n 1)
signed=$(sed -n 's/^deb \\[.*signed-by=\\([^] ]*\\).*/\\1/p' /tmp/avabuild-lists | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^URIs: *\\([^ ]*\\).*/\\1/p' /tmp/avabuild-sources | head -n 1)
[ -n "$signed" ] || signed=$(sed -n 's/^Signed-By: *\\(\\/[^ ]*\\).*/\\1/p' /tmp/avabuild-sources | head -n 1)
rm -f /tmp/avabuild-lists /tmp/avabuild-sources
"""
_KEEP = f"""\
for list in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$list" ] || cp "$list" {SOURCES}/
done
"""
_KEY_ID = re.compile(r"(NO_PUBKEY|BADSIG|EXPKEYSIG|EXPSIG|REVKEYSIG|ERRSIG) ([0-9A-F]{8,40})")
_WHY = {
    "NO_PUBKEY": "is signed by another key",
    "BADSIG": "was changed after it was signed",
    "EXPKEYSIG": "is signed by a key that has expired",
    "EXPSIG": "has a signature that has expired",
    "REVKEYSIG": "is signed by a key that was revoked",
    "ERRSIG": "has a signature that can't be checked",
}


def given_files(repositories: Sequence[Repository], mirror: str | None) -> dict[str, str | bytes]:
    """Return the files that a step needs for `repositories`, by name: a deb822 entry and a keyring each.

    `mirror` is the host's own choice for the distribution's.
    """
    files: dict[str, str | bytes] = {}
    for one in repositories:
        lines = ["Types: deb", f"URIs: {_address(one, mirror)}", f"Suites: {one.suite}"]
        lines += [f"Components: {' '.join(one.components)}"] if one.components else []
        if one.key:
            files[f"{one.name}.gpg"] = next(iter(openpgp.keys(one.key.encode()).values()))
            lines.append(f"Signed-By: {GIVEN}/{one.name}.gpg")
        files[f"avabuild-{one.name}.sources"] = "\n".join(lines) + "\n"
    return files


def script(repositories: Sequence[Repository], mirror: str | None) -> str:
    """Return the shell text that lets APT see `repositories`, to be run before it."""
    if not repositories:
        return ""
    text = _SCRIPT + ("" if mirror else _KEEP)
    for one in repositories:
        source, target = f"{GIVEN}/avabuild-{one.name}.sources", f"{SOURCES}/avabuild-{one.name}.sources"
        text += f'sed "s|{_OWN}|$mirror|" {source} >{target}\n'
        if not one.key and not mirror:
            text += f'[ -z "$signed" ] || echo "Signed-By: $signed" >>{target}\n'
    return text


def binds(repositories: Sequence[Repository]) -> list[Bind]:
    """Return the mounts of repositories that are directories of this host."""
    local = ((one, _directory(one)) for one in repositories)
    return [Bind(source=str(path), target=_mounted(one)) for one, path in local if path]


def refuse_absent(repositories: Sequence[Repository]) -> None:
    """Raise UnavailableError for a repository in a directory that is not there."""
    for one in repositories:
        path = _directory(one)
        if path and not path.is_dir():
            raise UnavailableError(f"the repository {one.name} is not there: {path} is no directory")


def _directory(repository: Repository) -> Path | None:
    uri = repository.uri or ""
    return Path("/" + uri.removeprefix("file:").lstrip("/")) if uri.startswith("file:") else None


def _mounted(repository: Repository) -> str:
    return f"{GIVEN}-repositories/{repository.name}"


def _address(repository: Repository, mirror: str | None) -> str:
    if repository.uri is None:
        return mirror or _OWN
    # `copy:` rather than `file:`: the packages come into the cache like those of a mirror.
    return f"copy:{_mounted(repository)}" if _directory(repository) else repository.uri


def explained(tail: str, repositories: Sequence[Repository], own: str) -> AvabuildError | None:
    """Return what APT's complaint in `tail` about a repository means; None when it is about something else.

    `own` is the distribution's code name.
    """
    for line in tail.splitlines():
        named = next((one for one in repositories if _is_of(one, line)), None)
        title = f"the repository {named.name}" if named else f"the mirror of {own}"
        if found := _KEY_ID.search(line):
            pinned = f", not by {named.fingerprint}" if named and named.fingerprint else ""
            return ResolveError(
                f"{title} {_WHY[found[1]]}: {found[2]}{pinned}",
                hint="take its key from where its owner publishes it, and give that as key"
                if named and named.key
                else "the base's keys are older than the mirror's: bootstrap a newer base",
            )
        if "is not signed" in line:
            return ResolveError(f"{title} is not signed", hint="a repository without a signature is not used")
        if "does not have a Release file" in line or "no longer has a Release file" in line:
            suite = named.suite if named else own
            return ResolveError(
                f"{title} has no suite {suite}",
                hint="look up the suite's name in the repository"
                if named and named.uri
                else f"a mirror drops {suite} some time after its end of life: name one that keeps it with "
                "AVABUILD_DEBIAN_MIRROR, or stand on an archive of the base",
            )
        if "doesn't have the component" in line:
            wanted = re.search(r"component '([^']*)'", line)
            return ResolveError(f"{title} has no component {wanted[1] if wanted else ''}".rstrip())
    return None


def _is_of(repository: Repository, line: str) -> bool:
    if repository.uri is None:
        return f" {repository.suite} " in line and any(f"{c}/" in line for c in repository.components)
    address = _address(repository, None)
    return address.rstrip("/") in line or f"/{repository.name}" in line
