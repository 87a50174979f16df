"""The command line: the only place that prints, catches, and picks implementations.

Heavy modules are imported inside the commands that need them, so that `--help` and a build with nothing to
do stay quick.
"""

from __future__ import annotations

import signal
import sys
import warnings
from typing import TextIO

from avabuild.plugins.contract import Deprecation

INTERRUPTED = 130
BUG = 70  # EX_SOFTWARE of sysexits.h, as UnavailableError's 75 is its EX_TEMPFAIL


def main() -> None:
    """Run the command line and exit with the status of its outcome."""
    from avabuild.cli.app import app

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` stops as cleanly as Ctrl-C
    arguments, debug = without_debug(with_default_upgrade(sys.argv[1:]))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("default", category=Deprecation)
            warnings.showwarning = _warned
            code = app(args=arguments, prog_name="avabuild", standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        code = _explained(error, debug=debug)
    if code == INTERRUPTED:
        kept = "; finished images, layers and downloads are kept, and the next run goes on from there"
        _say(f"stopped{kept if arguments[:1] == ['recipe'] else ''}")
    sys.exit(code if isinstance(code, int) else 0)


def without_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, and whether it stood there; what follows `--` is not ours."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own = [word for word in arguments[:end] if word != "--debug"]
    return [*own, *arguments[end:]], len(own) < end


def with_default_upgrade(arguments: list[str]) -> list[str]:
    """Let `--upgrade` stand without a name, for everything: `--upgrade` becomes `--upgrade=*`."""
    made = list(arguments)
    for index, word in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if word == "--upgrade" and (following.startswith("-") or following.endswith(".toml")):
            made[index] = "--upgrade=*"
    return made


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature is Python's
    line: str | None = None,
) -> None:
    """Tell a person what a plugin uses that goes away, and where; other warnings look as Python has them."""
    if issubclass(category, Deprecation):
        _say(f"warning: {filename}:{lineno}: {message}")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def _explained(error: Exception, *, debug: bool) -> int:
    """Tell `error` to a person and return the exit status; with `debug` let it go on as a traceback."""
    from avabuild.common.errors import AvabuildError, exit_code_of

    show = getattr(error, "show", None)
    if callable(show):  # a usage error of the option parser
        show()
        return int(getattr(error, "exit_code", 2))
    if debug:
        raise error
    if isinstance(error, AvabuildError):
        for text in _messages(error):
            _say(text)
        return exit_code_of(error)
    if isinstance(error, OSError):
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return exit_code_of(error)
    _say(f"internal error: {type(error).__name__}: {error}\n  please report it with the traceback of --debug")
    return BUG


def _messages(error: Exception) -> list[str]:
    """Return what to say of `error`, one text per problem of a recipe."""
    from avabuild.common.errors import JointError, RecipeError

    if isinstance(error, JointError):
        return [text for one in error.errors for text in _messages(one)]
    if not isinstance(error, RecipeError) or not error.problems:
        return [str(error).strip()]
    *others, last = map(str, error.problems)
    return [*others, f"{last}\n  {error.hint}" if error.hint else last]


def _say(text: str) -> None:
    from avabuild.cli.shown import echo

    echo(f"avabuild: {text}", err=True)
