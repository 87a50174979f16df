"""Keys are known by the fingerprints that GnuPG gives them, armoured or not, one or several in a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from avabuild.common import openpgp

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG makes the keys")


@pytest.fixture(scope="module")
def ring(tmp_path_factory) -> Path:
    """A GnuPG home with two keys: RSA and Ed25519."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    for kind, who in (("rsa2048", "one@example.invalid"), ("ed25519", "two@example.invalid")):
        gpg(home, "--passphrase", "", "--quick-gen-key", who, kind, "sign", "never")
    return home


def gpg(home: Path, *argv: str) -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *argv]
    return subprocess.run(command, capture_output=True, check=True).stdout


def fingerprints(home: Path) -> list[str]:
    lines = gpg(home, "--list-keys", "--with-colons").decode().splitlines()
    return [line.split(":")[9] for line in lines if line.startswith("fpr")]


@pytest.mark.parametrize("armour", [["--armor"], []])
def test_fingerprints_are_gnupgs(ring, armour):
    assert list(openpgp.keys(gpg(ring, *armour, "--export"))) == fingerprints(ring)


def test_one_key_of_several_is_whole_for_itself(ring, tmp_path):
    both = openpgp.keys(gpg(ring, "--armor", "--export"))
    for who in ("one", "two"):
        alone = gpg(ring, "--export", f"{who}@example.invalid")
        assert alone in both.values()


def test_a_secret_key_is_refused(ring):
    with pytest.raises(ValueError, match="secret key"):
        openpgp.keys(
            gpg(ring, "--armor", "--export-secret-keys", "two@example.invalid").replace(b"PRIVATE", b"PUBLIC")
        )


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x99\x01", openpgp.ARMOUR.encode() + b"\n\n!!\n-----END", b"\xc6"]
)
def test_what_is_no_key_is_said_to_be_none(data):
    with pytest.raises(ValueError, match=r".+"):
        openpgp.keys(data)


def test_a_key_that_is_cut_short_is_refused(ring):
    whole = gpg(ring, "--export", "one@example.invalid")
    with pytest.raises(ValueError, match="cut short"):
        openpgp.keys(whole[:-10])
