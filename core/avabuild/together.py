"""Together: the failures of several recipes or images as one error, told at once."""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.errors import AvabuildError


class JointError(AvabuildError):
    """More than one failure; the exit code is that of the first."""

    def __init__(self, errors: Sequence[AvabuildError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)
        self.exit_code = errors[0].exit_code


def together(errors: Sequence[AvabuildError]) -> None:
    """Raise the errors, if there are any, as one; an error alone is raised as it is."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise JointError(errors)
