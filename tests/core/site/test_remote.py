"""Reading a registry: what skopeo answers, and what is made of it."""

from __future__ import annotations

import hashlib
import json

import pytest

from avabuild.errors import StepError, UnavailableError
from avabuild.site.remote import held

LABELS = {"org.avabuild.target": "py311-cpu", "org.avabuild.frameworks": "{}"}
CONFIG = {
    "architecture": "amd64",
    "config": {"ExposedPorts": {"8888/tcp": {}}, "Labels": LABELS},
    "history": [
        {"created_by": "mmdebstrap"},
        {"created_by": "ENV", "empty_layer": True},
        {"created_by": "avabuild: wheels of frameworks"},
    ],
}
MANIFEST = {"layers": [{"size": 50}, {"size": 7}]}
DIGEST = "sha256:" + hashlib.sha256(json.dumps(MANIFEST).encode()).hexdigest()


def registry(answers):
    """Return what asks a registry that gives `answers` by the last words of the command."""

    def ask(argv):
        name = argv[-1].removeprefix("docker://")
        kind = "tags" if argv[0] == "list-tags" else "config" if "--config" in argv else "manifest"
        answer = answers.get(
            (kind, name), StepError("skopeo failed", tail="reading manifest: manifest unknown")
        )
        if isinstance(answer, Exception):
            raise answer
        return json.dumps(answer)

    return ask


def test_an_image_has_its_digest_and_named_layers_with_sizes():
    answers = {
        ("tags", "reg.example.com/ava/a"): {"Tags": ["py311-cpu"]},
        ("manifest", "reg.example.com/ava/a:py311-cpu"): MANIFEST,
        ("config", "reg.example.com/ava/a:py311-cpu"): CONFIG,
    }
    (image,) = held(registry(answers), "reg.example.com/ava", ["a", "b"])
    assert (image.reference, image.digest, image.arch) == (
        "reg.example.com/ava/a:py311-cpu",
        DIGEST,
        "x86_64",
    )
    assert [(one.name, one.size) for one in image.slices] == [("base", 50), ("wheels of frameworks", 7)]
    assert image.ports == ("8888/tcp",)


def test_images_of_others_and_those_that_went_away_are_left_out():
    answers = {
        ("tags", "reg.example.com/ava/a"): {"Tags": ["other", "gone"]},
        ("config", "reg.example.com/ava/a:other"): {"config": {"Labels": None}},
    }
    assert held(registry(answers), "reg.example.com/ava", ["a"]) == ()


def test_a_history_that_does_not_fit_names_no_layer():
    answers = {
        ("tags", "reg.example.com/ava/a"): {"Tags": ["t"]},
        ("manifest", "reg.example.com/ava/a:t"): MANIFEST,
        ("config", "reg.example.com/ava/a:t"): CONFIG | {"history": []},
    }
    (image,) = held(registry(answers), "reg.example.com/ava", ["a"])
    assert [one.name for one in image.slices] == ["base", "base"]


@pytest.mark.parametrize("tail", ["unauthorized: authentication required", "dial tcp: connection refused"])
def test_a_registry_that_refuses_or_is_down_is_an_error_that_says_so(tail):
    said = f'noise\ntime="2026" level=fatal msg="{tail}"'
    answers = {("tags", "reg.example.com/ava/a"): StepError("skopeo failed", tail=said)}
    with pytest.raises(UnavailableError, match=f"holds: {tail}") as caught:
        held(registry(answers), "reg.example.com/ava", ["a"])
    assert caught.value.place == "reg.example.com/ava/a"
