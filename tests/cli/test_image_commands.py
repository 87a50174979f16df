"""The commands about images, with what can be wrong on the command line, on a host without images."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def alone(tmp_path, environment, avabuild):
    """Return a function that runs avabuild with a local storage of its own."""
    configuration = tmp_path / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n'
    )
    return lambda *arguments: avabuild(*arguments, CONTAINERS_STORAGE_CONF=str(configuration))


@pytest.mark.build
def test_without_images_the_lists_are_empty(alone):
    assert alone("images", "--json").stdout == "[]\n"
    assert "avabuild recipe builds some" in alone("images").stderr
    du = json.loads(alone("du", "--json").stdout)
    assert [one["kind"] for one in du["cache"]] == ["logs", "index"]
    told = json.loads(alone("prune", "--dry-run", "--json").stdout)
    assert [one["kind"] for one in told["removed"]] == ["logs"]


@pytest.mark.build
@pytest.mark.parametrize("command", ["inspect", "export", "sbom", "rm"])
def test_an_unknown_image_is_told_and_where_the_known_ones_are(alone, command):
    done = alone(command, "nonsense")
    assert done.returncode == 14
    assert "there is no image nonsense" in done.stderr
    assert "avabuild images lists" in done.stderr


@pytest.mark.build
@pytest.mark.parametrize("name", ["oci:nowhere", "oci-archive:nowhere.tar", "docker-archive:nowhere.tar"])
def test_a_file_that_is_no_image_is_told(alone, name):
    done = alone("inspect", name)
    assert done.returncode == 14
    assert f"{name} is no image" in done.stderr


@pytest.mark.build
def test_a_registry_that_does_not_answer_may_answer_later(alone):
    for arguments in (("images", "--registry", "127.0.0.1:9/a"), ("inspect", "127.0.0.1:9/a:1")):
        done = alone(*arguments)
        assert done.returncode == 75, done.stderr
        assert "127.0.0.1:9 doesn't answer" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prune", "--keep-size", "lots"), "no size; write 50GB"),
        (("prune", "--older-than", "old"), "no age; write 30d"),
        (("export", "x", "--format", "zip"), "containerfile"),
        (("sbom", "x", "--format", "xml"), "cyclonedx"),
        (("recipe", "x.toml", "--sbom", "spdx"), "needs --output"),
    ],
)
def test_nonsense_on_the_command_line_is_refused_with_what_may_stand_there(avabuild, arguments, words):
    done = avabuild(*arguments, NO_COLOR="1", COLUMNS="200")
    assert done.returncode == 2
    assert words in done.stderr
