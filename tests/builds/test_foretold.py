"""`plan` foretells the layers that `recipe` then makes and takes from the cache, whatever the recipe."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ..core.conftest import write_wheel

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.network]

HEAD = 'name = "ava-test-foretold"\nbase = { debian = "bookworm" }\n'
PLUGIN = """
from avabuild.api import Compile, Framework, Release, hookimpl

def layers(request):
    return [Compile(name="tool", shell="mkdir -p $OUT/usr/local/lib; echo TEXT > $OUT/usr/local/lib/tool")]

@hookimpl
def avabuild_frameworks():
    return [Framework(name="tool", summary="a tool", releases=(Release(version="1", pythons=("3.11",)),),
                      layers=layers, check=lambda request: "print(1)")]
"""
# What a recipe may have, by table; of each table one is taken, or none.
TABLES = {
    "packages": ["", 'apt = ["hello"]', 'pip = ["one-1-py3-none-any.whl"]',
                 'apt = ["hello"]\npip = ["one-1-py3-none-any.whl", "two-1-py3-none-any.whl"]'],
    "image": ["", 'workdir = "/srv/work"', 'volumes = ["/data"]\nuser = "games"', 'env = { A = "1" }',
              'workdir = "/srv/made"\nuser = "ada"'],
    "build": ["", "bytecode = false", 'compression = "zstd"'],
    "frameworks": ["", 'tool = "*"'],
}  # fmt: skip
LISTS = {
    "run": ['shell = "touch /srv/system"\nstage = "system"', 'shell = "mkdir -p /srv/made; useradd ada || true"',
            'shell = "echo $A > /srv/last"', 'shell = "cat /given/file > /srv/seen"\nmounts = ["./given:/given"]'],
    "files": ['source = "given"\ntarget = "/srv/given"', 'source = "one.txt"\ntarget = "/srv/one"\nowner = "33:33"'],
}  # fmt: skip
RECIPES = st.fixed_dictionaries(
    {name: st.sampled_from(texts) for name, texts in TABLES.items()}
    | {name: st.lists(st.sampled_from(texts), max_size=2, unique=True) for name, texts in LISTS.items()}
)


def written(parts: dict[str, Any]) -> str:
    """Return a recipe of the parts that were drawn."""
    text = HEAD + ('plugins = ["./tool.py"]\n' if parts["frameworks"] else "")
    text += "".join(f"[{name}]\n{parts[name]}\n" for name in TABLES if parts[name])
    return text + "".join(f"[[{name}]]\n{one}\n" for name in LISTS for one in parts[name])


def prepared(place: Path, wheels: Sequence[str]) -> None:
    (place / "given").mkdir()
    (place / "given" / "file").write_text("given")
    (place / "one.txt").write_text("one")
    (place / "tool.py").write_text(PLUGIN)
    for name in wheels:  # two wheels with a file in common: a layer on top has the right one
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n".encode()
        write_wheel(
            place, {f"{name}.py": b"a = 1\n", "shared/__init__.py": name.encode() + b" = 1\n"},
            name=f"{name}-1-py3-none-any.whl", replace={f"{name}-1.dist-info/METADATA": about},
        )  # fmt: skip


def layers_of(place: Path) -> list[str]:
    """Return the names of the layers above the base, lowest first, as the image's history has them."""
    blobs = place / "out" / "blobs" / "sha256"
    index = json.loads((place / "out" / "index.json").read_bytes())
    manifest = json.loads((blobs / index["manifests"][-1]["digest"].removeprefix("sha256:")).read_bytes())
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_bytes())
    made = [str(one.get("created_by", "")) for one in config["history"] if not one.get("empty_layer")]
    return [words.removeprefix("avabuild: ") for words in made if words.startswith("avabuild: ")]


def foretold(user: User) -> dict[str, str]:
    """Return the state of each layer of the plan, lowest first."""
    said = user.avabuild("plan", "recipe.toml", "--json")
    assert said.code == 0, said.err
    (plan,) = json.loads(said.out)
    return {row["name"]: row["state"] for row in plan["forecast"]}


def check(user: User, recipe: str, salt: str) -> None:
    """Plan, build, and plan again: what was said is what happened, and then all of it is there."""
    (user.home / "recipe.toml").write_text(recipe.replace("TEXT", salt))
    before = foretold(user)
    outcome = user.avabuild("recipe", "recipe.toml", "--json", "--output", "oci:out")
    assert outcome.code == 0, outcome.err
    made, reused = set(outcome.image["made"]), set(outcome.image["reused"])  # type: ignore[call-overload]
    layers = layers_of(user.home)
    assert made | reused == set(layers)
    cached, missing = ({n for n, state in before.items() if state == one} for one in ("cached", "build"))
    assert not cached - reused, "what is there is taken"
    assert not missing - made, "what is not there is made"
    if "unknown" not in before.values():
        assert [name for name in before if name in layers] == layers, "in the order of the plan"
    after = foretold(user)
    assert list(after) == layers
    assert set(after.values()) <= {"cached"}


@settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.lists(RECIPES, min_size=1, max_size=2))
def test_a_plan_foretells_what_a_build_makes_and_what_it_finds(
    root: User, tmp_path: Path, recipes: list[dict[str, Any]]
) -> None:
    root.home = Path(tempfile.mkdtemp(dir=tmp_path))
    prepared(root.home, ("one", "two"))
    for parts in recipes:
        check(root, written(parts), root.home.name)
