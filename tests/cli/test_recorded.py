"""Keys and digests stay: what an earlier avabuild made is found by this one, and made anew it is the same."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

RECIPE = """
name = "recorded"
base = { archive = "base.tar" }
build = { bytecode = false }
[packages]
pip = ["demo"]
[[files]]
source = "files"
target = "/srv/files"
exclude = ["**/*.tmp"]
[image]
workdir = "/work"
env = { GREETING = "hello" }
labels = { "org.example" = "x" }
"""
BASE = {
    "etc/os-release": b"ID=debian\nVERSION_CODENAME=bookworm\n",
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "usr/bin/python3.11": b"#!/bin/sh\n",
}
WHEEL = {
    "demo.py": "ANSWER = 42\n",
    "demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
    "demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "demo-1.0.dist-info/entry_points.txt": "[console_scripts]\ndemo = demo:main\n",
    "demo-1.0.dist-info/RECORD": "demo.py,,\n",
}


def write_inputs(place: Path) -> None:
    """Write what the recipe names, the same bytes whenever and wherever that is."""
    with tarfile.open(place / "base.tar", "w") as tar:
        for name, content in BASE.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    (place / "links").mkdir()
    with zipfile.ZipFile(place / "links" / "demo-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in WHEEL.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    (place / "files" / "sub").mkdir(parents=True)
    (place / "files" / "sub" / "one").write_text("one\n" * 20_000)
    (place / "files" / "link").symlink_to("sub/one")
    (place / "files" / "left.tmp").write_text("left out\n")
    (place / "recorded.toml").write_text(RECIPE)


def test_an_image_has_the_digest_and_the_keys_that_it_always_had(
    tmp_path: Path, golden: Callable[[str, str], None]
) -> None:
    write_inputs(tmp_path)
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("AVABUILD_", "UV_", "PIP_"))
    }
    env = own | {
        "AVABUILD_CACHE": str(tmp_path / "cache"),
        "AVABUILD_MODE": "none",
        "HOME": str(tmp_path),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_FIND_LINKS": str(tmp_path / "links"),
        "UV_NO_INDEX": "1",
    }
    program = "from avabuild.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "recipe", "recorded.toml", "--output", "oci:out"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads((tmp_path / "out" / "index.json").read_bytes())["manifests"]
    places = [path for kind in ("layer", "base") for path in (tmp_path / "cache/index" / kind).iterdir()]
    keys = sorted(f"{path.parent.name} {path.stem}" for path in places)
    golden(str(Path(__file__).with_suffix(".txt")), "\n".join([f"image {entry['digest']}", *keys]) + "\n")
