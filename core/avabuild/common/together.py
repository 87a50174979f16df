"""Together: the failures of several recipes or images as one error, told at once."""

from __future__ import annotations

from collections.abc import Sequence

from avabuild.common.errors import AvabuildError, exit_code_of


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
