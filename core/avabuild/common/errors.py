"""Every failure that a user can meet: one root, one exit code per class, a place, a cause and a next step.

Library code raises these and nothing prints or exits but `avabuild.cli`. Messages start in lower case and
say what happened; `hint` says what to do next.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass


class AvabuildError(Exception):
    """The root of all expected failures.

    Attributes:
        exit_code: the process's exit status, unique per class.
        place: where it happened (`recipes/keras.toml:7`, a layer's name), or None.
        hint: what the user can do next, or None.
    """

    exit_code = 1

    def __init__(self, message: str, *, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a recipe: `place` is `FILE:LINE`, `path` the dotted key, or empty."""

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


class RecipeError(AvabuildError):
    """A recipe is missing, unreadable or invalid; carries all its problems at once."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...], *, hint: str | None = None) -> None:
        super().__init__("\n".join(map(str, problems)), hint=hint)
        self.problems = problems


class PluginError(AvabuildError):
    """A plugin can't be imported, breaks the contract or clashes with another; names its distribution."""

    exit_code = 3


class TargetError(AvabuildError):
    """No release of a framework, or no Python of a base, fits the target; says what would."""

    exit_code = 4


class StepError(AvabuildError):
    """A command of a build failed.

    `command` is shell-quoted, `tail` the end of what it printed, `late` whether it was stopped for taking
    too long.
    """

    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        tail: str = "",
        log: str | None = None,
        place: str | None = None,
        hint: str | None = None,
        late: bool = False,
    ) -> None:
        super().__init__(message, place=place, hint=hint)
        self.command = command
        self.tail = tail
        self.log = log
        self.late = late

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.message}" if self.place else self.message]
        if self.command:
            parts.append(f"  command: {self.command}")
        if self.tail:
            parts.append("\n".join(f"  | {line}" for line in self.tail.splitlines()))
        if self.log:
            parts.append(f"  full log: {self.log}")
        if self.hint:
            parts.append(f"  {self.hint}")
        return "\n".join(parts)


class HostError(AvabuildError):
    """This machine lacks a tool, or has one that is too old, or forbids what the build needs."""

    exit_code = 6


class CheckError(StepError):
    """A framework's check failed in the new image; the name was not moved to it."""

    exit_code = 7


class LockError(AvabuildError):
    """The lock is unreadable, or `--locked` was given and it does not fit the recipe."""

    exit_code = 8


class ResolveError(AvabuildError):
    """The requirements contradict each other or name what no index has; keeps the resolver's words."""

    exit_code = 9


class WheelError(AvabuildError):
    """A wheel is damaged, differs from its hash, or writes a path that another wheel writes."""

    exit_code = 10


class StoreError(AvabuildError):
    """The cache holds something that is not what its name says, or can't be written."""

    exit_code = 11


class DiskFullError(AvabuildError):
    """A disk is full; names the directory and how much was needed, where known."""

    exit_code = 12


class LinkageError(AvabuildError):
    """A shared library that the image's packages need is not in it; names both, and how to give it."""

    exit_code = 13


class ImageError(AvabuildError):
    """An image that was named is not here, or does not say what is needed of it."""

    exit_code = 14


class ChangedError(AvabuildError):
    """An input changed while it was read; what was made of it is not kept, for its key names other bytes."""

    exit_code = 15


class SettingsError(AvabuildError):
    """A setting of this host's user is wrong, in config.toml, a variable or a flag; carries all of them."""

    exit_code = 78  # EX_CONFIG of sysexits.h

    def __init__(self, problems: tuple[Problem, ...], *, hint: str | None = None) -> None:
        super().__init__("\n".join(map(str, problems)), hint=hint)
        self.problems = problems


def exit_code_of(error: AvabuildError | OSError) -> int:
    """Return the exit status for `error`: that of a full disk for whatever a full disk was the cause of."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            return DiskFullError.exit_code
        cause = cause.__cause__
    return error.exit_code if isinstance(error, AvabuildError) else AvabuildError.exit_code


class UnavailableError(AvabuildError):
    """An index, mirror or registry did not answer; trying again later may succeed."""

    exit_code = 75


class RegistryError(AvabuildError):
    """A registry refuses: the password, the permission, what is sent; or it can't be trusted."""

    exit_code = 77


# -- together: the failures of several recipes or images as one error, told at once --------------------------


class JointError(AvabuildError):
    """More than one failure; the exit code is that of the first."""

    def __init__(self, errors: Sequence[AvabuildError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)
        self.exit_code = exit_code_of(errors[0])


def together(errors: Sequence[AvabuildError]) -> None:
    """Raise the errors, if there are any, as one, each once; an error alone is raised as it is."""
    each = tuple(dict.fromkeys(errors))
    if len(each) == 1:
        raise each[0]
    if each:
        raise JointError(each)
