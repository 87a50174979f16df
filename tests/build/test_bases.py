"""Bases: images, archives, other recipes, and nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import User

pytestmark = pytest.mark.build

INNER = """
    name = "ava-test-inner"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six==1.16.0"]
    [image]
    env = { INNER = "yes" }
"""


@pytest.fixture
def inner(root: User) -> str:
    """An image that others stand on."""
    assert root.avabuild("recipe", root.recipe(INNER, "inner.toml")).code == 0
    return "localhost/ava-test-inner:py311-cpu"


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "rootfs"])
def test_an_archive_of_any_kind_is_a_base(root: User, inner: str, kind: str) -> None:
    if kind == "rootfs":
        container = root.buildah("from", "--pull-never", inner).strip()
        mounted = root.buildah("mount", container).strip()
        import subprocess

        subprocess.run(["tar", "-C", mounted, "-cf", str(root.home / "base.tar"), "."], check=True)
        root.buildah("rm", container)
    else:
        root.buildah("push", "--quiet", inner, f"{kind}:{root.home}/base.tar:ava-test-inner:x")
    recipe = root.recipe("""
        name = "ava-test-outer"
        base = { archive = "base.tar" }
        [packages]
        pip = ["toolz"]
    """)
    outcome = root.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    said = root.inside(
        str(outcome.image["reference"]), "python -c 'import toolz; print(toolz.__name__)'; echo $INNER"
    )
    assert said == ("toolz\n\n" if kind == "rootfs" else "toolz\nyes\n")


def test_a_local_image_is_a_base(root: User, inner: str) -> None:
    recipe = root.recipe(f"""
        name = "ava-test-outer"
        base = {{ image = "{inner}" }}
        [[files]]
        source = "inner.toml"
        target = "/srv/"
    """)
    outcome = root.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "ava-test-inner" in root.inside(str(outcome.image["reference"]), "cat /srv/inner.toml")


def test_a_recipe_is_a_base_resolved_together_with_what_stands_on_it(root: User, inner: str) -> None:
    recipe = root.recipe("""
        name = "ava-test-outer"
        base = { recipe = "inner.toml" }
        [packages]
        pip = ["toolz"]
    """)
    outcome = root.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert "apt: frameworks" in outcome.image["reused"]  # type: ignore[operator]
    said = root.inside(str(outcome.image["reference"]), "pip list --format=freeze; echo $INNER")
    assert "six==1.16.0" in said
    assert "toolz==" in said
    assert said.endswith("yes\n")


def test_scratch_holds_the_files_alone(root: User) -> None:
    (root.home / "greeting").write_text("hello\n")
    recipe = root.recipe("""
        name = "ava-test-scratch"
        base = "scratch"
        [[files]]
        source = "greeting"
        target = "/greeting"
    """)
    outcome = root.avabuild("recipe", recipe, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.image["reference"] == "localhost/ava-test-scratch:cpu"
    container = root.buildah("from", "--pull-never", str(outcome.image["reference"])).strip()
    from pathlib import Path

    mounted = Path(root.buildah("mount", container).strip())
    assert (mounted / "greeting").read_text() == "hello\n"
    root.buildah("rm", container)


def test_a_python_that_the_base_cannot_give_is_refused(root: User) -> None:
    recipe = root.recipe('name = "x"\nbase = { debian = "bookworm" }\n[matrix]\npython = ["3.13"]\n')
    outcome = root.avabuild("recipe", recipe)
    assert outcome.code == 4
    assert "can't give Python 3.13; it offers 3.11" in outcome.err
