"""Files layers: their keys are the content, the mode, the owner and the place, and nothing else."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from avabuild.common.errors import ChangedError, RecipeError
from avabuild.common.sparse import holes
from avabuild.layer import files as module
from avabuild.layer.blob import MTIME
from avabuild.layer.files import files_key, files_size, own_places, write_files
from avabuild.plugins.kinds import File
from avabuild.resolve.lock import Lock, write_lock


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The directory of a recipe with notebooks."""
    root = tmp_path / "recipe"
    (root / "notebooks" / "sub").mkdir(parents=True)
    (root / "notebooks" / "a.ipynb").write_text("a")
    (root / "notebooks" / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (root / "notebooks" / "sub" / "run.sh").chmod(0o775)
    (root / "notebooks" / "link").symlink_to("sub/run.sh")
    return root


NOTEBOOKS = File(source="notebooks", target="/workspace")
MOTD = File(content="welcome\n", target="/etc/motd")


@pytest.fixture
def key(store, recipe) -> Callable[..., tuple[tuple[str, str], ...]]:
    def of(*files: File, directory: Path = recipe, compression: str = "gzip"):
        return files_key(store, files or (NOTEBOOKS, MOTD), directory, compression)

    return of


@pytest.fixture
def written(recipe, tmp_path, entries) -> Callable[..., dict[str, tuple[tarfile.TarInfo, bytes]]]:
    def read(*files: File):
        write_files(tmp_path / "layer", files, recipe, "gzip")
        return {info.name: (info, data) for info, data in entries(tmp_path / "layer")}

    return read


# -- what is written ---------------------------------------------------------------------------------------


def test_a_directory_comes_with_all_it_holds_in_a_stable_order(written):
    found = written(NOTEBOOKS)
    assert list(found) == [
        "workspace",
        "workspace/a.ipynb",
        "workspace/link",
        "workspace/sub",
        "workspace/sub/run.sh",
    ]
    assert found["workspace/a.ipynb"][1] == b"a"
    assert (found["workspace/link"][0].type, found["workspace/link"][0].linkname) == (
        tarfile.SYMTYPE, "sub/run.sh",
    )  # fmt: skip


def test_of_the_modes_only_the_executable_bit_counts(written, recipe):
    (recipe / "notebooks" / "a.ipynb").chmod(0o600)
    found = written(NOTEBOOKS)
    modes = {name: info.mode for name, (info, _) in found.items()}
    assert modes["workspace/a.ipynb"] == 0o644
    assert modes["workspace/sub/run.sh"] == 0o755
    assert modes["workspace/sub"] == modes["workspace"] == 0o755


def test_everything_has_the_fixed_time_and_the_owner_that_was_asked_for(written):
    found = written(NOTEBOOKS, File(content="x", target="/srv/x", owner="1000:100", mode="0600"))
    assert {info.mtime for info, _ in found.values()} == {MTIME}
    assert (found["workspace"][0].uid, found["workspace"][0].gid) == (0, 0)
    info = found["srv/x"][0]
    assert (info.uid, info.gid, info.mode) == (1000, 100, 0o600)


def test_an_owner_without_a_group_has_the_group_of_its_number(written):
    info = written(File(content="x", target="/x", owner="7"))["x"][0]
    assert (info.uid, info.gid) == (7, 7)


def test_a_mode_is_for_files_and_directories_stay_open(written):
    found = written(NOTEBOOKS.model_copy(update={"mode": "0640"}))
    modes = {name: info.mode for name, (info, _) in found.items() if not info.issym()}
    assert modes == {
        "workspace": 0o755,
        "workspace/a.ipynb": 0o640,
        "workspace/sub": 0o755,
        "workspace/sub/run.sh": 0o640,
    }


@pytest.mark.parametrize(
    ("source", "target", "name"),
    [
        ("notebooks/a.ipynb", "/srv/b.ipynb", "srv/b.ipynb"),
        ("notebooks/a.ipynb", "/srv/", "srv/a.ipynb"),
        ("notebooks/a.ipynb", "/", "a.ipynb"),
        ("notebooks/sub", "/srv/", "srv/run.sh"),
        ("notebooks/sub", "/", "run.sh"),
    ],
)
def test_a_target_that_ends_in_a_slash_is_a_directory(written, source, target, name):
    assert list(written(File(source=source, target=target)))[-1] == name


def test_big_files_are_streamed(written, recipe):
    data = os.urandom(2_500_000)
    (recipe / "big").write_bytes(data)
    assert written(File(source="big", target="/big"))["big"][1] == data


def test_the_same_files_give_the_same_bytes_wherever_the_recipe_is(recipe, tmp_path):
    other = tmp_path / "elsewhere"
    recipe_blob = write_files(tmp_path / "one", (NOTEBOOKS, MOTD), recipe, "zstd")
    recipe.rename(other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert write_files(tmp_path / "two", (NOTEBOOKS, MOTD), other, "zstd") == recipe_blob


def test_what_is_neither_file_nor_directory_nor_link_is_refused_by_name(store, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(recipe / "notebooks" / "sub")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(RecipeError, match=r"sub/socket: is neither a file, a directory nor a link"):
            files_key(store, (NOTEBOOKS,), recipe, "gzip")
        with pytest.raises(RecipeError):
            write_files(tmp_path / "layer", (NOTEBOOKS,), recipe, "gzip")
    assert not (tmp_path / "layer").exists()


# -- keys --------------------------------------------------------------------------------------------------


def relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("a.ipynb")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a.ipynb").write_text("b"),
    "executable": lambda root: (root / "a.ipynb").chmod(0o755),
    "a link's target": relink,
    "a file more": lambda root: (root / "sub" / "new").touch(),
    "a directory more": lambda root: (root / "new").mkdir(),
    "a file less": lambda root: (root / "a.ipynb").unlink(),
    "a file's name": lambda root: (root / "a.ipynb").rename(root / "b.ipynb"),
    "a link instead of a file": lambda root: (
        (root / "a.ipynb").unlink(),
        (root / "a.ipynb").symlink_to("sub/run.sh"),
    ),
    "a directory instead of a file": lambda root: (
        (root / "a.ipynb").unlink(),
        (root / "a.ipynb").mkdir(),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_of_a_directory_changes_the_key(key, recipe, change):
    before = key()
    change(recipe / "notebooks")
    assert key() != before


@pytest.mark.parametrize(
    "other",
    [
        MOTD.model_copy(update={"content": "go away\n"}),
        MOTD.model_copy(update={"target": "/etc/issue"}),
        MOTD.model_copy(update={"mode": "0600"}),
        MOTD.model_copy(update={"owner": "1"}),
        MOTD.model_copy(update={"owner": "0:1"}),
        File(source="notebooks/a.ipynb", target="/etc/motd"),
    ],
    ids=["content", "target", "mode", "owner", "group", "source"],
)
def test_every_field_of_a_file_changes_the_key(key, other):
    assert key(other) != key(MOTD)


def test_compression_and_format_change_the_key(key, monkeypatch):
    before = key()
    assert key(compression="zstd") != before
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert key() != before


def test_one_file_more_changes_the_key(key):
    assert key(NOTEBOOKS, MOTD) != key(NOTEBOOKS)


def test_times_places_and_other_bits_of_the_mode_dont_change_the_key(key, recipe, tmp_path):
    before = key()
    (recipe / "notebooks" / "a.ipynb").chmod(0o600)
    (recipe / "notebooks" / "sub").chmod(0o700)
    os.utime(recipe / "notebooks" / "a.ipynb", (1, 1))
    other = recipe.rename(tmp_path / "elsewhere")
    assert key(directory=other) == before


def test_a_file_has_the_key_of_its_content_whatever_it_is_called(key, recipe):
    (recipe / "other.ipynb").write_text("a")
    assert key(File(source="other.ipynb", target="/x")) == key(File(source="notebooks/a.ipynb", target="/x"))
    assert key(File(content="a", target="/x", mode="644")) != ()


def test_a_name_that_is_no_utf_8_has_a_key_and_is_written(key, recipe, written):
    name = b"caf\xe9".decode(errors="surrogateescape")
    (recipe / "notebooks" / name).touch()
    assert any(part.endswith(name) for part, _ in key())
    assert f"workspace/{name}" in written(NOTEBOOKS)


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """A directory with libraries, links in it and out of it, and much else."""
    lib = tmp_path / "lib64"
    (lib / "stubs").mkdir(parents=True)
    (lib / "libcudart.so.9.0.176").write_text("runtime")
    (lib / "libcudart.so.9.0").symlink_to("libcudart.so.9.0.176")
    (lib / "libcudart_static.a").write_text("archive")
    (lib / "stubs" / "libcudart.so.9.0").write_text("stub")
    (tmp_path / "elsewhere").write_text("cudnn")
    (lib / "libcudnn.so.7").symlink_to(tmp_path / "elsewhere")
    (lib / "libcublas.so.9.0").symlink_to("gone")
    return lib


ONLY = ("libcudart.so.*", "libcudnn*.so.*", "libcublas.so.*")


def test_of_a_directory_only_what_is_asked_for_is_taken(toolkit: Path, tmp_path: Path, entries) -> None:
    out = tmp_path / "layer"
    write_files(out, [File(source=str(toolkit), target="/cuda/", only=ONLY)], tmp_path, "gzip")
    found = {info.name: info.linkname or data for info, data in entries(out) if not info.isdir()}
    assert found == {
        "cuda/libcudart.so.9.0.176": b"runtime",
        "cuda/libcudart.so.9.0": "libcudart.so.9.0.176",
        "cuda/libcudnn.so.7": b"cudnn",  # a link out of the directory would lead nowhere
    }


def test_what_is_not_taken_is_no_part_of_the_key(store, toolkit: Path, tmp_path: Path) -> None:
    def now() -> tuple[tuple[str, str], ...]:
        return files_key(store, [File(source=str(toolkit), target="/cuda/", only=ONLY)], tmp_path, "gzip")

    before = now()
    (toolkit / "libcudart_static.a").write_text("another archive")
    (toolkit / "stubs" / "more").write_text("")
    assert now() == before
    (tmp_path / "elsewhere").write_text("another cudnn")
    assert now() != before


def names(tmp_path: Path, *files: File, own: Sequence[Path] = ()) -> list[str]:
    """Write the files and return what is in the layer, directories left out."""
    write_files(tmp_path / "made.layer", files, tmp_path, "gzip", own=[*own, tmp_path / "made.layer"])
    with tarfile.open(tmp_path / "made.layer") as tar:
        return [member.name for member in tar if not member.isdir()]


def a_tree(tmp_path: Path) -> None:
    for name in ("src/a.py", "src/__pycache__/a.pyc", "src/data/big", "src/data/small", "src/out/oci-layout"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_what_is_excluded_of_a_directory_is_in_neither_layer_nor_key(tmp_path, store):
    a_tree(tmp_path)
    file = File(source="src", target="/w", exclude=("**/__pycache__", "data", "!data/small", "out"))
    assert names(tmp_path, file) == ["w/a.py", "w/data/small"]
    before = files_key(store, [file], tmp_path, "gzip")
    (tmp_path / "src" / "data" / "big").write_text("other")
    os.mkfifo(tmp_path / "src" / "out" / "fifo")
    assert files_key(store, [file], tmp_path, "gzip") == before
    assert files_size([file], tmp_path) == len("src/a.py") + len("src/data/small")


def test_an_ignore_file_beside_the_recipe_holds_below_it_and_not_for_what_is_named(tmp_path):
    a_tree(tmp_path)
    (tmp_path / ".dockerignore").write_text("src/data\n**/*.pyc\nsrc/out\nnamed\n")
    (tmp_path / "named").write_text("x")
    assert names(tmp_path, File(source="src", target="/w")) == ["w/a.py"]
    assert names(tmp_path, File(source="named", target="/named")) == ["named"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".dockerignore").write_text("*\n")
    write_files(tmp_path / "out", [File(source="../src", target="/n")], tmp_path / "deep", "gzip")
    with tarfile.open(tmp_path / "out") as tar:
        assert "n/a.py" in tar.getnames(), "what is above the recipe is none of its file's affair"


def test_a_build_never_takes_its_own_output_and_cache(tmp_path, store):
    a_tree(tmp_path)
    file = File(source=".", target="/w")
    own = own_places(store, tmp_path / "src" / "out")
    assert store.root == tmp_path / "cache"
    before = files_key(store, [file], tmp_path, "gzip", output=tmp_path / "src" / "out")
    store.put(b"a blob")
    (tmp_path / "src" / "out" / "index.json").write_text("{}")
    assert files_key(store, [file], tmp_path, "gzip", output=tmp_path / "src" / "out") == before
    found = names(tmp_path, file, own=own)
    assert not [name for name in found if name.startswith(("w/cache", "w/src/out"))]
    assert "w/src/data/big" in found


def test_of_a_directory_the_locks_that_builds_write_are_not_taken_and_those_of_other_tools_are(
    tmp_path, store
):
    a_tree(tmp_path)
    file = File(source="src", target="/w")
    before = files_key(store, [file], tmp_path, "gzip")
    write_lock(tmp_path / "src" / "recipe.lock", Lock(recipe="r", targets=()))
    write_lock(tmp_path / "src" / "data" / "other.lock", Lock(recipe="r", targets=()))
    assert files_key(store, [file], tmp_path, "gzip") == before
    (tmp_path / "src" / "uv.lock").write_text("version = 1\n")
    assert "w/uv.lock" in names(tmp_path, file)
    assert names(tmp_path, File(source="src/recipe.lock", target="/w/")) == ["w/recipe.lock"]


def test_a_file_of_holes_is_refused_by_name_and_a_big_one_of_few_is_not(tmp_path, store):
    for name, size in (("huge.img", 40 << 30), ("small.img", 1 << 20)):
        with (tmp_path / name).open("wb") as out:
            out.write(b"data")
            out.truncate(size)
    files = [File(source="huge.img", target="/huge")]
    with pytest.raises(RecipeError, match=r"huge.img: is sparse: 43 of its 43 GB are holes"):
        files_key(store, files, tmp_path, "gzip")
    assert files_key(store, [File(source="small.img", target="/small")], tmp_path, "gzip")
    assert holes(tmp_path / "huge.img") > 39 << 30
    assert holes(tmp_path / "small.img") == 0


def test_a_source_that_changed_since_its_key_makes_no_layer(store, tmp_path):
    (tmp_path / "one").write_text("one")
    files = [File(source="one", target="/one")]
    parts = files_key(store, files, tmp_path, "gzip")
    write_files(tmp_path / "layer", files, tmp_path, "gzip", parts=parts)
    (tmp_path / "one").write_text("two")
    with pytest.raises(ChangedError, match=r"/one changed while it was put into the image"):
        write_files(tmp_path / "layer", files, tmp_path, "gzip", parts=parts)


def test_a_source_that_is_a_link_to_a_directory_is_that_directory(store, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("text")
    (tmp_path / "link").symlink_to("real")
    keys = [
        files_key(store, [File(source=name, target="/data")], tmp_path, "gzip") for name in ("real", "link")
    ]
    assert keys[0] == keys[1]
    layers = []
    for name in ("real", "link"):
        write_files(tmp_path / name.upper(), [File(source=name, target="/data")], tmp_path, "gzip")
        layers.append((tmp_path / name.upper()).read_bytes())
    assert layers[0] == layers[1]
