from __future__ import annotations

from typing import Literal

from pydantic import Field

from avabuild.plugins.framework import Framework, Options, Release
from avabuild.plugins.profile import example, profile_of

HOMES = {"trixie": ("3.13",), "bookworm": ("3.11",), "bullseye": ("3.9", "2.7")}


class Own(Options):
    build: Literal["wheel"] = Field(default="wheel", description="Which build")
    parts: tuple[str, ...] = ()
    jobs: int | None = None
    fast: bool = True


def framework(*releases: Release, options: type[Options] = Options) -> Framework:
    return Framework(
        name="ava", summary="Ava", releases=releases, layers=lambda r: (), check=lambda r: "pass",
        options=options,
    )  # fmt: skip


def test_options_are_worded_as_a_writer_of_toml_knows_them():
    shown = profile_of(framework(Release(version="1.0", pythons=("3.11",)), options=Own), HOMES)["options"]
    assert [(option["name"], option["type"]) for option in shown] == [
        ("version", "string"),
        ("build", '"wheel"'),
        ("parts", "list of string"),
        ("jobs", "number"),
        ("fast", "boolean"),
    ]
    assert (shown[1]["default"], shown[1]["description"]) == ("wheel", "Which build")


def test_the_example_is_of_the_newest_release_that_a_distribution_has_the_python_for():
    newest = Release(version="3.0", pythons=("3.12",))
    older = Release(version="2.0", pythons=("2.7", "3.9"), devices=("cuda9.0", "cpu"))
    text = example(framework(newest, older), HOMES)
    assert 'base = { debian = "bullseye" }' in text
    assert 'python = ["3.9"]\ndevice = ["cuda9.0"]' in text
    assert 'ava = "2.0"' in text


def test_the_example_stands_where_the_release_is():
    here = Release(version="1.0", pythons=("3.11", "3.13"), devices=("any",), distributions=("bookworm",))
    text = example(framework(here), HOMES)
    assert 'base = { debian = "bookworm" }' in text
    assert 'device = ["cpu"]' in text


def test_the_example_of_what_no_distribution_has_stands_on_an_image():
    assert 'base = { image = "python:3.12" }' in example(
        framework(Release(version="3.0", pythons=("3.12",))), HOMES
    )
