"""A recipe on a recipe becomes one."""

from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError
from avabuild.recipe import DebianBase, load, variants


def flatten(recipe, load):
    """The one recipe that a recipe without choices among bases comes to."""
    (variant,) = variants(recipe, load)
    return variant.recipe


INNER = """name = "inner"
base = { debian = "trixie" }
[matrix]
python = ["3.11"]
device = ["cpu", "cuda12.5"]
[frameworks]
tensorflow = "~=2.19"
keras = { version = ">=3", backend = "jax" }
[packages]
apt = ["git", "curl"]
pip = ["./w-1.0-py3-none-any.whl", "numpy"]
[[files]]
source = "data/"
target = "/data"
[[run]]
shell = "inner"
mounts = ["data:/d"]
[image]
env = { A = "inner", B = "inner" }
cmd = ["inner"]
workdir = "/inner"
ports = [80]
[build]
compression = "zstd"
"""
OUTER = """name = "outer"
base = { recipe = "lib/inner.toml" }
tag = "{tensorflow}"
matrix.device = "cpu"
[frameworks]
keras = "2.*"
[packages]
apt = ["curl", "vim"]
pip = ["scipy"]
[[files]]
source = "."
target = "/here"
[[run]]
shell = "outer"
[image]
env = { B = "outer" }
ports = [81]
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lib/data").mkdir(parents=True)
    Path("lib/w-1.0-py3-none-any.whl").touch()
    Path("lib/inner.toml").write_text(INNER)
    Path("outer.toml").write_text(OUTER)


def test_a_recipe_on_no_recipe_is_itself(directory):
    recipe = load(Path("lib/inner.toml"))
    assert flatten(recipe, load) is recipe


def test_two_recipes_become_one(directory):
    whole = flatten(load(Path("outer.toml")), load)
    assert whole.name == "outer"
    assert whole.base == DebianBase(debian="trixie")
    assert whole.tag == "{tensorflow}"
    assert whole.matrix.python == ("3.11",)
    assert whole.matrix.device == ("cpu",)
    assert whole.options("tensorflow") == {"version": "~=2.19"}
    assert whole.options("keras") == {"version": "2.*"}
    assert whole.packages.apt == ("git", "curl", "vim")
    assert whole.packages.pip == ("./lib/w-1.0-py3-none-any.whl", "numpy", "scipy")
    assert [item.source for item in whole.files] == ["./lib/data/", "."]
    assert [step.shell for step in whole.run] == ["inner", "outer"]
    assert whole.run[0].mounts[0].source == "./lib/data"
    assert whole.image.env == (("A", "inner"), ("B", "outer"))
    assert whole.image.cmd == ("inner",)
    assert whole.image.workdir == "/inner"
    assert whole.image.ports == ("80/tcp", "81/tcp")
    assert whole.build.compression == "zstd"
    assert all((whole.directory / item.source).exists() for item in whole.files)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (("name",), "outer.toml:1"),
        (("base", "debian"), "lib/inner.toml:2"),
        (("matrix", "python"), "lib/inner.toml:4"),
        (("matrix", "device"), "outer.toml:4"),
        (("frameworks", "tensorflow"), "lib/inner.toml:7"),
        (("frameworks", "keras", "backend"), "outer.toml:6"),
        (("packages", "apt", 1), "outer.toml:8"),
        (("packages", "apt", 0), "lib/inner.toml:10"),
        (("packages", "pip", 2), "outer.toml:9"),
        (("files", 0, "target"), "lib/inner.toml:14"),
        (("files", 1, "target"), "outer.toml:12"),
        (("run", 1, "shell"), "outer.toml:14"),
    ],
)
def test_every_part_keeps_the_place_it_came_from(directory, keys, place):
    assert flatten(load(Path("outer.toml")), load).place(*keys) == place


def test_three_recipes_become_one_from_the_innermost_out(directory):
    Path("lib/sub").mkdir()
    Path("lib/sub/top.toml").write_text(
        'name = "top"\nbase = { recipe = "../../outer.toml" }\n[image]\nentrypoint = ["x"]\n'
    )
    whole = flatten(load(Path("lib/sub/top.toml")), load)
    assert whole.packages.pip[0] == "../../lib/w-1.0-py3-none-any.whl"
    assert [item.source for item in whole.files] == ["../../lib/data/", "../.."]
    assert whole.tag == "{tensorflow}"
    assert whole.image.entrypoint == ("x",)
    assert whole.image.cmd is None
    assert whole.place("run", 0) == "lib/inner.toml:15"


def test_a_circle_is_named_with_its_chain(directory):
    Path("lib/inner.toml").write_text('name = "inner"\nbase = { recipe = "../outer.toml" }')
    with pytest.raises(RecipeError) as caught:
        flatten(load(Path("outer.toml")), load)
    assert str(caught.value) == (
        "lib/inner.toml:2: base.recipe: the recipes stand on each other in a circle: "
        "outer.toml -> lib/inner.toml -> outer.toml"
    )


def test_a_recipe_on_itself_is_a_circle(directory):
    Path("self.toml").write_text('name = "x"\nbase = { recipe = "self.toml" }')
    with pytest.raises(RecipeError, match=r"self.toml -> self.toml"):
        flatten(load(Path("self.toml")), load)


def test_a_problem_of_the_inner_recipe_names_the_inner_file(directory):
    Path("lib/inner.toml").write_text('name = "inner"\ntag = 3')
    with pytest.raises(RecipeError, match=r"^lib/inner.toml:2: tag: "):
        flatten(load(Path("outer.toml")), load)


def test_a_tag_field_that_no_recipe_of_the_chain_has_is_a_problem(directory):
    Path("outer.toml").write_text(OUTER.replace("{tensorflow}", "{tensorflwo}"))
    with pytest.raises(RecipeError, match=r'^outer.toml:3: tag: .*did you mean "tensorflow"'):
        flatten(load(Path("outer.toml")), load)
