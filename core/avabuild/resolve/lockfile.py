"""The lock file: a Lock as TOML that people review, one line per package."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from avabuild.common.errors import LockError
from avabuild.common.value import Value
from avabuild.resolve.lock import FORMAT, AptLock, Lock, TargetLock
from avabuild.store.whole import publish

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
