"""Images that were really built: listed, shown, exported and built again by others, pruned beside builds, pushed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = pytest.mark.build

TINY = """
    name = "ava-test-tiny"
    base = { archive = "root.tar" }
    [[files]]
    source = "greeting"
    target = "/greeting"
"""
REFERENCE = "localhost/ava-test-tiny:cpu"
STATUS = "Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n"


@pytest.fixture
def tiny(root: User, tmp_path: Path) -> User:
    """A user with a cache of their own and a recipe that needs no container."""
    with tarfile.open(root.home / "root.tar", "w") as tar:
        for name, text in (("etc/os-release", "ID=debian\n"), ("var/lib/dpkg/status", STATUS)):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    (root.home / "greeting").write_text("hello\n")
    root.cache = tmp_path / "own"
    root.recipe(TINY)
    return root


def made(user: User) -> dict[str, object]:
    outcome = user.avabuild("recipe", "recipe.toml", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.image


def listed(user: User, *argv: str) -> list[dict[str, object]]:
    outcome = user.avabuild("images", "--json", *argv)
    assert outcome.code == 0, outcome.err
    return [one for one in json.loads(outcome.out) if "ava-test-tiny" in str(one["reference"])]


def test_an_image_from_its_list_to_its_end(tiny: User) -> None:
    image = made(tiny)
    (one,) = listed(tiny)
    assert (one["reference"], one["digest"], one["size"]) == (REFERENCE, image["digest"], image["size"])
    assert abs(float(str(one["made"])) - time.time()) < 60
    told = json.loads(tiny.avabuild("inspect", "ava-test-tiny:cpu", "--json").out)
    assert [layer["name"] for layer in told["layers"]] == ["base", "files: recipe"]
    assert told["recipe"]["name"] == "ava-test-tiny"
    assert tiny.avabuild("inspect", REFERENCE, "--lock").out == (tiny.home / "recipe.lock").read_text()
    bill = json.loads(tiny.avabuild("sbom", REFERENCE).out)
    assert [package["name"] for package in bill["packages"]] == ["ava-test-tiny:cpu", "libc6"]
    gone = json.loads(tiny.avabuild("rm", REFERENCE, "--json").out)
    assert gone["freed"] > 0
    assert listed(tiny) == []
    assert made(tiny)["digest"] == image["digest"]


def test_an_exported_archive_is_the_image_and_comes_back_by_its_digest(tiny: User) -> None:
    image = made(tiny)
    assert tiny.avabuild("export", REFERENCE, "--format", "oci-archive", "-o", "a.tar").code == 0
    told = json.loads(tiny.avabuild("inspect", "oci-archive:a.tar", "--json").out)
    assert told["digest"] == image["digest"]
    assert tiny.avabuild("export", REFERENCE, "--format", "docker-archive", "-o", "b.tar").code == 0
    assert json.loads(tiny.avabuild("inspect", "docker-archive:b.tar", "--json").out)["id"] == told["id"]
    assert sorted(path.name for path in tiny.home.iterdir() if path.suffix == ".tar") == [
        "a.tar",
        "b.tar",
        "root.tar",
    ]


def test_without_the_cache_the_layers_come_from_the_storage(tiny: User, tmp_path: Path) -> None:
    made(tiny)
    tiny.cache = tmp_path / "another"
    (one,) = listed(tiny)
    assert one["size"] is None
    assert one["unpacked"]
    assert json.loads(tiny.avabuild("sbom", REFERENCE).out)["packages"][1]["name"] == "libc6"
    assert tiny.avabuild("export", REFERENCE, "-f", "def", "-o", "def").code == 0
    assert tiny.avabuild("inspect", f"oci-archive:{tiny.home}/def/base.tar").code == 0


def test_an_image_that_a_container_uses_stays(tiny: User) -> None:
    made(tiny)
    container = tiny.buildah("from", "--pull-never", REFERENCE).strip()
    try:
        outcome = tiny.avabuild("rm", REFERENCE)
        assert outcome.code == 14
        assert f"a container uses {REFERENCE}" in outcome.err
        assert "buildah rm" in outcome.err
        assert listed(tiny)
    finally:
        tiny.buildah("rm", container)


def test_a_prune_keeps_what_the_image_needs_and_frees_the_rest(tiny: User) -> None:
    image = made(tiny)
    (tiny.home / "greeting").write_text("good bye\n")
    newer = made(tiny)
    assert newer["digest"] != image["digest"]
    told = json.loads(tiny.avabuild("prune", "--json", "--dry-run").out)
    freed = json.loads(tiny.avabuild("prune", "--json").out)
    kinds = {one["kind"] for one in freed["removed"]}
    assert {"layers", "images"} <= kinds
    assert {one["kind"] for one in told["removed"]} == kinds
    (one,) = listed(tiny, "--all")
    assert one["digest"] == newer["digest"]
    assert tiny.avabuild("export", REFERENCE, "-f", "oci-archive", "-o", "a.tar").code == 0
    assert (
        json.loads(tiny.avabuild("inspect", "oci-archive:a.tar", "--json").out)["digest"] == newer["digest"]
    )
    again = tiny.avabuild("recipe", "recipe.toml", "--json")
    assert again.image.get("up_to_date")


def test_prunes_beside_builds_break_none_of_them(tiny: User) -> None:
    made(tiny)
    prunes = [tiny.start("prune", "--json")]
    for number in range(4):
        (tiny.home / "greeting").write_text(f"hello {number}\n")
        build = tiny.start("recipe", "recipe.toml", "-q")
        while build.poll() is None:
            if prunes[-1].poll() is not None:
                prunes.append(tiny.start("prune", "--json"))
            time.sleep(0.02)
        out, err = build.communicate()
        assert build.returncode == 0, err
        assert out.strip() == REFERENCE
    for prune in prunes:
        _, err = prune.communicate()
        assert prune.returncode == 0, err
    assert tiny.avabuild("export", REFERENCE, "-f", "oci-archive", "-o", "a.tar").code == 0
    assert len(prunes) > 3


@pytest.mark.network
def test_an_exported_containerfile_builds_the_same_packages_without_avabuild(root: User) -> None:
    recipe = root.recipe("""
        name = "ava-test-export"
        base = { debian = "bookworm" }
        [packages]
        apt = ["tree"]
        pip = ["six", "toolz"]
        [[run]]
        shell = "echo made > /made"
        [image]
        env = { GREETING = "it's $5" }
    """)
    assert root.avabuild("recipe", recipe).code == 0
    assert root.avabuild("export", "ava-test-export:py311-cpu", "-o", "out").code == 0
    ca = next(
        path for path in (os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt") if path
    )
    given = [
        f"--build-arg={name}={os.environ[name]}"
        for name in os.environ
        if name.startswith("PIP_") and "INDEX" in name
    ]
    given.append(f"--secret=id=ca,src={ca}")
    if mirror := os.environ.get("AVABUILD_DEBIAN_MIRROR"):
        given.append(f"--build-arg=APT_MIRROR={mirror}")
    fixed = ["--isolation", "chroot", "--network", "host", "--layers=false"]
    root.buildah("build", *fixed, *given, "--tag", "localhost/ava-test-exported", str(root.home / "out"))
    shell = "pip list --format freeze; dpkg-query -W; apt-mark showmanual; cat /made; echo $GREETING"
    theirs = root.inside("localhost/ava-test-exported", shell)
    assert theirs == root.inside("localhost/ava-test-export:py311-cpu", shell)
    assert "toolz==" in theirs
    assert "it's $5" in theirs
    # The image that they built says what it is, and that it is not the one that was exported.
    mine, built = (
        json.loads(root.avabuild("inspect", name, "--json").out)
        for name in ("ava-test-export:py311-cpu", "ava-test-exported")
    )
    for field in ("recipe", "lock", "python", "frameworks"):
        assert built[field] == mine[field], field
    assert built["exported"] == "ava-test-export:py311-cpu"
    again = root.avabuild("export", "ava-test-exported", "-o", "again")
    assert "exported Containerfile of ava-test-export:py311-cpu" in again.err


@pytest.fixture
def registry(make_distribution: Callable[..., Any]) -> Any:
    """A registry that holds nothing yet."""
    made = make_distribution()
    made.start()
    return made


def test_images_of_a_registry_are_listed_and_shown_without_being_pulled(tiny: User, registry: Any) -> None:
    image = made(tiny)
    tiny.env |= registry.environment
    assert tiny.avabuild("export", REFERENCE, "-f", "oci-archive", "-o", "a.tar").code == 0
    assert tiny.avabuild("rm", REFERENCE).code == 0
    for name in ("team/ava-test-tiny:cpu", "team/ava-test-tiny:two", "other/ava-test-tiny:cpu"):
        command, env = tiny.command(
            "skopeo", "copy", "--insecure-policy", "oci-archive:a.tar", f"docker://{registry.host}/{name}"
        )
        subprocess.run(command, env=env, cwd=tiny.home, check=True, capture_output=True)
    found = listed(tiny, "--registry", f"{registry.host}/team")
    assert [one["reference"] for one in found] == [
        f"{registry.host}/team/ava-test-tiny:{tag}" for tag in ("cpu", "two")
    ]
    assert {one["digest"] for one in found} == {image["digest"]}
    assert len(listed(tiny, "--registry", registry.host)) == 3
    assert len(listed(tiny, "--registry", f"{registry.host}/other/ava-test-tiny")) == 1
    told = json.loads(tiny.avabuild("inspect", f"{registry.host}/team/ava-test-tiny:cpu", "--json").out)
    assert told["layers"][1]["name"] == "files: recipe"
    assert told["lock"]["target"] == "cpu"
    assert listed(tiny) == []
    bill = json.loads(tiny.avabuild("sbom", f"{registry.host}/team/ava-test-tiny:cpu").out)
    assert bill["packages"][1]["name"] == "libc6"


def test_a_registry_that_refuses_is_told_with_what_to_do(tiny: User, registry: Any) -> None:
    tiny.env |= registry.environment
    missing = tiny.avabuild("inspect", f"{registry.host}/team/nothing:1")
    assert missing.code == 14
    assert "has no image" in missing.err
    tiny.env["REGISTRY_AUTH_FILE"] = str(registry.auth_file("wrong"))
    for argv in (("inspect", f"{registry.host}/team/x:1"), ("images", "--registry", f"{registry.host}/team")):
        refused = tiny.avabuild(*argv)
        assert refused.code == 77, refused.err
        assert f"{registry.host} doesn't accept the password of ava" in refused.err
        assert f"avabuild login {registry.host}" in refused.err
    tiny.env["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
    stranger = tiny.avabuild("inspect", f"{registry.host}/team/x:1")
    assert stranger.code == 77
    assert "certificate" in stranger.err
    tiny.env["REGISTRY_AUTH_FILE"] = str(registry.auth_file())
    let_off = tiny.avabuild("images", "--registry", f"{registry.host}/team/x", "--insecure")
    assert f"{registry.host} has no repository team/x" in let_off.err
