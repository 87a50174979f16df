"""Python itself: the image that holds the interpreter, an empty environment and nothing else."""

from __future__ import annotations

from avabuild.api import Framework, Options, Release, Request, hookimpl

_CHECK = """\
from __future__ import print_function
import ctypes, hashlib, json, platform, sqlite3, ssl, sys, zlib

assert "%d.%d" % sys.version_info[:2] == "PYTHON", sys.version
assert sys.version_info[0] == 2 or sys.prefix == "/opt/venv", sys.prefix
assert zlib.decompress(zlib.compress(b"ava" * 1000)) == b"ava" * 1000
assert hashlib.sha256(b"ava").hexdigest()[:8] == "bf446ea3"
assert json.loads(json.dumps({"ava": [1, 2.5, None]})) == {"ava": [1, 2.5, None]}
assert ctypes.CDLL(None).abs(-27) == 27
rows = sqlite3.connect(":memory:").execute("select 6 * 7").fetchall()
assert rows == [(42,)], rows
import pip
print("python", platform.python_version(), "with", ssl.OPENSSL_VERSION, "and pip", pip.__version__)
"""

# Which distribution has it as a package; an image that brings its own will do as well.
_HOME = {
    "3.15": "",
    "3.14": "",
    "3.13": "Debian trixie",
    "3.12": "Ubuntu noble",
    "3.11": "Debian bookworm",
    "3.10": "Ubuntu jammy",
    "3.9": "Debian bullseye",
    "3.8": "Ubuntu focal",
    "3.7": "",
    "3.6": "Ubuntu bionic",
    "3.5": "Ubuntu xenial",
    "2.7": "Debian bullseye, Ubuntu xenial",
}
_RELEASES = tuple(
    Release(
        version=python,
        pythons=(python,),
        devices=("any",),
        note=f"a package of {home}" if home else "from an image that has it",
    )
    for python, home in _HOME.items()
)


def _layers(_request: Request) -> tuple[()]:
    """The engine brings the interpreter itself: every other framework needs it too."""
    return ()


def _check(request: Request) -> str:
    return _CHECK.replace("PYTHON", request.target.python or "none")


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare python."""
    return [
        Framework(
            name="python",
            summary="Python with an empty environment and pip",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="package lists of the Debian and Ubuntu releases",
            checked="2026-11-24",
        )
    ]
