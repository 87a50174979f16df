from __future__ import annotations

import json

import pytest

from avabuild.plan.labels import ANNOTATED, MOST, exact_version, labels, split_labels, whole_labels
from avabuild.plan.plan import Check, Chosen, Plan, Step
from avabuild.plugins.kinds import Apt
from avabuild.plugins.target import Device, Target
from avabuild.recipe.bases import DebianBase
from avabuild.resolve.lock import Package, TargetLock

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
PLAN = Plan(
    name="demo",
    tag="py311-cpu",
    base=DebianBase(debian="bookworm"),
    target=TARGET,
    apt=Step(name="apt: frameworks", layer=Apt(packages=("libgomp1",)), origins=("avabuild", "pytorch")),
    frameworks=(Chosen(name="pytorch", series="2.13", distribution="avabuild-torch", version="0.3"),),
)
TORCH = Package(name="torch", version="2.13.1+cpu")
EMPTY = TargetLock(target="py311-cpu", request="", base="")
LOCK = TargetLock(target="py311-cpu", request="sha256:1", base="sha256:base", python=(TORCH,))


def test_the_labels_say_what_the_image_is_made_of():
    made = dict(labels(PLAN, {"name": "demo"}, LOCK))
    assert made["org.opencontainers.image.title"] == "demo"
    assert made["org.opencontainers.image.version"] == "py311-cpu"
    assert made["org.opencontainers.image.base.digest"] == "sha256:base"
    assert made["org.avabuild.target"] == "py311-cpu"
    assert json.loads(made["org.avabuild.recipe"]) == {"name": "demo"}
    assert json.loads(made["org.avabuild.frameworks"]) == {"pytorch": "2.13.1+cpu"}
    assert json.loads(made["org.avabuild.plugins"]) == {"pytorch": "avabuild-torch 0.3"}
    assert TargetLock.model_validate_json(made["org.avabuild.lock"]) == LOCK
    assert json.loads(made["org.avabuild.layers"]) == [["apt: frameworks", "avabuild", "pytorch"]]


def test_labels_are_sorted_and_scratch_has_no_base():
    made = labels(PLAN, {}, EMPTY)
    assert list(made) == sorted(made)
    assert "org.opencontainers.image.base.digest" not in dict(made)


def test_the_order_of_a_recipes_keys_does_not_show():
    assert labels(PLAN, {"a": 1, "b": 2}, EMPTY) == labels(PLAN, {"b": 2, "a": 1}, EMPTY)


@pytest.mark.parametrize(
    ("framework", "series", "versions", "exact"),
    [
        ("keras", "3.12", {"keras": "3.12.1", "keras-hub": "3.12.9"}, "3.12.1"),
        ("tensorflow", "2.19", {"tensorflow-cpu": "2.19.1", "tensorboard": "2.19.0"}, "2.19.1"),
        ("pytorch", "2.13", {"torch": "2.13.0+cpu"}, "2.13.0+cpu"),
        ("mxnet", "1.6.0.post0", {"mxnet": "1.6.0.post0"}, "1.6.0.post0"),
        ("jax", "0.4", {"jaxlib": "0.40.1", "jax": "0.4.30"}, "0.4.30"),
        ("jax", "0.4", {"jax": "0.40.1"}, "0.4"),
        ("caffe", "1.0", {"numpy": "1.0.1"}, "1.0"),
        ("caffe", "1.0", {}, "1.0"),
    ],
)
def test_a_framework_has_the_version_that_its_distribution_resolved_to(framework, series, versions, exact):
    assert exact_version(framework, series, versions) == exact


def test_checks_are_recorded_and_an_image_for_cuda_names_its_driver():
    cuda = TARGET.model_copy(update={"device": Device.parse("cuda9.0-cudnn7")})
    plan = PLAN.model_copy(
        update={"target": cuda, "checks": (Check(framework="pytorch", program="import torch"),)}
    )
    made = dict(labels(plan, {}, EMPTY))
    assert json.loads(made["org.avabuild.checks"]) == {"pytorch": "import torch"}
    assert made["org.avabuild.cuda.driver"] == ">=384.81"
    assert "org.avabuild.cuda.driver" not in dict(labels(PLAN, {}, EMPTY))
    assert "org.avabuild.checks" not in dict(labels(PLAN, {}, EMPTY))


LONG = "org.avabuild.lock"


def test_a_label_that_containerd_takes_stays_one_and_a_longer_one_is_an_annotation():
    fits = "x" * (MOST - len(LONG))
    assert split_labels({LONG: fits, "a": "b"}) == ({LONG: fits, "a": "b"}, {})
    for long in (f"{fits}x", "é" * (MOST // 2)):
        short, annotations = split_labels({LONG: long, "a": "b"})
        assert (set(short), annotations) == ({"a", ANNOTATED}, {LONG: long})
        assert whole_labels(short, annotations) == {**short, LONG: long}


def test_another_text_or_none_in_the_annotations_is_no_label():
    short, annotations = split_labels({LONG: "x" * MOST})
    assert LONG not in whole_labels(short, {})
    assert LONG not in whole_labels(short, {LONG: "other"})
    assert LONG not in whole_labels({}, annotations), "nothing says that it is one"
    assert whole_labels({LONG: "old"}, {LONG: "other"}) == {LONG: "old"}
    for junk in ("[]", "1", "{", '["a"]', "null"):
        assert whole_labels({ANNOTATED: junk}, annotations) == {ANNOTATED: junk}


def test_equal_configs_are_of_equal_labels():
    one, other = (split_labels({LONG: text * MOST})[0] for text in "xy")
    assert one != other
