"""Debian packages whose scripts, and bases whose APT, are after what other recipes trust."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from avabuild.common.errors import ResolveError
from avabuild.engine.exec.apt_run import addressed_debs

from ..builds.origins import Repo
from ..builds.user import User

RECIPE = """
    name = "ava-test-debs"
    base = { archive = "debian.tar" }
    [packages]
    apt = ["PACKAGE"]
    [[packages.repositories]]
    name = "mine"
    uri = "URI"
    suite = "stable"
    key = "ava-test.asc"
MORE"""
# Writes to all that can be written, and tells what it saw.
POSTINST = """#!/bin/sh
mkdir -p /opt/evil
find /run/avabuild-debs -name '*.deb' >/opt/evil/seen
: >/opt/evil/written
env >/opt/evil/env
for file in $(find /run/avabuild-debs /run/avabuild-apt/lists /run/avabuild-apt/cache -type f); do
    echo evil 2>/dev/null >"$file" && echo "$file" >>/opt/evil/written
done
touch /run/avabuild-debs/planted.deb 2>/dev/null && echo planted >>/opt/evil/written
exit 0
"""


def recipe(user: User, repo: Repo, package: str, more: str = "") -> Path:
    text = RECIPE.replace("PACKAGE", package).replace("URI", f"file:{repo.directory}").replace("MORE", more)
    return user.recipe(text, f"{package}.toml")


def top_files(user: User, out: str) -> dict[str, str]:
    """The files below opt/ of an image that was written to the layout `out`."""
    blobs = user.home / out / "blobs" / "sha256"
    index = json.loads((user.home / out / "index.json").read_bytes())
    manifest = json.loads((blobs / index["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
    found = {}
    for layer in manifest["layers"][-2:]:
        with tarfile.open(blobs / layer["digest"].removeprefix("sha256:")) as tar:
            for member in tar:
                if member.isfile() and member.name.startswith("opt/"):
                    file = tar.extractfile(member)
                    found[member.name] = file.read().decode() if file else ""
    return found


def kept(user: User) -> dict[str, bytes]:
    """What the cache has for later builds of .debs and lists, by path."""
    places = [user.cache / "debs", user.cache / "apt-lists"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(user.cache)): path.read_bytes() for path in files}


@pytest.mark.build
def test_a_packages_script_sees_its_own_archive_and_no_list_and_can_write_to_neither(
    anyone: User, repo: Repo
) -> None:
    repo.add("ava-good", "1.0", {"/opt/good": b"good\n"})
    repo.add("ava-evil", "1.0", {"/opt/here": b"here\n"}, postinst=POSTINST)
    repo.publish()
    anyone.env["UV_INDEX_URL"] = "http://someone:ava-secret@127.0.0.1:9/simple"  # no Python asks it
    outcome = anyone.avabuild("recipe", recipe(anyone, repo, "ava-good"), "--output", "oci:good")
    assert outcome.code == 0, outcome.err
    before = kept(anyone)
    assert any(name.endswith("ava-good_1.0_amd64.deb") for name in before)
    assert any(name.startswith("apt-lists/") and "Packages" in name for name in before)
    outcome = anyone.avabuild("recipe", recipe(anyone, repo, "ava-evil"), "--output", "oci:evil")
    assert outcome.code == 0, outcome.err
    told = top_files(anyone, "evil")
    assert told["opt/evil/seen"] == "/run/avabuild-debs/ava-evil_1.0_amd64.deb\n"
    assert told["opt/evil/written"] == ""
    assert "ava-secret" not in told["opt/evil/env"]
    after = kept(anyone)
    assert {name: after[name] for name in before if "/cache/" not in name} == {
        name: data for name, data in before.items() if "/cache/" not in name
    }
    assert [name for name, data in after.items() if data == b"evil\n" or "planted" in name] == []


@pytest.mark.build
@pytest.mark.parametrize("anyone", ["root"], indirect=True)
def test_lists_that_a_steps_hook_wrote_to_are_used_on_that_step_alone(anyone: User, repo: Repo) -> None:
    """What a recipe puts below /etc/apt is run by `apt-get update`, with the lists in reach."""
    repo.add("ava-good", "1.0", {"/opt/good": b"good\n"})
    repo.publish()
    outcome = anyone.avabuild("recipe", recipe(anyone, repo, "ava-good"), "--output", "oci:good")
    assert outcome.code == 0, outcome.err
    before = kept(anyone)
    hook = "APT::Update::Post-Invoke {touch:/run/avabuild-apt/lists/evil;};"
    hook = hook.replace("touch:", '\\"touch ').replace(";}", '\\";}')
    more = f'    [[run]]\n    stage = "system"\n    shell = "echo \'{hook}\' >/etc/apt/apt.conf.d/99evil"\n'
    outcome = anyone.avabuild("recipe", recipe(anyone, repo, "ava-good", more), "--output", "oci:evil")
    assert outcome.code == 0, outcome.err
    after = kept(anyone)
    evil = [name for name in after if name.endswith("/lists/evil")]
    assert len(evil) == 1, "the hook ran"
    directory = evil[0].removesuffix("/lists/evil")
    assert not any(name.startswith(f"{directory}/") for name in before)


@pytest.mark.parametrize("name", ["../../x_1_all.deb", "/etc/x_1_all.deb", "x_1_%2e%2e%2fall.deb", "x_1.deb"])
def test_a_base_whose_apt_names_what_is_no_packages_file_is_refused(name: str) -> None:
    with pytest.raises(ResolveError, match="is not the name of a package's file"):
        addressed_debs(f"'http://127.0.0.1/x' {name} 12 SHA256:{'0' * 64}\n")
