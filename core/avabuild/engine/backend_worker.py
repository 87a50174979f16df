"""Asks a package's build backend (PEP 517): run by the Python of its own environment, in its own container.

`unpack SOURCE PLACE` unpacks an sdist. `wheel` and `metadata`, each with `PLACE OUT SPEC`, leave a wheel, or
the file METADATA, in OUT. SPEC is the JSON {"backend": NAME, "path": [...], "subdirectory": TEXT,
"known": [...]}. When the backend wants more than the requirements that are known, they are left as
`requires.json` instead.

Standard library of Python 3.6 and later only.
"""

import importlib
import json
import os
import sys
import tarfile
import zipfile
from typing import Any


def unpack(source: str, place: str) -> None:
    """Unpack the archive `source` into the new directory `place`."""
    os.mkdir(place)
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            archive.extractall(place)
    else:
        with tarfile.open(source) as tar:
            tar.extractall(place)


def enter(place: str, subdirectory: str) -> None:
    """Change to the project below `place`."""
    names = sorted(name for name in os.listdir(place) if os.path.isdir(os.path.join(place, name)))
    whole = [os.path.join(place, name, subdirectory) for name in names]
    found = [path for path in whole if has_project(path)]
    if not found:
        raise SystemExit("it holds no project: neither pyproject.toml nor setup.py")
    os.chdir(found[0])


def has_project(path: str) -> bool:
    """Whether the directory is a Python project's."""
    return any(os.path.exists(os.path.join(path, name)) for name in ("pyproject.toml", "setup.py"))


def load(spec: Any) -> Any:
    """Return the backend, which may be in the project's own tree."""
    sys.path[:1] = [os.path.join(os.getcwd(), part) for part in spec["path"]]
    module, _, names = spec["backend"].partition(":")
    backend = importlib.import_module(module)
    for name in names.split(".") if names else ():
        backend = getattr(backend, name)
    return backend


def wanted(backend: Any) -> Any:
    """Return what the backend needs beside what the project says."""
    hook = getattr(backend, "get_requires_for_build_wheel", None)
    return list(hook({})) if hook else []


def wheel(backend: Any, out: str) -> Any:
    """Build the wheel into `out`; return its name."""
    return backend.build_wheel(out, {}, None)


def metadata(backend: Any, out: str) -> None:
    """Leave the file METADATA in `out`, of a wheel where the backend can't do with less."""
    hook = getattr(backend, "prepare_metadata_for_build_wheel", None)
    place = os.path.join(out, "prepared")
    os.mkdir(place)
    if hook:
        with open(os.path.join(place, hook(place, {}), "METADATA"), "rb") as file:
            text = file.read()
    else:
        with zipfile.ZipFile(os.path.join(place, wheel(backend, place))) as archive:
            name = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")][0]
            text = archive.read(name)
    with open(os.path.join(out, "METADATA"), "wb") as file:
        file.write(text)


def main(action: str, place: str, out: str, text: str) -> None:
    """Do what `action` says."""
    spec = json.loads(text)
    enter(place, spec["subdirectory"])
    backend = load(spec)
    more = wanted(backend)
    if set(more) - set(spec["known"]):
        with open(os.path.join(out, "requires.json"), "w") as file:
            json.dump(more, file)
        return
    {"wheel": wheel, "metadata": metadata}[action](backend, out)


if __name__ == "__main__":
    if sys.argv[1] == "unpack":
        unpack(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
