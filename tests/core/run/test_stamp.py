"""A stamp is void as soon as anything it rests on has changed, and stays when nothing has."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from avabuild.run import stamp

SHOWN = ["localhost/demo:py311-cpu"]
NAME = "demo:py311-cpu"


@dataclass(frozen=True)
class Built:
    """What a build left: a recipe with lock and notebooks, an image in each kind of place, its stamp."""

    root: Path
    stamp: Path

    @property
    def recipe(self) -> Path:
        return self.root / "demo.toml"

    @property
    def images(self) -> Path:
        return self.root / "images.json"

    def fresh(self) -> list[str] | None:
        return stamp.fresh(self.stamp)


def write_images(path: Path, *images: tuple[str, list[str] | None]) -> None:
    path.write_text(json.dumps([{"id": identity, "names": names} for identity, names in images]))


def write(built: Built) -> None:
    root = built.root
    notebooks = [root / "notebooks", root / "notebooks" / "a.ipynb", root / "notebooks" / "sub" / "b.ipynb"]
    images = [
        {"list": str(built.images), "id": "abc", "name": SHOWN[0]},
        {"layout": str(root / "oci"), "digest": "sha256:11"},
        {"archive": str(root / "demo.tar"), "state": stamp.archive_state(root / "demo.tar")},
    ]
    inputs = [built.recipe, root / "demo.lock", root / "linked.toml", *notebooks]
    stamp.write_stamp(built.stamp, inputs, {NAME: stamp.Image(tuple(images), SHOWN[0])}, [NAME])


@pytest.fixture
def built(tmp_path: Path) -> Built:
    built = Built(tmp_path, stamp.stamp_path(tmp_path / "cache", tmp_path / "demo.toml", ["None"]))
    built.recipe.write_text('name = "demo"')
    (tmp_path / "demo.lock").write_text("lock")
    (tmp_path / "target.toml").write_text("target")
    (tmp_path / "linked.toml").symlink_to("target.toml")
    (tmp_path / "notebooks" / "sub").mkdir(parents=True)
    (tmp_path / "notebooks" / "a.ipynb").write_text("a")
    (tmp_path / "notebooks" / "sub" / "b.ipynb").write_text("b")
    (tmp_path / "notebooks" / "link").symlink_to("a.ipynb")
    (tmp_path / "notebooks" / "empty").mkdir()
    blobs = tmp_path / "oci" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / "11").write_text("{}")
    (tmp_path / "oci" / "index.json").write_text('{"manifests": [{"digest": "sha256:11"}]}')
    (tmp_path / "demo.tar").write_text("archive")
    write_images(built.images, ("abc", [SHOWN[0], "other"]), ("def", None))
    write(built)
    return built


def test_a_stamp_holds_when_nothing_changed(built):
    assert built.fresh() == SHOWN


def test_another_image_in_the_storage_changes_nothing(built):
    write_images(built.images, ("abc", [SHOWN[0]]), ("new", ["localhost/new:1"]))
    assert built.fresh() == SHOWN


def test_touching_files_without_a_change_of_content_changes_nothing(built):
    for path in (built.recipe, built.root / "target.toml", built.root / "notebooks" / "a.ipynb"):
        os.utime(path, (1, 1))
    os.utime(built.root / "notebooks", (1, 1))
    assert built.fresh() == SHOWN


def test_a_recipe_written_anew_with_the_same_content_changes_nothing(built):
    fresh = built.root / "fresh"
    fresh.write_bytes(built.recipe.read_bytes())
    fresh.replace(built.recipe)
    assert built.fresh() == SHOWN


def same_size_and_times(built: Built) -> None:
    status = built.recipe.stat()
    built.recipe.write_text('name = "omed"')
    os.utime(built.recipe, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert built.recipe.stat().st_size == status.st_size


def in_place_of(path: str, text: str) -> Callable[[Built], None]:
    return lambda built: (built.root / path).write_text(text) and None


def relink(built: Built) -> None:
    (built.root / "notebooks" / "link").unlink()
    (built.root / "notebooks" / "link").symlink_to("sub/b.ipynb")


def directory_to_file(built: Built) -> None:
    (built.root / "notebooks" / "empty").rmdir()
    (built.root / "notebooks" / "empty").touch()


CHANGES: dict[str, Callable[[Built], object]] = {
    "the recipe": lambda b: b.recipe.write_text('name = "other"'),
    "the recipe, with size and time kept": same_size_and_times,
    "the recipe is gone": lambda b: b.recipe.unlink(),
    "the lock": in_place_of("demo.lock", "kcol"),
    "what a link leads to": in_place_of("target.toml", "tegrat"),
    "a link that leads nowhere": lambda b: (b.root / "target.toml").unlink(),
    "a link that became a file": lambda b: (
        (b.root / "linked.toml").unlink(),
        (b.root / "linked.toml").write_text("target"),
    ),
    "a file in a directory": in_place_of("notebooks/sub/b.ipynb", "c"),
    "the mode of a file": lambda b: (b.root / "notebooks" / "a.ipynb").chmod(0o755),
    "a file more in a directory": in_place_of("notebooks/sub/c.ipynb", "c"),
    "a file less in a directory": lambda b: (b.root / "notebooks" / "sub" / "b.ipynb").unlink(),
    "a directory more": lambda b: (b.root / "notebooks" / "sub" / "more").mkdir(),
    "a link within a directory": relink,
    "the mode of a directory": lambda b: (b.root / "notebooks" / "empty").chmod(0o700),
    "the mode of the directory itself": lambda b: (b.root / "notebooks").chmod(0o700),
    "a directory that became a file": directory_to_file,
    "the image's id": lambda b: write_images(b.images, ("abd", [SHOWN[0]])),
    "the image's name moved": lambda b: write_images(b.images, ("abc", ["other"]), ("x", [SHOWN[0]])),
    "the image's name is gone": lambda b: write_images(b.images, ("abc", None)),
    "the storage is empty": lambda b: b.images.unlink(),
    "the storage's list is broken": in_place_of("images.json", '[{"id": '),
    "the layout's blob": lambda b: (b.root / "oci" / "blobs" / "sha256" / "11").unlink(),
    "the layout's index": in_place_of("oci/index.json", '{"manifests": []}'),
    "the layout": lambda b: shutil.rmtree(b.root / "oci"),
    "the archive": in_place_of("demo.tar", "other"),
    "the archive, of the same size": in_place_of("demo.tar", "evihcra"),
    "the archive is gone": lambda b: (b.root / "demo.tar").unlink(),
    "the stamp is gone": lambda b: b.stamp.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_voids_the_stamp(built, change):
    change(built)
    assert built.fresh() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", '{"format": 1}', "\x00", '{"format": "1", "inputs": []}'],
)
def test_a_broken_stamp_is_void(built, text):
    built.stamp.write_text(text)
    assert built.fresh() is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 0},
        {"installed": "other"},
        {"inputs": []},
        {"inputs": {"/": []}},
        {"inputs": {"/": None}},
        {"images": []},
        {"images": ["text"]},
        {"images": [{}]},
        {"images": 7},
    ],
)
def test_a_stamp_with_a_wrong_field_is_void(built, wrong):
    data = json.loads(built.stamp.read_text())
    built.stamp.write_text(json.dumps(data | wrong))
    assert built.fresh() is None


def test_a_distribution_more_voids_the_stamp(built, monkeypatch, tmp_path):
    (tmp_path / "site" / "avabuild_lightgbm-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert built.fresh() is None


def test_a_distribution_installed_anew_voids_the_stamp(built, monkeypatch, tmp_path):
    metadata = tmp_path / "site" / "avabuild_lightgbm-1.0.dist-info"
    metadata.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    write(built)
    assert built.fresh() == SHOWN
    os.utime(metadata, (1, 1))
    assert built.fresh() is None


def test_a_link_to_nothing_is_no_error(built, monkeypatch, tmp_path):
    """Emacs leaves one beside each file that it has open."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".#x.dist-info").symlink_to("nobody@nowhere")
    monkeypatch.syspath_prepend(tmp_path / "site")
    write(built)
    assert built.fresh() == SHOWN


