"""Writing a site: its own files and no others."""

from __future__ import annotations

import os

import pytest

from avabuild.catalog.write import LIST, write
from avabuild.common.errors import RecipeError, StoreError

OLD = {"index.html": b"old", "site.css": b"css", "images/a/x.html": b"a", "images/b/y.html": b"b"}
NEW = {"index.html": b"new", "site.css": b"css", "images/a/x.html": b"a"}


def held(directory):
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in directory.rglob("*")
        if p.is_file() and p.name != LIST
    }


def test_a_site_is_written_into_a_new_directory(tmp_path):
    done = write(OLD, tmp_path / "some" / "site")
    assert held(tmp_path / "some" / "site") == OLD
    assert set(done.changed) == set(OLD)


def test_a_page_that_is_gone_is_removed_with_its_directory(tmp_path):
    write(OLD, tmp_path)
    done = write(NEW, tmp_path)
    assert held(tmp_path) == NEW
    assert (done.changed, done.removed) == (("index.html",), ("images/b/y.html",))
    assert not (tmp_path / "images" / "b").exists()


def test_what_is_as_it_was_is_not_written_again(tmp_path):
    write(OLD, tmp_path)
    for path in (*OLD, LIST):
        os.utime(tmp_path / path, (1, 1))
    assert write(OLD, tmp_path).changed == ()
    assert {(tmp_path / path).stat().st_mtime for path in (*OLD, LIST)} == {1}


def test_files_of_others_stay(tmp_path):
    (tmp_path / "images" / "b").mkdir(parents=True)
    (tmp_path / "CNAME").write_bytes(b"mine")
    (tmp_path / "images" / "b" / "logo.png").write_bytes(b"mine")
    write(OLD, tmp_path)
    write(NEW, tmp_path)
    assert held(tmp_path) == NEW | {"CNAME": b"mine", "images/b/logo.png": b"mine"}


def test_a_page_that_somebody_edited_is_kept_and_told(tmp_path):
    write(OLD, tmp_path)
    (tmp_path / "images" / "b" / "y.html").write_bytes(b"edited")
    assert write(NEW, tmp_path).kept == ("images/b/y.html",)
    assert held(tmp_path)["images/b/y.html"] == b"edited"


def test_a_directory_with_another_index_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "index.html").write_bytes(b"somebody's home page")
    with pytest.raises(
        RecipeError, match=r"index\.html is not of a catalogue; choose a directory of its own"
    ):
        write(NEW, tmp_path)
    assert held(tmp_path) == {"index.html": b"somebody's home page"}


@pytest.mark.parametrize("text", ["no json", "[]", '{"../outside": "x", "/etc/hostname": "y"}'])
def test_a_broken_list_removes_nothing(tmp_path, text):
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "outside").write_bytes(b"x")
    (site / LIST).write_text(text)
    write(NEW, site)
    assert (tmp_path / "outside").exists()
    assert held(site) == NEW


def test_a_page_behind_a_link_out_of_the_site_stays(tmp_path):
    site, outside = tmp_path / "site", tmp_path / "outside"
    write(OLD, site)
    (site / "images" / "b").rename(outside)
    (site / "images" / "b").symlink_to(outside)
    assert write(NEW, site).kept == ("images/b/y.html",)
    assert (outside / "y.html").exists()


def test_a_run_that_was_killed_is_finished_by_the_next(tmp_path, monkeypatch):
    write(OLD, tmp_path)
    replace = type(tmp_path).replace

    def dies(self, target):
        if target.name == "index.html":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write(NEW | {"images/c/z.html": b"c"}, tmp_path)
    monkeypatch.undo()
    assert held(tmp_path)["index.html"] == b"old"
    write(NEW, tmp_path)
    assert held(tmp_path) == NEW


def test_a_place_that_can_t_be_written_is_told_with_what_to_do(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="choose another directory with --output"):
        write(NEW, tmp_path / "file" / "site")
