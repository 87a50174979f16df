"""Rebuild: what an image's recipe and lock did, as steps that any other builder can take. Pure.

What no other builder could do again (compiled layers, files of plugins, packages of repositories whose
address the image does not have) is taken from the image's own layers.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avabuild.common.errors import ImageError
from avabuild.images.description import Description, LayerAbout
from avabuild.layer.scheme import Scheme
from avabuild.resolve.lock import AptLock, Package

_RUN = re.compile(r"run (?P<number>\d+) \((?P<stage>\w+)[\w, ]*\): .*")
_PYTHON = re.compile(r"python environment|(wheels|bytecode) of .*")
CERTIFICATES = "/run/secrets/ca"  # of mirrors and indexes, where a step sees those that a builder was given
_LISTS = "/var/lib/apt/lists/*"


@dataclass(frozen=True, slots=True)
class Unpack:
    """A layer of the image put as it is: `index` among its layers, and why it is not made anew."""

    index: int
    words: str


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell text that stops at the first failure.

    Attributes:
        words: what it does.
        text: what is run.
        secrets: names of variables that it needs from whoever builds.
        mounts: source (relative to the recipe) and target of what it sees.
        asks: whether it asks mirrors or indexes, for which whoever builds may have certificates.
    """

    words: str
    text: str
    secrets: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Wheels:
    """Python packages: made into wheels with `make` elsewhere, installed from `/wheels` with `install`.

    `requirements` are files by name: those with hashes, and those of repositories, which have none.
    """

    make: str
    install: str
    requirements: tuple[tuple[str, str], ...]


Step = Unpack | Shell


class Texts:
    """The shell texts of a rebuild, as files that are named in the order in which they are run."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def keep(self, words: str, text: str) -> str:
        """Return the name of the file that `text` gets."""
        name = f"steps/{len(self.files) + 1:02}-{file_words(words)}.sh"
        self.files[name] = text.rstrip() + "\n"
        return name


def file_words(words: str) -> str:
    """Return what a file is called for `words`."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in words.lower())
    return "-".join(filter(None, plain.split("-")))[:40].strip("-")


@dataclass(frozen=True, slots=True)
class Rebuild:
    """How an image is made again.

    Attributes:
        base: the name of the image that it stands on; empty when that is a root file system of its own, or
            nothing.
        root: which of the image's layers are that root file system.
        below: steps under the Python packages; `above` on top of them.
        wheels: None for an image without Python packages, and where they are layers in `below`.
    """

    base: str
    root: tuple[int, ...]
    below: tuple[Step, ...]
    wheels: Wheels | None
    above: tuple[Step, ...]


def rebuild(about: Description, reference: str, config: Mapping[str, Any] | None = None) -> Rebuild:
    """Return how the image that is described was made; steps at the end see the environment of its `config`.

    Raises:
        ImageError: another tool made it, or an avabuild that kept no lock in it.
    """
    if about.lock is None:
        why = "an older avabuild made it, or a tool left out the manifest's annotations: build it again"
        why = why if about.own else "another tool made it"
        raise ImageError(f"{reference} doesn't say what it was made of", hint=why)
    if about.exported:
        raise ImageError(
            f"{reference} was built from the exported Containerfile of {about.exported}",
            hint=f"export {about.exported} itself, or this image as an archive: --format oci-archive",
        )
    root = tuple(index for index, layer in enumerate(about.layers) if layer.name == "base")
    name = str(about.base.get("image") or "")
    refused = _refused(about)
    below: list[Step] = []
    above: list[Step] = []
    wheels, apts = None, iter([apt for apt in about.lock.apt if apt.debs])
    for index, layer in enumerate(about.layers):
        if index in root:
            continue
        if _is_python(layer, about.lock.python):
            if refused:
                below.append(Unpack(index, f"{layer.name}: {refused}"))
            elif wheels is None:
                wheels = _wheels(about)
            continue
        (above if wheels or any(_is_unpacked_python(step) for step in below) else below).append(
            _step(index, layer, about, apts, (config or {}).get("config") or {})
        )
    return Rebuild(name, root, tuple(below), wheels, tuple(above))


def _is_unpacked_python(step: Step) -> bool:
    return isinstance(step, Unpack) and step.words.startswith("python environment")


def _is_python(layer: LayerAbout, packages: Sequence[Package]) -> bool:
    name = re.sub(r" \d+/\d+$", "", layer.name)
    return bool(_PYTHON.fullmatch(layer.name)) or any(package.name == name for package in packages)


def _step(
    index: int, layer: LayerAbout, about: Description, apts: Iterator[AptLock], config: Mapping[str, Any]
) -> Step:
    if layer.name.startswith("apt: "):
        lock = next(apts)
        if lock.repositories:
            return Unpack(index, f"{layer.name}, of {', '.join(lock.repositories)}")
        return Shell(layer.name, apt_text(lock), asks=True)
    found = _RUN.fullmatch(layer.name)
    if found and layer.origins == ("recipe",):
        return _run(layer.name, found["stage"], about, config)
    return Unpack(index, layer.name)