def test_a_directory_of_modules_more_voids_nothing(built, monkeypatch, tmp_path):
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert built.fresh() == SHOWN


def test_recipes_and_options_have_a_stamp_of_their_own(tmp_path, monkeypatch):
    cache, recipe = tmp_path / "cache", tmp_path / "demo.toml"
    paths = {
        stamp.stamp_path(cache, recipe, []),
        stamp.stamp_path(cache, recipe, ["oci:a"]),
        stamp.stamp_path(cache, recipe, ["oci:b"]),
        stamp.stamp_path(cache, tmp_path / "other.toml", []),
    }
    assert len(paths) == 4
    monkeypatch.chdir(tmp_path)
    assert stamp.stamp_path(cache, Path("demo.toml"), []) in paths


def test_a_stamp_is_written_over_an_older_one_and_leaves_nothing_else(built):
    write(built)
    assert [path.name for path in built.stamp.parent.iterdir()] == [built.stamp.name]


# -- one stamp, several images -------------------------------------------------------------------------------


def image(root: Path, tag: str) -> stamp.Image:
    archive = root / f"{tag}.tar"
    archive.write_text(tag)
    return stamp.Image(({"archive": str(archive), "state": stamp.archive_state(archive)},), f"demo:{tag}")


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A recipe of three images, of which two are there; its stamp."""
    (tmp_path / "demo.toml").write_text("demo")
    images = {f"demo:{tag}": image(tmp_path, tag) for tag in ("py311-cpu", "py312-cpu")}
    every = [*images, "demo:py312-cuda125"]
    stamp.write_stamp(tmp_path / "stamp.json", [tmp_path / "demo.toml"], images, every)
    return tmp_path / "stamp.json"


def test_a_recipe_one_of_whose_images_is_missing_is_not_fresh(several):
    assert stamp.fresh(several) is None


def test_the_images_that_are_there_are_as_they_would_be(several):
    assert [*stamp.images_of(several)] == ["demo:py311-cpu", "demo:py312-cpu"]
    several.with_name("py311-cpu.tar").unlink()
    assert [*stamp.images_of(several)] == ["demo:py312-cpu"]
    several.with_name("demo.toml").write_text("other")
    assert stamp.images_of(several) == {}


@pytest.mark.parametrize(
    ("only", "shown"),
    [
        (["*-cpu"], ["demo:py311-cpu", "demo:py312-cpu"]),
        (["py312-cpu"], ["demo:py312-cpu"]),
        (["py312-cpu", "demo:py311-*"], ["demo:py311-cpu", "demo:py312-cpu"]),
        (["py312-*"], None),
        (["py310-*"], None),
        (["*-cpu", "py310-*"], None),
    ],
)
def test_only_the_images_that_are_wanted_have_to_be_there(several, only, shown):
    assert stamp.fresh_ones({several: several}, only).get(several) == shown


def test_what_a_recipe_makes_may_be_unknown(tmp_path):
    (tmp_path / "demo.toml").write_text("demo")
    images = {"demo:py311-cpu": image(tmp_path, "py311-cpu")}
    stamp.write_stamp(tmp_path / "stamp.json", [tmp_path / "demo.toml"], images, None)
    assert stamp.fresh(tmp_path / "stamp.json") is None
    assert stamp.images_of(tmp_path / "stamp.json") == images


def test_a_recipe_is_the_same_by_every_way_to_it(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    ways = [tmp_path / "here" / "a.toml", Path("a.toml"), Path("../here/a.toml"), Path("../link/a.toml")]
    assert len({stamp.stamp_path(tmp_path, way, []) for way in ways}) == 1


def test_a_file_that_was_written_a_moment_ago_is_told_by_its_content(tmp_path):
    """Another write within a tick of the clock would leave size, inode and times."""
    (tmp_path / "demo.toml").write_text("demo")
    stamp.write_stamp(tmp_path / "stamp.json", [tmp_path / "demo.toml"], {}, [])
    (state,) = json.loads((tmp_path / "stamp.json").read_text())["inputs"].values()
    assert state[:4] == [-1, -1, -1, -1]
    assert stamp.fresh(tmp_path / "stamp.json") == []
