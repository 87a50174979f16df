"""Bases: images, archives, other recipes, and nothing."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from .user import program

if TYPE_CHECKING:
    from collections.abc import Callable

    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

INNER = """
    name = "ava-test-inner"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six==1.16.0"]
    [image]
    env = { INNER = "yes" }
"""


@pytest.fixture
def inner(builder: User) -> str:
    """An image that others stand on."""
    assert builder.avabuild("recipe", builder.recipe(INNER, "inner.toml")).code == 0
    return "localhost/ava-test-inner:py311-cpu"


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "rootfs"])
def test_an_archive_of_any_kind_is_a_base(builder: User, inner: str, kind: str) -> None:
    if kind == "rootfs":
        layout = builder.home / "layout"
        builder.buildah("push", "--quiet", inner, f"oci:{layout}:x")
        blobs = layout / "blobs" / "sha256"
        (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
        manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
        tree = builder.home / "tree"
        tree.mkdir()
        for layer in manifest["layers"]:
            packed = blobs / layer["digest"].removeprefix("sha256:")
            subprocess.run(["tar", "-C", str(tree), "-xf", str(packed)], check=True)
        subprocess.run(["tar", "-C", str(tree), "-cf", str(builder.home / "base.tar"), "."], check=True)
    else:
        builder.buildah("push", "--quiet", inner, f"{kind}:{builder.home}/base.tar:ava-test-inner:x")
    recipe = builder.recipe("""
        name = "ava-test-outer"
        base = { archive = "base.tar" }
        [packages]
        pip = ["toolz"]
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = builder.inside(
        str(outcome.image["reference"]), "python -c 'import toolz; print(toolz.__name__)'; echo $INNER"
    )
    assert said == ("toolz\n\n" if kind == "rootfs" else "toolz\nyes\n")


def test_a_local_image_is_a_base(builder: User, inner: str) -> None:
    recipe = builder.recipe(f"""
        name = "ava-test-outer"
        base = {{ image = "{inner}" }}
        [[files]]
        source = "inner.toml"
        target = "/srv/"
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "ava-test-inner" in builder.inside(str(outcome.image["reference"]), "cat /srv/inner.toml")


def test_a_recipe_is_a_base_resolved_together_with_what_stands_on_it(builder: User, inner: str) -> None:
    recipe = builder.recipe("""
        name = "ava-test-outer"
        base = { recipe = "inner.toml" }
        [packages]
        pip = ["toolz"]
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "apt: frameworks" in outcome.image["reused"]  # type: ignore[operator]
    said = builder.inside(str(outcome.image["reference"]), "pip list --format=freeze; echo $INNER")
    assert "six==1.16.0" in said
    assert "toolz==" in said
    assert said.endswith("yes\n")


def test_scratch_holds_the_files_alone(builder: User) -> None:
    (builder.home / "greeting").write_text("hello\n")
    recipe = builder.recipe("""
        name = "ava-test-scratch"
        base = "scratch"
        [[files]]
        source = "greeting"
        target = "/greeting"
    """)
    outcome = builder.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.image["reference"] == "localhost/ava-test-scratch:cpu"
    builder.buildah("push", "--quiet", str(outcome.image["reference"]), "oci:layout:x")
    blobs = builder.home / "layout" / "blobs" / "sha256"
    listed = subprocess.run(
        f"for blob in {blobs}/*; do tar -tf $blob 2>/dev/null; done",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.stdout == "greeting\n"
    reference = str(outcome.image["reference"])
    assert "  base        scratch\n" in builder.avabuild("inspect", reference).out
    assert builder.avabuild("export", reference, "-o", "exported").code == 0
    assert "FROM scratch AS below" in (builder.home / "exported" / "Containerfile").read_text()
    refused = builder.avabuild("export", reference, "-f", "def", "-o", "definition")
    assert (refused.code, "stands on nothing" in refused.err) == (14, True)


def test_a_python_that_the_base_cannot_give_is_refused(builder: User) -> None:
    recipe = builder.recipe('name = "x"\nbase = { debian = "bookworm" }\n[matrix]\npython = ["3.13"]\n')
    outcome = builder.avabuild("recipe", recipe)
    assert outcome.code == 4
    assert "can't give Python 3.13; it offers 3.11" in outcome.err


OBTAIN = """
import os, sys
from pathlib import Path
from avabuild.host.host import probe
from avabuild.tools.events import Report
from avabuild.run.recipe_run import RecipeRun
from avabuild.run.run import Workplace

workplace, report = Workplace.on(probe(os.environ)), Report(lambda event: None)
recipe = RecipeRun(Path(sys.argv[1]), workplace)
print(recipe.bases.obtain(recipe.projects[0], workplace.tools(report, "base"), report).digest)
"""


def test_a_debian_bootstrapped_without_a_range_of_ids_is_the_very_one_that_root_has(
    make_user: Callable[[str, bool], User], root: User
) -> None:
    """Root's with a TMPDIR that APT's own user can't enter, where APT works without that user."""
    private = root.home / "private"
    private.mkdir(mode=0o700)
    root.cache = root.home / "cache"
    root.env["TMPDIR"] = str(private)
    digests = []
    for user in (make_user("avatestdebian", False), root):
        path = user.recipe('name = "ava-test-debian"\nbase = { debian = "bookworm" }\n')
        command, env = user.command(*program()[:-1], OBTAIN, str(path))
        done = subprocess.run(command, env=env, cwd=user.home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1]
