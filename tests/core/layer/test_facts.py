from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from avabuild.common.errors import StoreError
from avabuild.common.tars import opened
from avabuild.layer.facts import Facts, assumed, assumed_image, read_facts, releases_with

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n# ID=comment\n'
UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\n'
ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.1\n'
DPKG = """\
Package: libc-bin
Status: install ok installed
Version: 9.99-1

Package: libc6
Status: install ok installed
Priority: optional
Architecture: amd64
Version: 2.36-9+deb12u10
Depends: libgcc-s1

Package: libcrypt1
Version: 1:4.4.33-2
"""


def tar(files: Mapping[str, str | None], links: Mapping[str, str] | None = None, prefix: str = "") -> bytes:
    """A layer: text by name, None for a directory, and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(prefix + name)
            data = (text or "").encode()
            info.type = tarfile.DIRTYPE if text is None else tarfile.REGTYPE
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(prefix + name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


@pytest.fixture
def facts_of(tmp_path: Path) -> Callable[..., Facts]:
    def read(*layers: bytes) -> Facts:
        paths = [tmp_path / f"layer{number}" for number in range(len(layers))]
        for path, data in zip(paths, layers, strict=True):
            path.write_bytes(data)
        return read_facts(paths)

    return read


BOOKWORM = {
    "etc/": None,
    "usr/lib/os-release": DEBIAN,
    "var/lib/dpkg/status": DPKG,
    "usr/bin/apt-get": "",
}
LINKS = {"etc/os-release": "../usr/lib/os-release", "bin": "usr/bin"}


def test_a_debian_offers_its_own_python_though_it_is_not_there_yet(facts_of):
    facts = facts_of(tar(BOOKWORM, LINKS))
    assert facts == assumed("bookworm")
    assert (facts.distribution, facts.glibc, facts.apt) == ("bookworm", "2.36", True)
    assert facts.offered == ("3.11",)
    assert facts.interpreter("3.11") == "/usr/bin/python3.11"
    assert facts.interpreter("3.12") is None


def test_a_debian_with_pythons_offers_the_newest_first(facts_of):
    pythons = dict.fromkeys(["usr/bin/python3.11", "usr/local/bin/python3.9", "usr/local/bin/python3.13"], "")
    facts = facts_of(tar(BOOKWORM | pythons, LINKS | {"usr/local/bin/python3.13": "python3.9"}))
    assert facts.offered == ("3.13", "3.11", "3.9")
    assert facts.interpreter("3.13") == "/usr/local/bin/python3.13"
    assert facts.interpreter("3.9") == "/usr/local/bin/python3.9"


@pytest.mark.parametrize(
    "name",
    [
        "usr/bin/python3",
        "usr/bin/python3.11-config",
        "opt/bin/python3.11",
        "usr/lib/python3.11",
        "bin/python3.11",
    ],
)
def test_what_is_no_interpreter_is_not_taken_for_one(facts_of, name):
    assert facts_of(tar({name: ""})).pythons == ()


def test_an_ubuntu_offers_what_its_packages_do(facts_of):
    status = "Package: libc6\nVersion: 2.35-0ubuntu3.8\n"
    files = {"etc/os-release": UBUNTU, "var/lib/dpkg/status": status, "usr/bin/apt-get": ""}
    facts = facts_of(tar(files))
    assert (facts.distribution, facts.glibc, facts.apt, facts.offered) == ("jammy", "2.35", True, ("3.10",))
    assert facts_of(tar(files | {"usr/bin/python3.10": ""})).offered == ("3.10",)
    del files["usr/bin/apt-get"]
    assert facts_of(tar(files)).offered == ()


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("ubuntu:16.04", "xenial"),
        ("docker.io/library/ubuntu:22.04", "jammy"),
        ("nvidia/cuda:9.0-cudnn7-runtime-ubuntu16.04", "xenial"),
        ("registry.example.com:5000/nvidia/cuda:12.4.1-base-ubuntu24.04", "noble"),
        ("ubuntu:16.04@sha256:" + "0" * 64, "xenial"),
        ("ubuntu:17.10", None),
        ("ubuntu:jammy-20240111", "jammy"),
        ("debian:12-slim", "bookworm"),
        ("docker.io/library/debian:trixie-20260101", "trixie"),
        ("buildpack-deps:bullseye", "bullseye"),
        ("python:3.11-slim-bookworm", "bookworm"),
        ("python:3.11-slim", None),
        ("debian:7", None),
        ("ubuntu", None),
        ("registry.example.com:16.04", None),
    ],
)
def test_an_image_that_names_its_release_is_known_before_it_is_had(reference, name):
    facts = assumed_image(reference)
    assert (facts and facts.distribution) == name


def test_an_alpine_has_neither_glibc_nor_apt(facts_of):
    facts = facts_of(tar({"etc/os-release": ALPINE, "lib/ld-musl-x86_64.so.1": "", "usr/bin/python3.12": ""}))
    assert facts == Facts(distribution="alpine", pythons=(("3.12", "/usr/bin/python3.12"),))


def test_a_c_library_without_dpkg_is_known_by_its_file(facts_of):
    facts = facts_of(tar({"etc/os-release": 'ID="centos"\n', "usr/lib64/libc-2.28.so": ""}))
    assert (facts.distribution, facts.glibc) == ("centos", "2.28")


@pytest.mark.parametrize("files", [{}, {"etc/os-release": ""}, {"etc/os-release": "no pairs\n= =\n"}])
def test_a_base_that_says_nothing_is_unknown(facts_of, files):
    assert facts_of(tar(files)) == Facts()


def test_a_debian_without_apt_can_be_given_no_python(facts_of):
    assert facts_of(tar({"etc/os-release": DEBIAN})).offered == ()


def test_an_upper_layer_wins(facts_of):
    upper = {"etc/os-release": UBUNTU, "var/lib/dpkg/status": "Package: libc6\nVersion: 2.99-1\n"}
    facts = facts_of(tar(BOOKWORM), tar(upper), tar({"usr/local/bin/python3.12": ""}))
    assert (facts.distribution, facts.glibc) == ("jammy", "2.99")
    assert facts.offered == ("3.12", "3.10")


@pytest.mark.parametrize("prefix", ["./", "/", ""])
def test_names_are_read_however_the_tar_spells_them(facts_of, prefix):
    assert facts_of(tar(BOOKWORM, prefix=prefix)) == assumed("bookworm")


def test_no_layers_are_no_facts():
    assert read_facts([]) == Facts()


def frames(data: bytes) -> bytes:
    """zstd in several frames, one of them to be skipped, as zstd:chunked layers have."""
    pack = zstandard.ZstdCompressor().compress
    skipped = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"toc!"
    return pack(data[:700]) + skipped + pack(data[700:]) + skipped


PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:600]) + gzip.compress(data[600:]),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd in frames": frames,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_a_layer_is_read_whatever_its_compression(tmp_path, facts_of, pack):
    data = tar(BOOKWORM, LINKS)
    assert facts_of(pack(data)) == assumed("bookworm")
    with opened(tmp_path / "layer0") as file:
        assert file.read(100) + file.read() == data


@pytest.mark.parametrize(
    "layer",
    [
        tar(BOOKWORM)[:1300],
        gzip.compress(tar(BOOKWORM))[:-20],
        zstandard.compress(tar(BOOKWORM))[:-20],
        b"junk",
    ],
    ids=["plain", "gzip", "zstd", "no tar"],
)
def test_a_layer_that_was_cut_off_is_not_taken_for_a_whole_one(facts_of, layer):
    with pytest.raises(StoreError, match="damaged"):
        facts_of(layer)


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_a_debian_yet_to_be_made_has_a_python_and_a_c_library(suite):
    facts = assumed(suite)
    assert (facts.distribution, facts.apt) == (suite, True)
    assert facts.offered == facts.installable
    assert facts.interpreter(facts.offered[0]) == f"/usr/bin/python{facts.installable[0]}"


def test_a_bullseye_has_python_2_too_and_its_own_python_first(facts_of):
    assert assumed("bullseye").offered == ("3.9", "2.7")
    debian = DEBIAN.replace("bookworm", "bullseye")
    facts = facts_of(tar(BOOKWORM | {"usr/lib/os-release": debian, "usr/bin/python2.7": ""}, LINKS))
    assert facts.offered == ("2.7", "3.9")
    assert facts.interpreter("2.7") == "/usr/bin/python2.7"
    assert releases_with("2.7") == ("bullseye",)
    assert releases_with("3.5") == ()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o755, link: str = "", data: bytes = b""
) -> bytes:
    """A layer of one entry."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


