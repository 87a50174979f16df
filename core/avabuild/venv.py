"""The skeleton of a Python environment, made of files alone: no interpreter runs to make it.

For Python 3 it is a virtual environment (PEP 405). Python 2.7 has none: its packages stand where its own pip
puts them, and the skeleton names the commands and hides what the base has there.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from avabuild.blob import Blob, BlobWriter, Compression
from avabuild.scheme import Scheme

_ACTIVATE = """\
# Use with ". bin/activate" from a POSIX shell; "deactivate" undoes it.
deactivate () {{
    PATH="$_OLD_VIRTUAL_PATH"
    PS1="$_OLD_VIRTUAL_PS1"
    export PATH
    unset VIRTUAL_ENV _OLD_VIRTUAL_PATH _OLD_VIRTUAL_PS1
    unset -f deactivate
    hash -r 2> /dev/null
}}

if [ -n "${{VIRTUAL_ENV:-}}" ] && command -v deactivate > /dev/null; then
    deactivate
fi
_OLD_VIRTUAL_PATH="$PATH"
_OLD_VIRTUAL_PS1="${{PS1:-}}"
VIRTUAL_ENV={prefix}
PATH="$VIRTUAL_ENV/bin:$PATH"
PS1="({name}) ${{PS1:-}}"
export VIRTUAL_ENV PATH
hash -r 2> /dev/null
"""


def write_venv(out: Path, scheme: Scheme, interpreter: str, compression: Compression = "gzip") -> Blob:
    """Write one layer with an empty environment for `scheme`, and return what it is.

    Args:
        out: where to write; absent after a failure.
        scheme: the environment's places and Python version.
        interpreter: absolute path, in the image, of the Python that the environment belongs to.
        compression: `gzip` or `zstd`.

    Raises:
        ValueError: `interpreter` is not absolute.
        DiskFullError: no space left beside `out`.
    """
    if not interpreter.startswith("/"):
        raise ValueError(f"{interpreter!r} is not an absolute path")
    if not scheme.is_venv:
        return _write_classic(out, scheme, interpreter, compression)
    root, python = scheme.root, f"python{scheme.python}"
    settings = {
        "home": posixpath.dirname(interpreter),
        "include-system-site-packages": "false",
        "version": scheme.python,
    }
    cfg = "".join(f"{key} = {value}\n" for key, value in settings.items())
    activate = _ACTIVATE.format(prefix=scheme.prefix, name=posixpath.basename(scheme.prefix))
    with BlobWriter(out, compression) as writer:
        for directory in ("", "/bin", "/include", "/lib", f"/lib/{python}", f"/lib/{python}/site-packages"):
            writer.directory(root + directory)
        writer.file(f"{root}/bin/activate", activate.encode())
        writer.symlink(f"{root}/bin/python", interpreter)
        writer.symlink(f"{root}/bin/python3", "python")
        writer.symlink(f"{root}/bin/{python}", "python")
        writer.symlink(f"{root}/lib64", "lib")
        writer.file(f"{root}/pyvenv.cfg", cfg.encode())
        return writer.finish()


def _write_classic(out: Path, scheme: Scheme, interpreter: str, compression: Compression) -> Blob:
    """Write the environment of a Python without venv: its commands, and an empty directory of modules."""
    packages = scheme.purelib[1:]
    with BlobWriter(out, compression) as writer:
        writer.parents(f"{scheme.scripts[1:]}/python", scheme.root)
        writer.symlink(f"{scheme.scripts[1:]}/python", interpreter)
        writer.symlink(f"{scheme.scripts[1:]}/python2", interpreter)
        writer.parents(f"{packages}/x", scheme.root)
        writer.opaque(packages)  # what the base has there
        return writer.finish()
