"""What fails: each failure has its exit code and words, leaves nothing behind, and the next good build succeeds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .origins import Index
    from .user import User

pytestmark = pytest.mark.build

GOOD = """
    name = "ava-test-failing"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six"]
    [[run]]
    shell = "RUN"
"""


def test_a_failing_step_shows_its_output_and_is_never_cached(own: User) -> None:
    recipe = own.recipe(GOOD.replace("RUN", "echo one; echo the-cause >&2; exit 3"))
    for _ in range(2):
        outcome = own.avabuild("recipe", recipe)
        assert outcome.code == 5
        assert "the-cause" in outcome.err
        assert "exit 3" in outcome.err, "the command is shown"
        log = re.search(r"full log: (\S+)", outcome.err)
        assert log
        assert "the-cause" in Path(log[1]).read_text()
        assert "--keep" in outcome.err
        assert own.leftovers() == []
    assert "ava-test-failing" not in own.buildah("images")
    own.recipe(GOOD.replace("RUN", "echo fine > /fine"))
    assert own.avabuild("recipe", recipe).code == 0


def test_a_kept_container_can_be_entered(own: User) -> None:
    recipe = own.recipe(GOOD.replace("RUN", "echo trace > /trace; false"))
    outcome = own.avabuild("recipe", recipe, "--keep")
    assert outcome.code == 5
    entered = re.search(r"avabuild enter (\S+)$", outcome.err, re.MULTILINE)
    assert entered, outcome.err
    inside = own.avabuild("enter", entered[1], "--", "sh", "-c", "cat /trace; exit 3")
    assert (inside.code, inside.out) == (3, "trace\n"), inside.err
    left = re.search(r"avabuild leave (\S+)$", outcome.err, re.MULTILINE)
    assert left
    assert own.avabuild("leave", left[1]).code == 0
    assert own.leftovers() == []
    gone = own.avabuild("enter", entered[1])
    assert gone.code == 14
    assert "there is no working container" in gone.err


@pytest.mark.one_builder
def test_a_wheel_that_differs_from_its_hash_is_refused_and_not_kept(
    own: User, index: Index, tmp_path: Path
) -> None:
    index.add("six", *_wheel_of(own, "six", tmp_path))
    own.env |= {"UV_DEFAULT_INDEX": index.url}
    recipe = own.recipe('name = "ava-test-hash"\nbase = { debian = "bookworm" }\n[packages]\npip = ["six"]\n')
    index.add("pip", *_wheel_of(own, "pip", tmp_path))
    shutil.rmtree(own.cache / "wheels", ignore_errors=True)
    for file in (index.directory / "simple" / "six").glob("*.whl"):
        with file.open("ab") as wheel:
            wheel.write(b"tampered")
    outcome = own.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code == 10
    assert "six" in outcome.err
    assert not list((own.cache / "wheels").rglob("six*.whl"))
    assert own.leftovers() == []


def _wheel_of(user: User, name: str, place: Path) -> list[Path]:
    target = place / f"download-{name}"
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target), name],
        check=True,
    )
    return list(target.iterdir())


@pytest.mark.one_builder
def test_an_index_that_is_down_leaves_nothing_half_cached(own: User) -> None:
    shutil.rmtree(own.cache / "wheels", ignore_errors=True)
    own.env |= {
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(own.home / "uv"),
    }
    outcome = own.avabuild("recipe", own.recipe(GOOD.replace("RUN", "true")))
    assert outcome.code == 75
    assert "index" in outcome.err
    assert not list((own.cache / "wheels").rglob("*.whl"))
    assert own.leftovers() == []
    for name in ("UV_DEFAULT_INDEX", "UV_CACHE_DIR"):
        del own.env[name]
    assert own.avabuild("recipe", own.home / "recipe.toml").code == 0


@pytest.mark.one_builder
def test_conflicting_requirements_keep_the_resolvers_explanation(own: User) -> None:
    recipe = own.recipe(
        'name = "x"\nbase = { debian = "bookworm" }\n[packages]\npip = ["requests==2.31.0", "urllib3==1.20"]\n'
    )
    outcome = own.avabuild("recipe", recipe)
    assert outcome.code == 9
    assert "requests==2.31.0" in outcome.err
    assert "urllib3" in outcome.err


@pytest.mark.one_builder
def test_an_unknown_debian_package_is_named(own: User) -> None:
    recipe = own.recipe(
        'name = "x"\nbase = { debian = "bookworm" }\n[packages]\napt = ["no-such-package-at-all"]\n'
    )
    outcome = own.avabuild("recipe", recipe)
    assert outcome.code == 9
    assert "no-such-package-at-all" in outcome.err
    assert own.leftovers() == []


def test_two_builds_of_one_recipe_at_once_both_succeed(own: User) -> None:
    recipe = own.recipe(
        GOOD.replace("RUN", "echo done > /done").replace("[[run]]", 'apt = ["tree"]\n    [[run]]')
    )
    both = [own.start("recipe", str(recipe), "--json") for _ in range(2)]
    ended = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    digests = {re.search(r'"digest": "(sha256:\w+)"', out)[1] for out, _ in ended}  # type: ignore[index]
    assert len(digests) == 1
    assert own.leftovers() == []


@pytest.fixture
def full(own: User, tmp_path: Path) -> Iterator[User]:
    """The same store on a disk that the base all but fills."""
    disk, cache = tmp_path / "disk", own.cache
    disk.mkdir()
    known = [json.loads(path.read_text())["data"] for path in (own.cache / "index" / "base").iterdir()]
    base = next(
        base for base in known if base["facts"]["distribution"] == "bookworm" and not base["facts"]["pythons"]
    )
    digests = [base["digest"], base["config"], *(layer["digest"] for layer in base["layers"])]
    needed = [own.cache / "blobs" / "sha256" / digest.removeprefix("sha256:") for digest in digests]
    size = sum(path.stat().st_size for path in needed) + (12 << 20)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    index = own.cache / "index"
    try:
        for path in (*needed, *(index / "base").iterdir(), *(index / "base-name").iterdir()):
            target = disk / "store" / path.relative_to(own.cache)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        subprocess.run(["chown", "-R", f"{own.name}:", str(disk)], check=True)
        own.cache = disk / "store"
        yield own
    finally:
        own.cache = cache
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_named_and_nothing_partial_stays(full: User) -> None:
    recipe = full.recipe('name = "x"\nbase = { debian = "bookworm" }\n[packages]\npip = ["numpy", "scipy"]\n')
    outcome = full.avabuild("recipe", recipe, "--output", "oci:out")
    assert outcome.code == 12, outcome.err
    assert "space" in outcome.err
    assert not list(full.cache.rglob("*.part"))
    assert list((full.cache / "tmp").iterdir()) == []
    full.recipe('name = "ava-test-full"\nbase = { debian = "bookworm" }\n[packages]\npip = ["six"]\n')
    subprocess.run(["mount", "-o", "remount,size=400m", str(full.cache.parent)], check=True)
    assert full.leftovers() == [], "nor in the image storage, which has room"
    again = full.avabuild("recipe", recipe, "--output", "oci:out")
    assert again.code == 0, again.err
