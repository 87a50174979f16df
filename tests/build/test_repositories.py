"""APT repositories beside the distribution's own: used by mount, known by key and suite, never in the image."""

from __future__ import annotations

import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Index, Repo, User

pytestmark = pytest.mark.build

RECIPE = """
    name = "ava-test-repository"
    base = { debian = "bookworm" }
    [packages]
    apt = ["ava-tool"]
    [[packages.repositories]]
    name = "mine"
    uri = "URI"
    suite = "SUITE"
    KEYS
"""


def write(
    user: User, repo: Repo, *, uri: str = "", suite: str = "stable", key: str = "ava-test.asc", more: str = ""
):
    keys = f'key = "{key}"' + (f"\n    {more}" if more else "")
    text = (
        RECIPE.replace("URI", uri or f"file:{repo.directory}").replace("SUITE", suite).replace("KEYS", keys)
    )
    return user.recipe(text)


@pytest.fixture
def tool(repo: Repo) -> Repo:
    repo.add("ava-tool", "1.0", {"/opt/tool/liba.so.1": b"one\n", "/opt/tool/link": "liba.so.1"})
    repo.publish()
    return repo


def test_packages_of_a_signed_repository_are_installed_and_nothing_of_it_stays(
    root: User, tool: Repo
) -> None:
    outcome = root.avabuild("recipe", write(root, tool), "--json")
    assert outcome.code == 0, outcome.err
    image = str(outcome.image["reference"])
    assert root.inside(image, "cat /opt/tool/link; dpkg -s ava-tool | grep Version") == "one\nVersion: 1.0\n"
    left = "ls /etc/apt/sources.list.d /run /etc/apt/trusted.gpg.d /var/lib/apt/lists; grep -rl ava-test /etc || true"
    assert "avabuild" not in root.inside(image, left)
    assert "mine" not in root.inside(image, left)
    lock = (root.home / "recipe.lock").read_text()
    (apt,) = [a for a in tomllib.loads(lock)["targets"][0]["apt"] if a.get("repositories")]
    assert apt["repositories"] == [f"mine stable main ({tool.fingerprint()})"]
    assert str(root.home) not in lock
    assert root.leftovers() == []


def test_the_same_repository_elsewhere_makes_nothing_anew(root: User, tool: Repo, index: Index) -> None:
    first = root.avabuild("recipe", write(root, tool), "--json")
    assert first.code == 0, first.err
    shutil.copytree(tool.directory, index.directory / "debian")
    elsewhere = index.url.replace("/simple", "/debian")
    again = root.avabuild("recipe", write(root, tool, uri=elsewhere), "--json", "--locked")
    assert again.code == 0, again.err
    assert again.image["made"] == []
    assert again.image["digest"] == first.image["digest"]
    assert index.requests == []
    lock = (root.home / "recipe.lock").read_text()
    assert "127.0.0.1" not in lock


def test_over_http_and_flat_it_works_as_well(root: User, tool: Repo, index: Index) -> None:
    shutil.copytree(tool.directory, index.directory / "debian")
    tool_recipe = write(
        root, tool, uri=index.url.replace("/simple", "/debian"), suite="/", more="components = []"
    )
    outcome = root.avabuild("recipe", tool_recipe, "--upgrade", "apt", "--json")
    assert outcome.code == 0, outcome.err
    assert any("InRelease" in request for request in index.requests)
    assert root.inside(str(outcome.image["reference"]), "cat /opt/tool/link") == "one\n"


def refused(user: User, recipe) -> str:
    shutil.rmtree(user.cache / "apt-lists", ignore_errors=True)
    outcome = user.avabuild("recipe", recipe)
    assert outcome.code == 9, outcome.err
    assert user.leftovers() == []
    return outcome.err


def test_another_key_than_the_one_given_is_refused(root: User, tool: Repo) -> None:
    other = tool.new_key("other@example.invalid")
    said = refused(root, write(root, tool, key=other.name))
    assert "the repository mine is signed by another key" in said
    assert tool.fingerprint()[-16:] in said
    assert tool.fingerprint("other@example.invalid") in said


def test_lists_that_were_changed_after_signing_are_refused(root: User, tool: Repo) -> None:
    path = tool.directory / "dists" / "stable" / "InRelease"
    path.write_bytes(path.read_bytes().replace(b"Suite: stable", b"Suite: stabbe"))
    assert "the repository mine was changed after it was signed" in refused(root, write(root, tool))


def test_an_expired_key_is_refused(root: User, tool: Repo) -> None:
    then = ("--faked-system-time", "20200101T000000")
    old = tool.new_key("old@example.invalid", "1y", *then)
    tool.publish("stable", "old@example.invalid", "--faked-system-time", "20200601T000000")
    said = refused(root, write(root, tool, key=old.name))
    assert "the repository mine is signed by a key that has expired" in said


def test_an_unsigned_repository_is_refused(root: User, tool: Repo) -> None:
    path = tool.directory / "dists" / "stable" / "InRelease"
    body = path.read_text().split("\n\n", 1)[1].split("-----BEGIN")[0]
    path.with_name("Release").write_text(body)
    path.unlink()
    assert "the repository mine is not signed" in refused(root, write(root, tool))


def test_a_missing_suite_and_a_missing_directory_are_named(root: User, tool: Repo) -> None:
    assert "the repository mine has no suite unstable" in refused(root, write(root, tool, suite="unstable"))
    gone = root.avabuild("recipe", write(root, tool, uri=f"file:{root.home}/nowhere"))
    assert gone.code == 75
    assert "the repository mine is not there" in gone.err


def test_a_key_is_held_against_the_fingerprint_before_anything_is_fetched(root: User, tool: Repo) -> None:
    recipe = write(root, tool, more=f'fingerprint = "{"0" * 40}"')
    outcome = root.avabuild("plan", recipe)
    assert outcome.code == 2
    assert f"is not the key {'0' * 40}: it is {tool.fingerprint()}" in outcome.err


def test_a_new_key_in_the_same_file_is_no_stale_stamp(root: User, tool: Repo) -> None:
    recipe = write(root, tool)
    assert root.avabuild("recipe", recipe).code == 0
    other = tool.new_key("other@example.invalid")
    shutil.copy(other, root.home / "ava-test.asc")
    tool.publish("stable", "other@example.invalid")
    outcome = root.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "up_to_date" not in outcome.image


@pytest.mark.network
def test_the_distributions_other_components_need_no_key(root: User) -> None:
    recipe = root.recipe("""
        name = "ava-test-contrib"
        base = { debian = "bookworm" }
        [packages]
        apt = ["nvidia-cuda-toolkit-doc"]
        [[packages.repositories]]
        name = "non-free"
        suite = "bookworm"
        components = ["contrib", "non-free"]
    """)
    outcome = root.avabuild("plan", recipe)
    assert outcome.code == 0, outcome.err
    recipe.write_text(recipe.read_text().replace("nvidia-cuda-toolkit-doc", "libcuda1=0"))
    outcome = root.avabuild("recipe", recipe)
    assert outcome.code == 9
    assert "Version '0' for 'libcuda1' was not found" in outcome.err
