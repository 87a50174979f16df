"""The same recipe gives the same digest: no name, id, setting or secret of the host that builds is in an image."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from .user import User, program

pytestmark = [pytest.mark.build, pytest.mark.network]

SERVERS = """
    name = "ava-test-same"
    base = { debian = "bookworm" }
    [packages]
    apt = ["openssh-server", "ssl-cert", "dbus", "munge", "bind9", "systemd"]
"""
OTHER_HOST = {
    "TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "77", "PYTHONOPTIMIZE": "1",
    "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "0",
}  # fmt: skip


def made(root: User) -> tuple[str, list[Path]]:
    outcome = root.avabuild("recipe", root.recipe(SERVERS), "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    blobs = root.home / "out" / "blobs" / "sha256"
    (entry,) = json.loads((root.home / "out" / "index.json").read_bytes())["manifests"]
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    return entry["digest"], [blobs / one["digest"].removeprefix("sha256:") for one in manifest["layers"]]


@pytest.mark.slow
def test_two_hosts_make_the_same_image_from_empty_caches_and_no_key_is_in_it(root: User) -> None:
    root.cache = root.home / "first"
    first, layers = made(root)
    names: dict[str, int] = {}
    for layer in layers:
        with tarfile.open(layer) as tar:
            names |= {member.name.removeprefix("./"): member.size for member in tar}
    keys = [name for name in names if name.startswith("etc/ssh/ssh_host_") or "snakeoil" in name]
    assert not keys
    assert not {"etc/munge/munge.key", "etc/bind/rndc.key", "var/lib/dbus/machine-id"} & set(names)
    empty = ("etc/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf")
    assert [names[name] for name in empty] == [0, 0, 0, 0]
    assert "etc/localtime" in names
    shutil.rmtree(root.home / "out")
    root.cache = root.home / "second"
    mask = os.umask(0o077)
    root.env |= OTHER_HOST
    root.program = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh", *program())
    try:
        assert made(root)[0] == first
    finally:
        os.umask(mask)


def test_steps_and_login_shells_find_the_environment(root: User) -> None:
    recipe = root.recipe("""
        name = "ava-test-shells"
        base = { debian = "bookworm" }
        [frameworks]
        python = "*"
        [packages]
        pip = ["ipykernel"]
        [[run]]
        stage = "system"
        shell = "mv /opt /srv/opt; chmod 2775 /srv/opt; ln -s srv/opt /opt"
        [[run]]
        shell = "python -m ipykernel install --prefix /usr/local --name mine; touch /opt/venv/here"
    """)
    outcome = root.avabuild("recipe", recipe)
    assert outcome.code == 0, outcome.err
    image = "localhost/ava-test-shells:py311-cpu"
    shown = root.inside(
        image,
        "readlink /opt; stat -c %a /srv/opt; stat -c %Y /srv/opt; bash -lc 'command -v python';"
        " su - -c 'command -v python; echo $VIRTUAL_ENV'; ls /usr/local/share/jupyter/kernels",
    )
    assert shown.split() == [
        "srv/opt", "2775", "315532800", "/opt/venv/bin/python", "/opt/venv/bin/python", "/opt/venv", "mine",
    ]  # fmt: skip
