"""Bases that depend on the axes: which targets stand on which, and what is wrong with an array of bases."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.common.errors import RecipeError
from avabuild.recipe import load, variants

ARRAY = """name = "mine"
base = [
  { python = "2.7", debian = "bullseye" },
  { python = "3.11", device = ["cuda9.0*", "cuda9.1"], image = "nvidia/cuda:9" },
  { debian = "bookworm" },
]
[matrix]
python = ["2.7", "3.11"]
device = ["cpu", "cuda9.0-cudnn7"]
"""


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def opened(text: str, **others: str):
        for name, content in others.items():
            Path(f"{name}.toml").write_text(content)
        Path("mine.toml").write_text(text)
        return variants(load(Path("mine.toml")), load)

    return opened


def standing(found) -> dict[str, list[str]]:
    return {
        str(next(iter(v.recipe.one_base.model_dump().values()))): [f"{p.python} {p.device}" for p in v.points]
        for v in found
    }


def problems_of(opened, text: str, **others: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        opened(text, **others)
    return [str(problem) for problem in caught.value.problems]


def test_a_target_stands_on_the_first_base_whose_conditions_hold(opened):
    assert standing(opened(ARRAY)) == {
        "bullseye": ["2.7 cpu", "2.7 cuda9.0-cudnn7"],
        "nvidia/cuda:9": ["3.11 cuda9.0-cudnn7"],
        "bookworm": ["3.11 cpu"],
    }


def test_an_array_of_tables_may_be_written_with_headers_too(opened):
    text = 'name = "mine"\nmatrix.python = ["2.7", "3.11"]\n[[base]]\npython = "2.7"\ndebian = "bullseye"\n'
    found = opened(f'{text}[[base]]\ndebian = "bookworm"\n')
    assert [v.recipe.place("base") for v in found] == ["mine.toml:3", "mine.toml:6"]
    assert [v.recipe.place("base", "debian") for v in found] == ["mine.toml:5", "mine.toml:7"]


def test_what_a_recipe_says_of_a_target_names_its_own_base_alone(opened):
    assert [v.recipe.content()["base"] for v in opened(ARRAY)] == [
        {"debian": "bullseye"},
        {"image": "nvidia/cuda:9"},
        {"debian": "bookworm"},
    ]


def test_a_recipe_writes_its_bases_as_the_file_does(opened, tmp_path):
    opened(ARRAY)
    assert load(tmp_path / "mine.toml").content()["base"][1] == {
        "python": ["3.11"],
        "device": ["cuda9.0*", "cuda9.1"],
        "image": "nvidia/cuda:9",
    }


def test_a_base_that_no_target_stands_on_is_left_out(opened):
    assert list(standing(opened(ARRAY.replace('["2.7", "3.11"]', '"2.7"')))) == ["bullseye"]


def test_targets_without_a_base_are_told_all_at_once_with_the_line_of_base(opened):
    text = ARRAY.replace('{ debian = "bookworm" },', "").replace('python = "2.7", deb', 'device = "cpu", deb')
    text = text.replace('"3.11", device', '"2.7", device')
    assert problems_of(opened, text.replace("cpu", "cuda8.0", 1)) == [
        "mine.toml:2: base: none of its tables is for python 2.7, device cpu; add one",
        "mine.toml:2: base: none of its tables is for python 3.11, device cpu; add one",
        "mine.toml:2: base: none of its tables is for python 3.11, device cuda9.0-cudnn7; add one",
    ]


def test_a_condition_on_python_needs_the_pythons_of_the_matrix(opened):
    text = ARRAY.replace('python = ["2.7", "3.11"]', "")
    assert problems_of(opened, text) == [
        "mine.toml:3: base[0].python: needs the Pythons of the matrix: write matrix.python"
    ]


@pytest.mark.parametrize(
    ("bases", "problem"),
    [
        ("[]", "mine.toml:2: base: is empty; name at least one base"),
        (
            '{ debian = "bookworm", python = "3.11" }',
            "mine.toml:2: base: python chooses among several bases; write base = [{ ... }, { ... }]",
        ),
        (
            '[{ debian = "bookworm" },\n{ python = "2.7", debian = "bullseye" }]',
            "mine.toml:3: base[1]: is never used: base[0] has no conditions and is for all targets",
        ),
        (
            '[\n{ python = 2.7, debian = "bullseye" }]',
            'mine.toml:3: base[0].python: needs quotes, like python = ["3.11"]; as a number 3.10 would be 3.1',
        ),
        (
            '[\n{ device = "gpu", debian = "bullseye" }]',
            'mine.toml:3: base[0].device: "gpu" is no device; write cpu, cuda12.5 or cuda9.0-cudnn7',
        ),
        (
            '[\n{ device = "GPU*", debian = "bullseye" }]',
            'mine.toml:3: base[0].device: "GPU*" is no pattern of devices; write "cpu", "cuda9.0-cudnn7" or "cuda9.0*"',
        ),
        (
            '[\n{ pyhton = "2.7", debian = "bullseye" }]',
            'mine.toml:3: base[0].pyhton: unknown key; did you mean "python"?',
        ),
        (
            '[\n{ python = "2.7" }]',
            "mine.toml:3: base[0]: says nothing to build on; write",
        ),
        (
            '[\n{ python = "2.7", debian = "bulseye" }]',
            'mine.toml:3: base[0].debian: "bulseye" is none of bullseye, bookworm, trixie; did you mean "bullseye"?',
        ),
        (
            '[\n{ python = "2.7", archive = "no.tar" }]',
            'mine.toml:3: base[0].archive: there is no "no.tar" in .; paths are relative to the recipe',
        ),
        ("[7]", "mine.toml:2: base[0]: must be a table: write"),
    ],
)
def test_what_is_wrong_in_an_array_of_bases_is_told_by_line(opened, bases, problem):
    (said,) = problems_of(opened, f'name = "mine"\nbase = {bases}\n')
    assert said.startswith(problem)


def test_all_problems_of_an_array_are_told_at_once(opened):
    bases = '[\n{ debian = "bulseye", device = "gpu" },\n{ debian = "sid", mirror = "x" },\n"scratch"]'
    assert [p.split(": ")[1] for p in problems_of(opened, f'name = "mine"\nbase = {bases}\n')] == [
        "base[0].device",
        "base[1].debian",
        "base[1].mirror",
    ]


# -- inheritance -------------------------------------------------------------------------------------------

CLASSIC = (
    'name = "classic"\nbase = { debian = "bullseye" }\nmatrix.python = "2.7"\npackages.pip = ["six<2"]\n'
)
CURRENT = 'name = "current"\nmatrix.python = ["3.11"]\npackages.pip = ["six"]\n'


def test_a_recipe_on_one_with_several_bases_has_them_too(opened):
    found = opened('name = "outer"\nbase = { recipe = "inner.toml" }\n', inner=ARRAY)
    assert list(standing(found)) == ["bullseye", "nvidia/cuda:9", "bookworm"]
    assert {v.recipe.name for v in found} == {"outer"}
    assert {v.below for v in found} == {(Path("inner.toml"),)}
    assert found[0].recipe.place("base", "debian") == "inner.toml:3"


def test_the_recipe_below_may_depend_on_the_axes(opened):
    text = 'name = "outer"\n[[base]]\npython = "2.7"\nrecipe = "classic.toml"\n[[base]]\nrecipe = "current.toml"\n'
    found = opened(text, classic=CLASSIC, current=CURRENT)
    assert standing(found) == {"bullseye": ["2.7 cpu"], "bookworm": ["3.11 cpu"]}
    assert [v.recipe.packages.pip for v in found] == [("six<2",), ("six",)]
    assert [v.below for v in found] == [(Path("classic.toml"),), (Path("current.toml"),)]


def test_a_target_that_an_inner_array_has_no_base_for_is_told_with_the_inner_line(opened):
    inner = 'name = "inner"\nbase = [{ python = "2.7", debian = "bullseye" }]\nmatrix.python = "2.7"\n'
    text = 'name = "outer"\nbase = { recipe = "inner.toml" }\nmatrix.python = ["2.7", "3.11"]\n'
    assert problems_of(opened, text, inner=inner) == [
        "inner.toml:2: base: none of its tables is for python 3.11, device cpu; add one"
    ]


def test_a_circle_through_one_of_several_bases_is_found(opened):
    text = 'name = "a"\nmatrix.python = "2.7"\n[[base]]\npython = "2.7"\nrecipe = "b.toml"\n[[base]]\ndebian = "trixie"\n'
    (said,) = problems_of(opened, text, b='name = "b"\nbase = { recipe = "mine.toml" }\n')
    assert said.startswith(
        "b.toml:2: base.recipe: the recipes stand on each other in a circle: mine.toml -> b.toml"
    )
