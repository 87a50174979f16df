"""Lock: what a recipe's targets resolved to. Files are named by hash, never by a mirror's host."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from pydantic import ValidationError

from avabuild.common.errors import LockError
from avabuild.common.value import Value, digest_of
from avabuild.store.whole import publish

FORMAT = 2


class Package(Value):
    """One resolved Python distribution.

    Attributes:
        name: the normalised project name (PEP 503).
        version: its version.
        kind: `wheel` as the index has it, `sdist` to be built, `file` a wheel or sdist of the recipe's own
            (`path` is relative to the recipe), `git` a commit of a repository.
        filename: the file's name in the index, or of the recipe's own file; empty for git.
        sha256: hex digest of that file; empty for git.
        size: its bytes, 0 where unknown.
        by: the frameworks that need it, `avabuild` for what every environment has; empty when only the
            recipe's own packages do.
        path: of a `file`, relative to the recipe.
        url: of `git`, the repository as the recipe names it; of a wheel or sdist, the recipe's own direct
            address of it (never an index's).
        commit: of `git`, the 40 hex digits.
        subdirectory: of `git`, where in the repository the project is.
    """

    name: str
    version: str
    kind: Literal["wheel", "sdist", "file", "git"] = "wheel"
    filename: str = ""
    sha256: str = ""
    size: int = 0
    by: tuple[str, ...] = ()
    path: str = ""
    url: str = ""
    commit: str = ""
    subdirectory: str = ""

    @property
    def direct(self) -> str:
        """Its `direct_url.json` (PEP 610) when it comes from no index, as pip writes it; else empty.

        A file of the recipe's own is named without its directory, which is another one on every host.
        """
        if self.kind == "git":
            vcs = {"url": self.url, "vcs_info": {"commit_id": self.commit, "vcs": "git"}}
            found: dict[str, object] = {
                **vcs,
                **({"subdirectory": self.subdirectory} if self.subdirectory else {}),
            }
        elif self.kind == "file" or self.url:
            hashes = {"hash": f"sha256={self.sha256}", "hashes": {"sha256": self.sha256}}
            found = {"archive_info": hashes, "url": self.url or f"file:///{quote(self.filename)}"}
        else:
            return ""
        return json.dumps(found, sort_keys=True)

    @property
    def source(self) -> str:
        """What tells its content from any other: a file's sha256, else a commit of a repository."""
        return self.sha256 or f"{self.url}@{self.commit}#{self.subdirectory}"


class Deb(Value):
    """One resolved Debian package: `name`, `version`, `arch`, hex `sha256` and `size` in bytes."""

    name: str
    version: str
    arch: str
    sha256: str
    size: int


class AptLock(Value):
    """What one apt layer resolved to.

    Attributes:
        base: the digest of what is below it.
        packages: what was asked for.
        debs: what is installed.
        repositories: what the repositories beside the distribution's own are: name, suite, components and
            key, never a host.
    """

    base: str
    packages: tuple[str, ...]
    debs: tuple[Deb, ...]
    repositories: tuple[str, ...] = ()


class Distribution(Value):
    """A plugin's distribution.

    Attributes:
        framework: the one that it provided; or the `base` that it offered, or the `policy`. Two are empty.
        name: of the distribution, or the path of a local plugin.
        version: of the distribution, or `sha256:` and the first digits of a local plugin's digest.
    """

    framework: str = ""
    base: str = ""
    policy: str = ""
    name: str
    version: str

    @property
    def provided(self) -> str:
        """What it provided, in words: `keras`, `base ubuntu`, `policy example`."""
        return self.framework or (f"base {self.base}" if self.base else f"policy {self.policy}")

    @property
    def who(self) -> str:
        """The distribution and its version."""
        return f"{self.name} {self.version}"


class TargetLock(Value):
    """The resolution of one target.

    Attributes:
        target: the target's tag (`py311-cpu`).
        request: digest of all that was asked of the resolver; a different one means re-resolve.
        base: the digest of the base's manifest, empty for scratch.
        python: the packages, by name.
        apt: one entry per apt layer.
        without: series of frameworks, as `keras 3.15`, that did not resolve when these packages were found.
    """

    target: str
    request: str
    base: str
    python: tuple[Package, ...] = ()
    apt: tuple[AptLock, ...] = ()
    without: tuple[str, ...] = ()


class Lock(Value):
    """A recipe's lock file.

    Attributes:
        format: of the file and of the layers that avabuild makes from it.
        recipe: the recipe's name.
        plugins: the distributions that declared its frameworks, its base and the policies in force.
        targets: one entry per target that was built.
    """

    format: int = FORMAT
    recipe: str
    plugins: tuple[Distribution, ...] = ()
    targets: tuple[TargetLock, ...] = ()

    def target(self, tag: str) -> TargetLock | None:
        """Return the entry of the target tagged `tag`, or None."""
        return next((entry for entry in self.targets if entry.target == tag), None)

    def with_plugins(self, used: tuple[Distribution, ...]) -> Lock:
        """Return this lock with the plugins that an image has just used.

        Frameworks and bases of other targets stay. Policies hold for all targets: just the used ones remain.
        """
        kept = [one for one in self.plugins if not one.policy]
        named = {one.provided: one for one in (*kept, *used)}
        order = sorted(named.values(), key=lambda one: (bool(one.policy), bool(one.base), one.provided))
        return self.model_copy(update={"plugins": tuple(order)})

    def with_target(self, entry: TargetLock) -> Lock:
        """Return this lock with `entry` in place of the one of the same tag; entries sorted by tag."""
        rest = [old for old in self.targets if old.target != entry.target]
        return self.model_copy(update={"targets": tuple(sorted([*rest, entry], key=lambda e: e.target))})


def request_digest(
    requirements: tuple[str, ...], extras: tuple[str, ...], python: str, arch: str, glibc: str
) -> str:
    """Return the digest of what the resolver is asked: requirements of frameworks, extras, platform.

    The order of extras is the recipe's, by which a resolver decides which of two it steps back with.
    """
    return digest_of([sorted(requirements), list(extras), python, arch, glibc])


# -- the lock file: a Lock as TOML that people review, one line per package ----------------------------------


_MADE = b"# Made by avabuild;"
_HEADER = f"{_MADE.decode()} commit this file. To change it, change the recipe or run with --upgrade.\n"
_HINT = "restore it from version control, or remove it to resolve again"


def read_lock(path: Path) -> Lock | None:
    """Return the lock in `path`, or None where there is no file; raise LockError for any other trouble."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LockError(f"the lock can't be read: {error}", place=str(path), hint=_HINT) from error
    found = data.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise LockError(
            f"the lock has format {found}, and this avabuild knows up to {FORMAT}",
            place=str(path),
            hint="upgrade avabuild, or remove the lock to resolve again",
        )
    if isinstance(found, int) and found < FORMAT:
        raise LockError(
            f"the lock has format {found}, of an older avabuild; this one writes {FORMAT}",
            place=str(path),
            hint="remove it: the next build resolves again and writes a new one",
        )
    try:
        if found is None:
            raise ValueError("it has no format")  # noqa: TRY301 - one way out for all damage
        return Lock.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise LockError(f"the lock is damaged: {what}", place=str(path), hint=_HINT) from error
    except ValueError as error:
        raise LockError(f"the lock is damaged: {error}", place=str(path), hint=_HINT) from error


def is_lock(path: Path) -> bool:
    """Whether the file at `path` is a lock that `write_lock` made, and not another tool's."""
    if path.suffix != ".lock" or path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MADE)) == _MADE


