"""Several recipes in one run, really built: shared layers once, a failure beside successes, kill and Ctrl-C."""

from __future__ import annotations

import collections
import gzip
import json
import re
import shutil
import signal
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from avabuild.resolve import read_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

COMMON = 'base = { debian = "bookworm" }\n[matrix]\npython = ["3.11"]\n'
RECIPES = {
    "one": f'name = "ava-test-one"\n{COMMON}[packages]\npip = ["six", "attrs"]\n',
    "two": f'name = "ava-test-two"\n{COMMON}[packages]\npip = ["six", "attrs"]\n[[run]]\nshell = "echo two > /two"\n',
    "bad": f'name = "ava-test-bad"\n{COMMON}[packages]\npip = ["six", "attrs"]\n[[run]]\nshell = "echo why >&2; exit 3"\n',
    "on": 'name = "ava-test-on"\nbase = { recipe = "bad.toml" }\n[matrix]\npython = ["3.11"]\n',
}


@pytest.fixture
def own(builder: User) -> User:
    """A user with a store of their own that holds the base alone, so that all layers are made."""
    if not (builder.cache / "index" / "base").exists():
        builder.avabuild("recipe", builder.recipe('name = "ava-test-base"\nbase = { debian = "bookworm" }\n'))
    parts = ("blobs", "index/base", "index/base-name", "index/base-of", "wheels", "debs", "apt-lists")
    builder.empty_cache(builder.home / "store", parts)
    return builder


def write(user: User, *names: str) -> list[Path]:
    return [user.recipe(RECIPES[name], f"{name}.toml") for name in names]


def finished(events: list[dict[str, object]]) -> collections.Counter[str]:
    return collections.Counter(str(e["step"]) for e in events if e["event"] == "finish")


def test_what_three_recipes_share_is_made_once_and_one_that_fails_stops_only_its_own(own: User) -> None:
    paths = write(own, "bad", "one", "two", "on")
    outcome = own.avabuild("recipe", *map(str, paths), "--json", "--jobs", "3", "--keep-going")
    assert outcome.code == 5, outcome.err
    events = outcome.events
    steps = finished(events)
    layers = {
        step: count for step, count in steps.items() if step.startswith(("layer ", "apt: ", "compile "))
    }
    assert set(layers) >= {"layer python environment", "layer wheels of packages", "apt: frameworks"}
    assert set(layers.values()) == {1}, layers
    images = {str(e["reference"]): e for e in events if e["event"] == "image"}
    assert set(images) == {"localhost/ava-test-one:py311-cpu", "localhost/ava-test-two:py311-cpu"}
    made = [name for image in images.values() for name in image["made"]]  # type: ignore[attr-defined]
    assert len(made) == len(set(made)), "nothing is counted as made by two images"
    (error,) = [e for e in events if e["event"] == "error"]
    assert error["image"] == "localhost/ava-test-bad:py311-cpu"
    (skip,) = [e for e in events if e["event"] == "skip"]
    assert skip["image"] == "localhost/ava-test-on:py311-cpu"
    assert "why" in outcome.err
    assert {e["image"] for e in events if e["event"] == "finish"} >= {*images, error["image"]}
    assert own.leftovers() == []
    assert own.inside("localhost/ava-test-two:py311-cpu", "cat /two; python -c 'import six, attr'") == "two\n"
    again = own.avabuild("recipe", *map(str, paths[1:3]))
    assert again.code == 0
    rows = [line for line in again.err.splitlines() if line.endswith("unchanged")]
    assert len(rows) == 2, again.err


def test_without_keep_going_nothing_is_begun_after_a_failure(own: User) -> None:
    paths = write(own, "bad", "one", "two")
    outcome = own.avabuild("recipe", *map(str, paths), "--jobs", "1")
    assert outcome.code == 5
    states = re.findall(r"^ava-test-(\w+):\S+ .*? (failed|skipped|built)$", outcome.err, re.MULTILINE)
    assert states == [("bad", "failed"), ("one", "skipped"), ("two", "skipped")]
    assert outcome.err.rstrip().endswith("look inside with --keep"), "the error is the last thing said"
    assert own.leftovers() == []