def _run(name: str, stage: str, about: Description, config: Mapping[str, Any]) -> Shell:
    """Return the recipe's step behind a layer: the how-manieth of its stage it is, its name says."""
    runs = [run for run in about.recipe.get("run") or () if run.get("stage", "last") == stage]
    mine = [layer.name for layer in about.layers if (m := _RUN.fullmatch(layer.name)) and m["stage"] == stage
            and layer.origins == ("recipe",)]  # fmt: skip
    run: Mapping[str, Any] = runs[mine.index(name)]
    seen = ""
    if stage == "last":
        pairs = (entry.partition("=") for entry in config.get("Env") or ())
        seen = "".join(f"export {key}={shlex.quote(value)}\n" for key, _, value in pairs)
        place = config.get("WorkingDir") or "/"
        seen += f"cd {shlex.quote(place)}\n" if place != "/" else ""
    exports = seen + "".join(
        f"export {key}={shlex.quote(str(value))}\n" for key, value in _pairs(run.get("env"))
    )
    mounts = tuple((str(mount["source"]), str(mount["target"])) for mount in run.get("mounts") or ())
    return Shell(name, exports + str(run["shell"]).strip(), tuple(run.get("secrets") or ()), mounts)


def _pairs(table: Any) -> list[tuple[str, str]]:
    return list(table.items()) if isinstance(table, Mapping) else [(str(k), str(v)) for k, v in table or ()]


def apt_text(lock: AptLock) -> str:
    """Return what installs exactly the packages that were locked; `$APT_MIRROR` may name where they are."""
    asked = {package.split("=")[0].split("/")[0] for package in lock.packages}
    pins = " \\\n    ".join(shlex.quote(f"{deb.name}={deb.version}") for deb in lock.debs)
    brought = " ".join(deb.name for deb in lock.debs if deb.name not in asked)
    marked = f"apt-mark auto {brought} >/dev/null\n" if brought else ""
    return f"{_MIRROR}apt-get $apt install -y --no-install-recommends \\\n    {pins}\n{marked}{_CLEAN}"


_MIRROR = f"""\
export DEBIAN_FRONTEND=noninteractive
apt=
if [ -s {CERTIFICATES} ]; then
    apt="-o Acquire::https::CaInfo={CERTIFICATES}"
fi
if [ -n "${{APT_MIRROR:-}}" ]; then
    echo "deb $APT_MIRROR $(. /etc/os-release; echo "$VERSION_CODENAME") main" >/tmp/export.list
    apt="$apt -o Dir::Etc::SourceList=/tmp/export.list -o Dir::Etc::SourceParts=-"
fi
rm -rf {_LISTS}
apt-get $apt update
"""
_CLEAN = f"apt-get clean\nrm -rf {_LISTS} /tmp/export.list"


def _refused(about: Description) -> str:
    """Say why the Python packages can't be installed anew, if so."""
    packages = about.lock.python if about.lock else ()
    if about.python == "2.7":
        return "no pip of today installs for Python 2.7"
    if not any(package.name == "pip" for package in packages):
        return "pip is not among the packages"
    own = [package.name for package in packages if package.kind == "file"]
    return f"the recipe's own {', '.join(own)} is in no index" if own else ""


def _wheels(about: Description) -> Wheels:
    packages = about.lock.python if about.lock else ()
    python = f"python{about.python}"
    built = [package for package in packages if package.kind in {"sdist", "git"}]
    tools = ["python3-pip", "python3-venv"] if not built else [
        "python3-pip", "python3-venv", "build-essential", f"{python}-dev", "git"]  # fmt: skip
    condition = "true" if built else f"! {python} -m pip --version >/dev/null 2>&1"
    listed = [package for package in packages if package.kind != "git"]
    files = [("requirements.txt", "".join(map(_line, listed)))]
    command = f"{python} -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels"
    make = (
        f"if [ -s {CERTIFICATES} ]; then\n"
        f"    export PIP_CERT={CERTIFICATES} GIT_SSL_CAINFO={CERTIFICATES}\nfi\n"
        f"if {condition}; then\n{_MIRROR}"
        f"apt-get $apt install -y --no-install-recommends {' '.join(tools)}\nfi\n"
        f"{command} --require-hashes -r /requirements/requirements.txt\n"
    )
    if repositories := [package for package in packages if package.kind == "git"]:
        files.append(("repositories.txt", "".join(map(_line, repositories))))
        make += f"{command} -r /requirements/repositories.txt\n"
    prefix = Scheme(python=about.python).prefix
    install = (
        f"{python} -m venv --without-pip {prefix}\n"
        "pip=$(echo /wheels/pip-*.whl)\n"
        f'{prefix}/bin/python "$pip/pip" install --no-cache-dir --no-index --no-deps /wheels/*.whl'
    )
    return Wheels(make.rstrip(), install, tuple(files))


def _line(package: Package) -> str:
    if package.kind == "git":
        below = f"#subdirectory={package.subdirectory}" if package.subdirectory else ""
        return f"{package.name} @ git+{package.url.removeprefix('git+')}@{package.commit}{below}\n"
    what = f"{package.name} @ {package.url}" if package.url else f"{package.name}=={package.version}"
    return f"{what} \\\n    --hash=sha256:{package.sha256}\n"
