"""Gathering: what a compile left below `$OUT` becomes a layer, or is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import struct
import tarfile
from pathlib import Path

import pytest

from avabuild.layer.blob import MTIME
from avabuild.layer.gather import GatherError, gather, main
from avabuild.layer.tree import Node, Tree

MERGED = Tree(
    {
        "usr": Node(),
        "usr/lib": Node(),
        "lib": Node(link="usr/lib"),
        "tmp": Node(mode=0o1777),
        "srv": Node(mode=0o750, uid=7, gid=8),
    }
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def put(root: Path, name: str, text: str | bytes = "x", mode: int = 0o644) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def entries(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.read_bytes()))) as tar:
        return {member.name: member for member in tar}


def gathered(root: Path, tree: Tree = MERGED) -> dict[str, tarfile.TarInfo]:
    layer = root.parent / "layer"
    gather(root, layer, tree, "gzip")
    return entries(layer)


def test_everything_is_roots_and_of_one_time_and_modes_stay(out):
    put(out, "usr/bin/tool", mode=0o755)
    put(out, "opt/data/x", mode=0o640)
    os.utime(out / "opt/data/x", (1, 1))
    found = gathered(out)
    assert {(m.uid, m.gid, m.mtime) for m in found.values()} == {(0, 0, MTIME)}
    assert (found["usr/bin/tool"].mode, found["opt/data/x"].mode) == (0o755, 0o640)


def test_two_gatherings_of_equal_files_are_equal_bytes(out, tmp_path):
    other = tmp_path / "other" / "out"
    for root, names in ((out, ("b", "a/x", "a/y")), (other, ("a/y", "b", "a/x"))):
        for name in names:
            put(root, name, name)
    first = gather(out, tmp_path / "1", MERGED, "gzip")
    assert gather(other, tmp_path / "2", MERGED, "gzip") == first


def test_parents_are_as_the_image_has_them_and_its_links_are_followed(out):
    put(out, "lib/libdemo.so")
    put(out, "srv/x")
    put(out, "tmp/x")
    found = gathered(out)
    assert "lib" not in found, "it would replace the image's link"
    assert found["usr/lib/libdemo.so"].isreg()
    assert found["tmp"].mode == 0o1777
    assert (found["srv"].mode, found["srv"].uid, found["srv"].gid) == (0o750, 7, 8)


def test_links_and_hard_links_stay(out):
    put(out, "usr/lib/libdemo.so.1", "library")
    (out / "usr/lib/libdemo.so").symlink_to("libdemo.so.1")
    (out / "usr/lib/python").symlink_to("/usr/bin/python3")
    os.link(out / "usr/lib/libdemo.so.1", out / "usr/lib/libother.so")
    found = gathered(out)
    assert found["usr/lib/libdemo.so"].linkname == "libdemo.so.1"
    assert found["usr/lib/python"].linkname == "/usr/bin/python3"
    assert found["usr/lib/libother.so"].islnk()
    assert found["usr/lib/libother.so"].linkname == "usr/lib/libdemo.so.1"


def test_bytecode_that_holds_its_sources_time_gets_the_sources_new_one(out, tmp_path):
    put(out, "x/three.pyc", struct.pack("<4sIII", b"\xa7\r\r\n", 0, 1_700_000_000, 5) + b"code")
    put(out, "x/hashed.pyc", struct.pack("<4sIII", b"\xa7\r\r\n", 1, 1_700_000_000, 5) + b"code")
    put(out, "x/two.pyc", b"\x03\xf3\r\n" + struct.pack("<I", 1_700_000_000) + b"code")
    gather(out, tmp_path / "layer", MERGED, "gzip")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "layer").read_bytes()))) as tar:
        head = {m.name: tar.extractfile(m).read()[:16] for m in tar if m.isreg()}
    assert struct.unpack("<4sIII", head["x/three.pyc"])[2] == MTIME
    assert struct.unpack("<4sIII", head["x/hashed.pyc"])[2] == 1_700_000_000
    assert struct.unpack("<4sI", head["x/two.pyc"][:8])[1] == MTIME


def link(name: str, text: str):
    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(text)

    return make


def node(kind: str):
    def make(root: Path) -> None:
        if kind == "fifo":
            os.mkfifo(root / "x")
        elif kind == "device":
            os.mknod(root / "x", 0o20644, os.makedev(1, 3))
        else:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(root / "x"))

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "left nothing below"),
        (link("usr/lib/x", "/stage/out/usr/lib/y"), "is in the stage"),
        (link("usr/lib/x", "/stage"), "is in the stage"),
        (link("usr/lib/x", "../../../etc/shadow"), "leads out of the image"),
        (link("x", "/.."), "leads out of the image"),
        (node("fifo"), "neither a file, a directory nor a link"),
        (node("socket"), "neither a file, a directory nor a link"),
        pytest.param(
            node("device"),
            "neither a file, a directory nor a link",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices"),
        ),
        (lambda root: put(root, "proc/x"), "mounted in every container"),
        (lambda root: put(root, "run/x"), "mounted in every container"),
        (lambda root: put(root, "usr/lib/.wh.libc.so.6"), "name of a whiteout"),
        (lambda root: put(root, "opt/.wh..wh..opq"), "name of a whiteout"),
        (lambda root: put(root, "tmp"), "the image has one there"),
        (lambda root: (put(root, "lib/x"), put(root, "usr/lib/x")), "come to the same place"),
        (lambda root: (put(root, "lib/x"), put(root, "usr/lib/x/y")), "come to the same place"),
        (lambda root: put(root, "opt/tool", "#!/stage/env/bin/python\n"), "begins with #!/stage/env"),
    ],
)
def test_what_has_no_place_in_an_image_is_refused(out, tmp_path, make, words):
    make(out)
    with pytest.raises(GatherError, match=words):
        gather(out, tmp_path / "layer", MERGED, "gzip")
    assert not (tmp_path / "layer").exists()


def test_as_a_program_it_answers_with_the_blob_or_the_problem(out, tmp_path, capsys):
    (tmp_path / "tree").write_text(json.dumps({"lib": [0o777, 0, 0, "usr/lib"]}))
    arguments = [str(out), str(tmp_path / "layer"), str(tmp_path / "tree"), "gzip"]
    assert main(arguments) == 0
    assert "nothing" in json.loads(capsys.readouterr().out)["problem"]
    put(out, "lib/x")
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["unpacked"] > 0
    assert "usr/lib/x" in entries(tmp_path / "layer")
