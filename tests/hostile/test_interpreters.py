"""Bases that claim another's Python: what their interpreter compiles is their own."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from avabuild.common.errors import StepError
from avabuild.layer.bytecode import compile_wheels
from avabuild.layer.keys import interpreters_of
from avabuild.layer.scheme import scheme_of

from ..builds.origins import Index
from ..builds.tiny import PROGRAMS, write_tiny
from ..builds.user import User

SCRIPT = '#!/bin/sh\nout=$(sed \'s/.*"out": "\\([^"]*\\)".*/\\1/\')\ncp /pack.zip "$out"\n'
SITE = "opt/venv/lib/python3.11/site-packages/__pycache__"
STATUS = "Package: python3.11-minimal\nStatus: install ok installed\nVersion: 3.11.99-1\n\n"


def base(path: Path, word: str) -> Path:
    """A base whose python3.11 says that every module is `word`."""
    write_tiny(path, [*PROGRAMS, "sed"])
    pack = io.BytesIO()
    with zipfile.ZipFile(pack, "w") as archive:
        archive.writestr(f"{SITE}/avatestx.cpython-311.pyc", word)
        archive.comment = json.dumps({"tag": "cpython-311"}).encode()
    files = {
        "usr/bin/python3.11": SCRIPT.encode(),
        "pack.zip": pack.getvalue(),
        "var/lib/dpkg/status": STATUS.encode(),
    }
    with tarfile.open(path, "a") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return path


def wheel(directory: Path, name: str) -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}x.py" if name == "pip" else f"{name}.py", "answer = 42\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def compiled(user: User, out: str) -> list[str]:
    """What the modules of an image are, one for each bytecode layer that has the module."""
    blobs = user.home / out / "blobs" / "sha256"
    listed = json.loads((user.home / out / "index.json").read_bytes())
    manifest = json.loads((blobs / listed["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
    found = []
    for layer in manifest["layers"]:
        with tarfile.open(blobs / layer["digest"].removeprefix("sha256:")) as tar:
            found += [
                tar.extractfile(one).read().decode()
                for one in tar
                if one.name.endswith("avatestx.cpython-311.pyc")
            ]  # type: ignore[union-attr]
    return found


@pytest.mark.build
def test_a_base_that_claims_anothers_python_feeds_nobody_elses_bytecode(
    root: User, index: Index, tmp_path: Path
) -> None:
    for name in ("pip", "avatestx"):
        index.add(name, wheel(tmp_path, name))
    root.cache = tmp_path / "cache"
    root.env |= {"UV_DEFAULT_INDEX": index.url, "PIP_FIND_LINKS": ""}
    for word in ("evil", "good"):
        base(root.home / f"{word}.tar", word)
        text = f"""
            name = "ava-test-claims"
            base = {{ archive = "{word}.tar" }}
            build = {{ linkage = "off" }}
            [packages]
            pip = ["avatestx"]
        """
        outcome = root.avabuild("recipe", root.recipe(text, f"{word}.toml"), "--output", f"oci:{word}")
        assert outcome.code == 0, outcome.err
    assert set(compiled(root, "evil")) == {"evil"}
    assert set(compiled(root, "good")) == {"good"}


def test_only_what_avabuild_bootstrapped_and_nothing_touched_is_known_by_its_version() -> None:
    assert interpreters_of("base", "base", (), bootstrapped=True) == ""
    others = {
        interpreters_of("base", "base", (), bootstrapped=False),
        interpreters_of("other", "other", (), bootstrapped=False),
        interpreters_of("base and a step", "base", (), bootstrapped=True),
        interpreters_of("base", "base", ("cuda",), bootstrapped=True),
    }
    assert len(others) == 4
    assert "" not in others


@pytest.mark.parametrize("left", ["link", "pipe"])
def test_an_interpreter_that_leaves_no_plain_pack_is_refused(tmp_path: Path, left: str) -> None:
    import os

    secret = tmp_path / "secret.zip"
    with zipfile.ZipFile(secret, "w") as archive:
        archive.comment = b'{"tag": "cpython-311"}'
    out = tmp_path / "pack"

    def start(argv: object, request: bytes) -> tuple[int, str]:
        {"link": lambda: out.symlink_to(secret), "pipe": lambda: os.mkfifo(out)}[left]()
        return 0, ""

    source = wheel(tmp_path, "avatestx")
    with pytest.raises(StepError, match="a command that leaves no pack"):
        compile_wheels({source: out}, scheme_of("3.11", "/usr/bin/python3.11"), ("python",), start=start)
