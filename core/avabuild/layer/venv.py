"""The skeleton of a Python environment, made of files alone: no interpreter runs to make it.

For Python 3 it is a virtual environment (PEP 405). Python 2.7 has none: its packages stand where its own pip
puts them, and the skeleton names the commands and hides what the base has there.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from avabuild.layer.blob import BlobWriter, Compression
from avabuild.layer.scheme import Scheme
from avabuild.layer.standing import Standing
from avabuild.store.blob import Blob
from avabuild.store.oci import PATH

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

_PROFILE = """\
# The image's Python environment, for login shells: /etc/profile makes a PATH of its own.
case ":$PATH:" in
    *:{prefix}/bin:*) ;;
    *) PATH="{prefix}/bin:$PATH" ;;
esac
VIRTUAL_ENV="${{VIRTUAL_ENV:-{prefix}}}"
export PATH VIRTUAL_ENV
"""


def write_venv(
    out: Path,
    scheme: Scheme,
    interpreter: str,
    compression: Compression = "gzip",
    standing: Standing | None = None,
) -> Blob:
    """Write one layer with an empty environment for `scheme`, and return what it is.

    Args:
        out: where to write; absent after a failure.
        scheme: the environment's places and Python version.
        interpreter: absolute path, in the image, of the Python that the environment belongs to.
        compression: `gzip` or `zstd`.
        standing: how the directories of the base are, and whether there is sudo.

    Raises:
        ValueError: `interpreter` is not absolute.
        DiskFullError: no space left beside `out`.
    """
    if not interpreter.startswith("/"):
        raise ValueError(f"{interpreter!r} is not an absolute path")
    standing = standing or Standing()
    if not scheme.is_venv:
        return _write_classic(out, scheme, interpreter, compression, standing)
    root, python = scheme.root, f"python{scheme.python}"
    settings = {
        "home": posixpath.dirname(interpreter),
        "include-system-site-packages": "false",
        "version": scheme.python,
    }
    cfg = "".join(f"{key} = {value}\n" for key, value in settings.items())
    activate = _ACTIVATE.format(prefix=scheme.prefix, name=posixpath.basename(scheme.prefix))
    with BlobWriter(out, compression, standing=standing) as writer:
        _write_paths(writer, scheme, sudo=standing.sudo)
        for directory in ("bin", "include", "lib", f"lib/{python}", f"lib/{python}/site-packages"):
            writer.parents(f"{root}/{directory}/x")
        writer.file(f"{root}/bin/activate", activate.encode())
        writer.symlink(f"{root}/bin/python", interpreter)
        writer.symlink(f"{root}/bin/python3", "python")
        writer.symlink(f"{root}/bin/{python}", "python")
        writer.symlink(f"{root}/lib64", "lib")
        writer.file(f"{root}/pyvenv.cfg", cfg.encode())
        return writer.finish()


def _write_paths(writer: BlobWriter, scheme: Scheme, *, sudo: bool) -> None:
    """Have login shells and sudo, which make a PATH of their own, find the environment's commands."""
    writer.parents("etc/profile.d/avabuild.sh")
    writer.file("etc/profile.d/avabuild.sh", _PROFILE.format(prefix=scheme.prefix).encode())
    if sudo:
        writer.parents("etc/sudoers.d/avabuild")
        line = f'Defaults secure_path="{scheme.scripts}:{PATH}"\n'
        writer.file("etc/sudoers.d/avabuild", line.encode(), 0o440)


def _write_classic(
    out: Path, scheme: Scheme, interpreter: str, compression: Compression, standing: Standing
) -> Blob:
    """Write the environment of a Python without venv: its commands, and an empty directory of modules."""
    packages = scheme.purelib[1:]
    with BlobWriter(out, compression, standing=standing) as writer:
        writer.parents(f"{scheme.scripts[1:]}/python")
        writer.symlink(f"{scheme.scripts[1:]}/python", interpreter)
        writer.symlink(f"{scheme.scripts[1:]}/python2", interpreter)
        writer.parents(f"{packages}/x")
        writer.opaque(packages)  # what the base has there
        return writer.finish()
