"""APT repositories beside the distribution's own: used by mount, known by key and suite, never in the image."""

from __future__ import annotations

import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .origins import Index, Repo
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

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
    builder: User, tool: Repo
) -> None:
    outcome = builder.avabuild("recipe", write(builder, tool), "--json")
    assert outcome.code == 0, outcome.err
    image = str(outcome.image["reference"])
    assert (
        builder.inside(image, "cat /opt/tool/link; dpkg -s ava-tool | grep Version") == "one\nVersion: 1.0\n"
    )
    left = "ls /etc/apt/sources.list.d /run /etc/apt/trusted.gpg.d /var/lib/apt/lists; grep -rl ava-test /etc || true"
    assert "avabuild" not in builder.inside(image, left)
    assert "mine" not in builder.inside(image, left)
    lock = (builder.home / "recipe.lock").read_text()
    (apt,) = [a for a in tomllib.loads(lock)["targets"][0]["apt"] if a.get("repositories")]
    assert apt["repositories"] == [f"mine stable main ({tool.fingerprint()})"]
    assert str(builder.home) not in lock
    assert builder.leftovers() == []


def test_the_same_repository_elsewhere_makes_nothing_anew(builder: User, tool: Repo, index: Index) -> None:
    first = builder.avabuild("recipe", write(builder, tool), "--json")
    assert first.code == 0, first.err
    shutil.copytree(tool.directory, index.directory / "debian")
    elsewhere = index.url.replace("/simple", "/debian")
    again = builder.avabuild("recipe", write(builder, tool, uri=elsewhere), "--json", "--locked")
    assert again.code == 0, again.err
    assert again.image["made"] == []
    assert again.image["digest"] == first.image["digest"]
    assert index.requests == []
    lock = (builder.home / "recipe.lock").read_text()
    assert "127.0.0.1" not in lock


def test_over_http_and_flat_it_works_as_well(builder: User, tool: Repo, index: Index) -> None:
    shutil.copytree(tool.directory, index.directory / "debian")
    tool_recipe = write(
        builder, tool, uri=index.url.replace("/simple", "/debian"), suite="/", more="components = []"
    )
    outcome = builder.avabuild("recipe", tool_recipe, "--upgrade", "apt", "--json")
    assert outcome.code == 0, outcome.err
    assert any("InRelease" in request for request in index.requests)
    assert builder.inside(str(outcome.image["reference"]), "cat /opt/tool/link") == "one\n"


def refused(user: User, recipe) -> str:
    shutil.rmtree(user.cache / "apt-lists", ignore_errors=True)
    outcome = user.avabuild("recipe", recipe)
    assert outcome.code == 9, outcome.err
    assert user.leftovers() == []
    return outcome.err


def test_another_key_than_the_one_given_is_refused(builder: User, tool: Repo) -> None:
    other = tool.new_key("other@example.invalid")
    said = refused(builder, write(builder, tool, key=other.name))
    assert "the repository mine is signed by another key" in said
    assert tool.fingerprint()[-16:] in said
    assert tool.fingerprint("other@example.invalid") in said


def test_lists_that_were_changed_after_signing_are_refused(builder: User, tool: Repo) -> None:
    path = tool.directory / "dists" / "stable" / "InRelease"
    path.write_bytes(path.read_bytes().replace(b"Suite: stable", b"Suite: stabbe"))
    assert "the repository mine was changed after it was signed" in refused(builder, write(builder, tool))


def test_an_expired_key_is_refused(builder: User, tool: Repo) -> None:
    then = ("--faked-system-time", "20200101T000000")
    old = tool.new_key("old@example.invalid", "1y", *then)
    tool.publish("stable", "old@example.invalid", "--faked-system-time", "20200601T000000")
    said = refused(builder, write(builder, tool, key=old.name))
    assert "the repository mine is signed by a key that has expired" in said


def test_an_unsigned_repository_is_refused(builder: User, tool: Repo) -> None:
    path = tool.directory / "dists" / "stable" / "InRelease"
    body = path.read_text().split("\n\n", 1)[1].split("-----BEGIN")[0]
    path.with_name("Release").write_text(body)
    path.unlink()
    assert "the repository mine is not signed" in refused(builder, write(builder, tool))


def test_a_missing_suite_and_a_missing_directory_are_named(builder: User, tool: Repo) -> None:
    assert "the repository mine has no suite unstable" in refused(
        builder, write(builder, tool, suite="unstable")
    )
    gone = builder.avabuild("recipe", write(builder, tool, uri=f"file:{builder.home}/nowhere"))
    assert gone.code == 75
    assert "the repository mine is not there" in gone.err


def test_a_key_is_held_against_the_fingerprint_before_anything_is_fetched(builder: User, tool: Repo) -> None:
    recipe = write(builder, tool, more=f'fingerprint = "{"0" * 40}"')
    outcome = builder.avabuild("plan", recipe)
    assert outcome.code == 2
    assert f"is not the key {'0' * 40}: it is {tool.fingerprint()}" in outcome.err


def test_a_new_key_in_the_same_file_is_no_stale_stamp(builder: User, tool: Repo) -> None:
    recipe = write(builder, tool)
    assert builder.avabuild("recipe", recipe).code == 0
    other = tool.new_key("other@example.invalid")
    shutil.copy(other, builder.home / "ava-test.asc")
    tool.publish("stable", "other@example.invalid")
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "up_to_date" not in outcome.image


@pytest.mark.network
def test_the_distributions_other_components_need_no_key(builder: User) -> None:
    recipe = builder.recipe("""
        name = "ava-test-contrib"
        base = { debian = "bookworm" }
        [packages]
        apt = ["nvidia-cuda-toolkit-doc"]
        [[packages.repositories]]
        name = "non-free"
        suite = "bookworm"
        components = ["contrib", "non-free"]
    """)
    outcome = builder.avabuild("plan", recipe)
    assert outcome.code == 0, outcome.err
    recipe.write_text(recipe.read_text().replace("nvidia-cuda-toolkit-doc", "libcuda1=0"))
    outcome = builder.avabuild("recipe", recipe)
    assert outcome.code == 9
    assert "Version '0' for 'libcuda1' was not found" in outcome.err
