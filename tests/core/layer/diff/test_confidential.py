from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from avabuild.layer.confidential import confidential, words

BEGAN = 1_700_000_000.5
NEW, OLD = BEGAN + 5, BEGAN - 5
PEM = b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"
SSH = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def put(root: Path, name: str, data: bytes, mtime: float = NEW) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("etc/ssh/ssh_host_ed25519_key", SSH),
        ("etc/ssl/private/any.key", PEM),
        ("etc/ssl/both.pem", b"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n" + PEM),
        ("root/.ssh/id_rsa", b"-----BEGIN RSA PRIVATE KEY-----\nMII\n"),
        ("home/ada/.gnupg/a", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
        ("srv/key", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        ("etc/bind/other.key", b'key "k" {\n\talgorithm hmac-sha256;\n\tsecret "q83vEjRWeJCrze8=";\n};\n'),
        ("etc/munge/munge.key", bytes(range(128))),
        ("var/lib/dbus/machine-id", b"0123\n"),
    ],
)
def test_what_a_step_made_for_one_machine_is_left_out(root: Path, name: str, data: bytes) -> None:
    put(root, name, data)
    assert confidential(root, BEGAN) == ({name}, frozenset())
    assert confidential(root, BEGAN, [f"/{name}"]) == (frozenset(), frozenset())


def test_a_machine_id_is_emptied(root: Path) -> None:
    put(root, "etc/machine-id", b"0123\n")
    assert confidential(root, BEGAN) == (frozenset(), {"etc/machine-id"})


def test_public_halves_and_links_to_either_go_with_a_key(root: Path) -> None:
    put(root, "etc/ssl/private/snake.key", PEM)
    put(root, "etc/ssl/certs/snake.pem", b"-----BEGIN CERTIFICATE-----\n")
    put(root, "etc/ssl/certs/root.pem", b"-----BEGIN CERTIFICATE-----\n")
    put(root, "etc/ssh/ssh_host_rsa_key", SSH)
    put(root, "etc/ssh/ssh_host_rsa_key.pub", b"ssh-rsa AAAA")
    (root / "etc/ssl/certs/0a1b.0").symlink_to("snake.pem")
    (root / "etc/other").symlink_to("/etc/ssl/certs/root.pem")
    gone, _ = confidential(root, BEGAN)
    assert gone == {
        "etc/ssl/private/snake.key", "etc/ssl/certs/snake.pem", "etc/ssl/certs/0a1b.0", "etc/ssh/ssh_host_rsa_key",
        "etc/ssh/ssh_host_rsa_key.pub",
    }  # fmt: skip


def test_what_packages_hold_what_is_older_and_what_comes_with_programs_stays(root: Path) -> None:
    put(root, "etc/packaged.key", PEM)
    put(root, "var/lib/dpkg/info/demo.list", b"/.\n/etc\n/etc/packaged.key\n")
    put(root, "etc/unpacked.key", PEM, OLD)
    put(root, "usr/share/doc/example.key", PEM)
    put(root, "opt/venv/lib/python3.11/site-packages/tornado/test.key", PEM)
    put(root, "home/ada/venv/lib/python3.11/site-packages/tornado/test.key", PEM)
    put(root, "etc/words", b"# begins with -----BEGIN PRIVATE KEY-----, they say\n")
    assert confidential(root, BEGAN) == (frozenset(), frozenset())


def test_no_link_leads_out_of_the_root(root: Path, tmp_path: Path) -> None:
    put(tmp_path, "outside/a.key", PEM)
    root.mkdir()
    (root / "etc").symlink_to(tmp_path / "outside")
    (root / "srv").mkdir()
    (root / "srv/a").symlink_to(tmp_path / "outside")
    assert confidential(root, BEGAN) == (frozenset(), frozenset())


def test_it_is_said_what_is_gone_and_how_it_comes_back() -> None:
    told = words(["etc/ssh/ssh_host_rsa_key", "etc/munge/munge.key"], ["etc/machine-id"])
    assert "left out of the layer: /etc/munge/munge.key, /etc/ssh/ssh_host_rsa_key" in told
    assert "emptied: /etc/machine-id" in told
    assert "ssh-keygen -A, mungekey --create" in told
    assert "build.keep_secrets" in told


def test_the_layer_lacks_them_and_the_program_says_so(overlay, tmp_path):
    overlay.directory("etc/ssl")
    overlay.file("etc/ssl/a.key", PEM)
    overlay.file("etc/ssl/a[b].key", PEM)
    overlay.file("etc/ssl/ab.key", b"none")
    overlay.file("etc/machine-id", b"0123\n")
    for keep, wanted in (
        ([], {"etc/ssl/ab.key": 4, "etc/machine-id": 0}),
        (
            ["+/etc/*"],
            {
                "etc/ssl/ab.key": 4,
                "etc/machine-id": 5,
                "etc/ssl/a.key": len(PEM),
                "etc/ssl/a[b].key": len(PEM),
            },
        ),
    ):
        argv = [overlay.merged, tmp_path / "out", repr(BEGAN), "gzip", *keep]
        run = subprocess.run(
            [sys.executable, "-m", "avabuild.layer.diff", *argv], check=True, capture_output=True, text=True
        )
        with tarfile.open(tmp_path / "out") as tar:
            assert {m.name: m.size for m in tar if m.isreg()} == wanted
        assert bool(json.loads(run.stdout)["told"]) == (not keep)
