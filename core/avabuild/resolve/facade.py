"""Facade: the interpreter that uv is given on this host. It says what it is, and runs nothing else.

uv looks into an sdist by running its build backend with the interpreter that it was given: foreign code, as
the user, with all that they have. This one answers uv's own question, naming itself where uv would take the
real interpreter, and refuses whatever else it is to run.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

REFUSED = "avabuild: no package's code is run on this host"
_ASK = """\
import contextlib, io, json, sys
facade, question = sys.argv[1:]
said = io.StringIO()
with contextlib.redirect_stdout(said):
    exec(question)
answer = json.loads(said.getvalue())
answer.update({name: facade for name in ("sys_executable", "sys_base_executable") if name in answer})
print(json.dumps(answer))
"""


def write_facade(directory: Path, interpreter: Path | None = None) -> Path:
    """Write the facade of `interpreter`, by default of this very one, into `directory`; return its path."""
    ask, path = directory / "ask_python.py", directory / "python3"
    ask.write_text(_ASK, encoding="utf-8")
    real = shlex.join([str(interpreter or sys.executable), "-I", "-B", str(ask), str(path)])
    path.write_text(
        "#!/bin/sh\n"
        'case "$1 ${4-}" in\n'
        f'    "-I "*"get_interpreter_info import main; main()") exec {real} "$4" ;;\n'
        "esac\n"
        f"echo {shlex.quote(REFUSED)} >&2\nexit 86\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path