PYTHONS = {**BOOKWORM, "usr/local/bin/python3.12": "", "usr/bin/python3.11": ""}


@pytest.mark.parametrize(
    ("whiteout", "left"),
    [
        ("usr/local/bin/.wh.python3.12", ("3.11",)),
        ("./usr/local/bin/.wh..wh..opq", ("3.11",)),
        ("usr/.wh.local", ("3.11",)),
        (".wh.usr", ()),
        ("usr/.wh..wh..opq", ()),
    ],
)
def test_an_interpreter_that_an_upper_layer_deleted_is_not_there(facts_of, whiteout, left):
    facts = facts_of(tar(PYTHONS, LINKS), member(whiteout))
    assert tuple(python for python, _ in facts.pythons) == left


def test_what_an_upper_layer_deleted_of_apt_dpkg_and_os_release_is_not_there(facts_of):
    below = tar(BOOKWORM, LINKS)
    assert not facts_of(below, member("usr/bin/.wh.apt-get")).apt
    assert facts_of(below, member("usr/bin/.wh.apt-get")).installable == ()
    assert facts_of(below, member("var/lib/.wh.dpkg")).glibc == "2.17"
    assert facts_of(below, member("usr/lib/.wh.os-release")).distribution == "unknown"
    both = {**BOOKWORM, "etc/os-release": UBUNTU}
    assert facts_of(tar(both)).distribution == "jammy"
    assert facts_of(tar(both), member("etc/.wh.os-release")).distribution == "bookworm"