def test_images_of_several_recipes_go_to_one_layout_by_name_and_tag(own: User) -> None:
    paths = write(own, "one", "two")
    outcome = own.avabuild("recipe", *map(str, paths), "--output", "oci:images")
    assert outcome.code == 0, outcome.err
    index = json.loads((own.home / "images" / "index.json").read_text())
    names = {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]}
    assert names == {"ava-test-one:py311-cpu", "ava-test-two:py311-cpu"}
    refused = own.avabuild("recipe", *map(str, paths), "--output", "oci-archive:images.tar")
    assert (refused.code, "holds one image, and this run makes 2" in refused.err) == (2, True)


def test_a_killed_run_is_taken_up_by_the_next(own: User) -> None:
    paths = [str(path) for path in write(own, "one", "two")]
    with own.start("recipe", *paths, "--json") as process:
        assert process.stdout
        for line in process.stdout:  # killed while layers are made
            if '"layer' in line:
                break
        process.send_signal(signal.SIGKILL)
    time.sleep(1)
    outcome = own.avabuild("recipe", *paths)
    assert outcome.code == 0, outcome.err
    assert own.leftovers() == []
    assert own.inside("localhost/ava-test-one:py311-cpu", "python -c 'import six; print(6)'") == "6\n"


@pytest.mark.parametrize("delay", [1.5, 4.0])
def test_ctrl_c_stops_every_build_of_a_run(own: User, delay: float) -> None:
    paths = write(own, "one", "two")
    for path in paths:
        with path.open("a") as file:
            file.write('[[run]]\nshell = "sleep 61"\n')
    process = own.start("recipe", *map(str, paths), "--jobs", "2")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert own.leftovers() == []


def test_targets_of_one_recipe_stand_on_different_bases_and_the_lock_keeps_both(
    own: User, bases: Callable[..., str]
) -> None:
    text = (
        'name = "ava-test-bases"\n[matrix]\npython = ["3.11"]\ndevice = ["cpu", "cuda12.5"]\n'
        '[[base]]\ndevice = "cuda*"\narchive = "root.tar"\n[[base]]\ndebian = "bookworm"\n'
    )
    root = own.home / "root.tar"
    known = [
        json.loads(path.read_text())["data"] for path in Path(bases("bookworm"), "index", "base").iterdir()
    ]
    (base,) = [one for one in known if one["facts"]["distribution"] == "bookworm"]
    layer = own.cache / "blobs" / "sha256" / base["layers"][0]["digest"].removeprefix("sha256:")
    with gzip.open(layer) as packed, root.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    with tarfile.open(root, "a") as tar:
        tar.addfile(tarfile.TarInfo("of-cuda"))
    recipe = own.recipe(text)
    outcome = own.avabuild("recipe", recipe, "--output", "oci:images")
    assert outcome.code == 0, outcome.err
    lock = read_lock(recipe.with_suffix(".lock"))
    assert lock
    bases = {entry.target: entry.base for entry in lock.targets}
    assert set(bases) == {"py311-cpu", "py311-cuda125"}
    assert bases["py311-cpu"] == base["digest"] != bases["py311-cuda125"]
    index = json.loads((own.home / "images" / "index.json").read_text())
    assert len(index["manifests"]) == 2
    assert "unchanged" in own.avabuild("recipe", recipe, "--output", "oci:images").err
    with tarfile.open(root, "a") as tar:
        tar.addfile(tarfile.TarInfo("another"))
    again = own.avabuild("recipe", recipe, "--output", "oci:images")
    assert again.code == 0, again.err
    assert "unchanged" not in again.err, "the archive is an input"
    renewed = read_lock(recipe.with_suffix(".lock"))
    assert renewed
    assert renewed.target("py311-cuda125").base != bases["py311-cuda125"]  # type: ignore[union-attr]
    assert renewed.target("py311-cpu").base == bases["py311-cpu"]  # type: ignore[union-attr]