def write_lock(path: Path, lock: Lock) -> None:
    """Put `lock` in `path` at once: readers and crashes see the old file or the new one. Raises LockError."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8", newline="\n") as file:
            file.write(lock_text(lock))
        publish(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise LockError(f"the lock can't be written: {error.strerror}", place=str(path)) from error


def lock_text(lock: Lock) -> str:
    """Return the TOML of `lock`: the same text for equal locks, defaults left out."""
    lines = [f"format = {lock.format}", f"recipe = {_scalar(lock.recipe)}"]
    lines += _table_lines("plugins", lock.plugins)
    for target in lock.targets:
        lines += ["", "[[targets]]", *_target_lines(target)]
    return _HEADER + "\n".join(lines) + "\n"


def _target_lines(target: TargetLock) -> list[str]:
    lines = [f"{key} = {_scalar(getattr(target, key))}" for key in ("target", "request", "base")]
    lines += [f"without = [{_list(target.without)}]"] if target.without else []
    lines += _table_lines("python", target.python)
    for apt in target.apt:
        lines += ["", "[[targets.apt]]", *_apt_lines(apt)]
    return lines


def _apt_lines(apt: AptLock) -> list[str]:
    lines = [f"base = {_scalar(apt.base)}", f"packages = [{_list(apt.packages)}]"]
    if apt.repositories:
        lines.append(f"repositories = [{_list(apt.repositories)}]")
    return [*lines, *_table_lines("debs", apt.debs)]


def _list(values: Iterable[str]) -> str:
    return ", ".join(map(_scalar, values))


def _table_lines(key: str, values: Iterable[Value]) -> list[str]:
    rows = [f"  {{ {_inline(value.model_dump(exclude_defaults=True))} }}," for value in values]
    return [f"{key} = [", *rows, "]"] if rows else [f"{key} = []"]


def _inline(fields: dict[str, Any]) -> str:
    return ", ".join(f"{key} = {_scalar(value)}" for key, value in fields.items())


def _scalar(value: str | int | tuple[str, ...]) -> str:
    """Return a TOML value; JSON escapes strings as TOML does, but for DEL."""
    if isinstance(value, tuple):
        return f"[{_list(value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
