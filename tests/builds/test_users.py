"""Users who are not root: one with a range of subordinate ids, one without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from avabuild.engine.bases import is_older

if TYPE_CHECKING:
    from collections.abc import Callable

    from .user import User

pytestmark = pytest.mark.build

GLIBC = "2.36"  # of Debian bookworm
RECIPE = """
    name = "ava-test-user"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six"]
    apt = ["tree"]
    [[run]]
    shell = "useradd -m dave; touch /home/dave/x; chown dave:dave /home/dave/x; id -u > /who"
"""
FILES = """
    name = "ava-test-files"
    base = { archive = "base.tar" }
    [packages]
    pip = ["six"]
"""


@pytest.fixture(scope="module")
def ranged(make_user: Callable[[str, bool], User]) -> User:
    return make_user("avatestranged", True)


@pytest.fixture(scope="module")
def bare(make_user: Callable[[str, bool], User]) -> User:
    return make_user("avatestbare", False)


def test_a_user_with_a_range_builds_all_kinds_of_layers_and_gets_roots_digest(
    ranged: User, root: User
) -> None:
    outcome = ranged.avabuild("recipe", ranged.recipe(RECIPE), "--json")
    assert outcome.code == 0, outcome.err
    reference = str(outcome.image["reference"])
    said = ranged.inside(
        reference,
        "cat /who; stat -c '%U %G' /home/dave/x /etc/shadow; python -c 'import six'; tree --version",
    )
    assert said.startswith("0\ndave dave\nroot shadow\ntree v2")
    assert ranged.leftovers() == []
    again = ranged.avabuild("recipe", ranged.home / "recipe.toml")
    assert "nothing to do" in again.out + again.err
    root.recipe(RECIPE)
    shutil.copy(ranged.home / "recipe.lock", root.home / "recipe.lock")
    same = root.avabuild("recipe", root.home / "recipe.toml", "--json")
    assert same.code == 0, same.err
    assert layers(root, reference) == layers(ranged, reference)
    assert same.image["digest"] == outcome.image["digest"]


def test_a_user_without_a_range_builds_file_layers_on_an_archive(bare: User, root: User) -> None:
    assert root.avabuild("recipe", root.recipe(FILES.replace('archive = "base.tar"', 'debian = "bookworm"')), "--output",
                         f"oci-archive:{root.home}/base.tar").code == 0  # fmt: skip
    shutil.copy(root.home / "base.tar", bare.home / "base.tar")
    bare.own(bare.home / "base.tar")
    recipe = bare.recipe(FILES.replace('"six"', '"toolz"'))
    outcome = bare.avabuild("recipe", recipe, "--output", "oci:images", "--json")
    assert outcome.code == 0, outcome.err
    image = root.buildah("pull", "--quiet", f"oci:{bare.home}/images:py311-cpu").strip()
    assert root.inside(image, "python -c 'import six, toolz; print(toolz.__name__)'") == "toolz\n"
    root.buildah("rmi", "--force", image)


def test_a_user_without_a_range_builds_all_kinds_of_layers_too(
    bare: User, root: User, bases: Callable[..., str], tmp_path: Path
) -> None:
    recipe = bare.recipe(RECIPE.replace("ava-test-user", "ava-test-bare"))
    outcome = bare.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = bare.inside(
        str(outcome.image["reference"]),
        "cat /who; stat -c %U /home/dave/x; python -c 'import six'; tree --version; grep -c ^dave: /etc/passwd",
    )
    assert said.startswith("0\nroot\ntree v2")
    assert bare.leftovers() == []
    assert "nothing to do" in bare.avabuild("recipe", recipe).err
    if is_older(GLIBC):  # a host of a later Debian: fakechroot can't make this one
        assert "all files of the Debian base are owned by root" in outcome.out
        return
    theirs, ours = base_digests(Path(bases("bookworm"))), base_digests(bare.cache)
    if not theirs.items() <= ours.items():  # the mirror may have moved on since these were made
        root.cache = tmp_path / "now"
        assert root.avabuild("recipe", root.recipe(RECIPE), "--output", "oci:now").code == 0
        theirs = base_digests(root.cache)
    assert theirs
    assert theirs.items() <= ours.items(), "the base keeps its owners"


def layers(user: User, reference: str) -> list[tuple[str, str]]:
    """Return (name, digest) of each of an image's layers: which of them differs is what one wants to know."""
    told = json.loads(user.avabuild("inspect", reference, "--json").out)
    return [(layer["name"], layer["digest"]) for layer in told["layers"]]


def base_digests(cache: Path) -> dict[str, str]:
    """Return the digest of each base that a cache has, by its key."""
    return {
        path.name: json.loads(path.read_text())["data"]["digest"]
        for path in (cache / "index" / "base").iterdir()
    }
