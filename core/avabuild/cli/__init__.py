"""The command line: the only place that prints, catches, and picks implementations.

Heavy modules are imported inside the commands that need them, so that `--help` and a build with nothing to
do stay quick.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with the status of its outcome."""
    from avabuild.cli.app import app

    arguments = with_default_upgrade(sys.argv[1:])
    debug = "--debug" in arguments
    try:
        code = app(args=arguments, standalone_mode=False)
    except KeyboardInterrupt:
        print("avabuild: stopped", file=sys.stderr)  # noqa: T201 - the command line prints
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # the one place that catches: what is no AvabuildError is a bug, shown whole
        code = _explained(error, debug=debug)
    sys.exit(code if isinstance(code, int) else 0)


def with_default_upgrade(arguments: list[str]) -> list[str]:
    """Let `--upgrade` stand without a name, for everything: `--upgrade` becomes `--upgrade=*`."""
    made = list(arguments)
    for index, word in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if word == "--upgrade" and (following.startswith("-") or following.endswith(".toml")):
            made[index] = "--upgrade=*"
    return made


def _explained(error: Exception, *, debug: bool) -> int:
    from avabuild.errors import AvabuildError

    if debug:
        raise error
    if isinstance(error, AvabuildError):
        print(f"avabuild: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    show = getattr(error, "show", None)
    if callable(show):  # a usage error of the option parser
        show()
        return int(getattr(error, "exit_code", 2))
    raise error