def test_a_whiteout_hides_nothing_of_its_own_layer(facts_of):
    upper = tar({"usr/bin/python3.12": "", "usr/bin/.wh..wh..opq": "", "usr/bin/.wh.python3.12": ""})
    below = tar({"usr/bin/python3.11": ""})
    assert facts_of(below, upper).pythons == (("3.12", "/usr/bin/python3.12"),)


def test_a_file_or_link_in_a_directory_s_place_hides_what_was_below_it(facts_of):
    below = tar(PYTHONS)
    assert "3.12" not in dict(facts_of(below, member("usr/local")).pythons)
    moved = facts_of(below, tar({"opt/bin/python3.13": ""}, {"usr/local": "../opt"}))
    assert dict(moved.pythons)["3.13"] == "/usr/local/bin/python3.13"
    assert "3.12" not in dict(moved.pythons)


def test_an_interpreter_behind_links_is_followed_to_its_file(facts_of):
    links = {"usr/local/bin/python3.12": "/opt/way/python", "opt/way": "real/bin"}
    there = facts_of(tar({"opt/real/bin/python": ""}, links))
    assert there.pythons == (("3.12", "/usr/local/bin/python3.12"),)
    assert facts_of(tar({}, links)).offered == ()
    assert facts_of(tar({}, {"usr/bin/python3.12": "python3.12"})).offered == ()


def test_an_interpreter_that_only_root_can_reach_or_read_is_closed_and_says_why(facts_of):
    home = member("root/", tarfile.DIRTYPE, 0o700)
    facts = facts_of(
        home, tar({"root/py/bin/python": ""}, {"usr/local/bin/python3.12": "/root/py/bin/python"})
    )
    assert facts.offered == ()
    why = "/usr/local/bin/python3.12 leads to /root/py/bin/python: /root lets only its owner in"
    assert facts.closed == (("3.12", why),)
    assert facts_of(member("usr/bin/python3.12", mode=0o750)).closed == (
        ("3.12", "/usr/bin/python3.12 is its owner's alone"),
    )
    other = facts_of(member("usr/local/bin/python3.12", mode=0o700), member("usr/bin/python3.12"))
    assert (other.pythons, other.closed) == ((("3.12", "/usr/bin/python3.12"),), ())


@pytest.mark.parametrize(("machine", "name"), [(62, "amd64"), (183, "arm64"), (22, "s390x"), (9999, "")])
def test_a_base_is_for_the_machine_that_its_programs_are_for(facts_of, machine, name):
    order = "big" if machine == 22 else "little"
    header = (
        b"\x7fELF\x02" + (b"\x02" if order == "big" else b"\x01") + bytes(12) + machine.to_bytes(2, order)
    )
    assert facts_of(member("bin/sh", data=header), tar({"usr/bin/script": "#!/bin/sh"})).arch == name
