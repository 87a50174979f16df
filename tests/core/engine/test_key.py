"""The key of an image: all that decides it, nothing of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from avabuild.engine import directories
from avabuild.engine import key as module
from avabuild.engine.key import contents, described, image_key
from avabuild.engine.output import LOCAL, Output
from avabuild.engine.stages import workshop
from avabuild.layer import bytecode, compiled, files, overlaps, wheel
from avabuild.layer import keys as chain
from avabuild.plan.labels import KEY
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import File, Files, Mount, Run
from avabuild.plugins.target import Device, Target
from avabuild.recipe.bases import DebianBase, Offer
from avabuild.resolve.lock import Package, TargetLock
from avabuild.store import Store
from avabuild.store.oci import Settings

LOCK = TargetLock(
    target="py311-cpu", request="sha256:r", base="sha256:b", python=(Package(name="six", version="1"),)
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    place(tmp_path)
    step = Run(shell="make", mounts=(Mount(source="src", target="/src"),))
    return Plan(
        name="demo",
        tag="py311-cpu",
        base=DebianBase(debian="bookworm"),
        target=Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36"),
        files=(Step(name="files", layer=Files(files=(File(source="motd", target="/etc/motd"),)), origins=("recipe",)),),
        last=(Step(name="run: make", layer=step, origins=("recipe",)),),
    )  # fmt: skip


def place(directory: Path) -> None:
    """Write what the plan is made of."""
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "main.c").write_text("int main;")
    (directory / "motd").write_text("hello")


@pytest.fixture
def key(store: Store, tmp_path: Path) -> Callable[..., str | None]:
    def make(
        plan: Plan, lock: TargetLock = LOCK, directory: Path = tmp_path, store: Store = store, **env: str
    ) -> Any:
        return image_key(store, plan, lock, {"name": "demo"}, directory, env)

    return make


def test_another_machine_has_the_same_key(key, plan, tmp_path):
    place(tmp_path / "elsewhere")
    other = Store(tmp_path / "other")
    assert key(plan, directory=tmp_path / "elsewhere", store=other, HOME="/home/x") == key(plan)


def test_a_place_of_this_host_is_no_part_of_it(key, plan, tmp_path):
    absolute = Files(files=(File(source=str(tmp_path / "motd"), target="/etc/motd"),))
    moved = plan.model_copy(update={"files": (plan.files[0].model_copy(update={"layer": absolute}),)})
    assert key(moved) == key(plan)


def test_what_a_policy_warns_of_is_told_at_a_place_of_this_host_and_no_part_of_it(key, plan):
    warned = plan.model_copy(update={"warnings": ("/home/me/demo.toml:3: image.user: site warns: root",)})
    assert key(warned) == key(plan)


@pytest.mark.parametrize("name", ["motd", "src/main.c"])
def test_the_content_of_a_file_is(key, plan, tmp_path, name):
    before = key(plan)
    (tmp_path / name).write_text("something else")
    assert key(plan) != before


@pytest.mark.parametrize(
    "changed",
    [
        {"tag": "py311-cpu2"},
        {"bytecode": False},
        {"compression": "zstd"},
        {"settings": Settings(env=(("A", "b"),))},
        {"last": ()},
        {"base_offer": Offer(name="ubuntu", written=(), distribution="avabuild-ubuntu", version="1.0")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_plan_is(key, plan, changed):
    assert key(plan.model_copy(update=changed)) != key(plan)


@pytest.mark.parametrize("changed", [{"base": "sha256:c"}, {"python": ()}], ids=["base", "python"])
def test_what_it_resolved_to_is(key, plan, changed):
    assert key(plan, LOCK.model_copy(update=changed)) != key(plan)


def test_a_shell_text_is(key, plan):
    other = Run(shell="make all", mounts=(Mount(source="src", target="/src"),))
    step = plan.last[0].model_copy(update={"layer": other})
    assert key(plan.model_copy(update={"last": (step,)})) != key(plan)


def test_where_a_secret_decides_there_is_none(key, plan):
    secret = plan.last[0].model_copy(update={"layer": Run(shell="make", secrets=("TOKEN",))})
    assert key(plan.model_copy(update={"last": (secret,)}), TOKEN="t") is None


def test_a_file_that_is_not_there_leaves_none(key, plan, tmp_path):
    (tmp_path / "motd").unlink()
    assert key(plan) is None


@pytest.mark.parametrize("of", [wheel, bytecode, chain, files, compiled, workshop, directories, overlaps])
def test_the_format_of_every_kind_of_layer_is(of):
    """An image of an older avabuild is none of this one's."""
    assert len(module._FORMATS) == 9
    place = (module, wheel, bytecode, chain, files, compiled, workshop, directories, overlaps).index(of)
    assert module._FORMATS[place] == of.FORMAT


@dataclass(frozen=True)
class Asked:
    """As much of a job as an image's description is made of."""

    plan: Plan
    directory: Path
    content: dict[str, Any]
    output: Output = LOCAL


@pytest.fixture
def job(plan: Plan, tmp_path: Path) -> Any:
    return Asked(plan, tmp_path, {"name": "demo"})


def test_an_image_has_the_key_that_a_look_into_the_registry_asks_for(key, plan, job, store, tmp_path):
    began = contents(store, plan, tmp_path, {})
    assert described(store, job, LOCK, {}, began)[1][KEY] == key(plan)


def test_an_image_whose_files_were_changed_while_it_was_built_is_nobodys(plan, job, store, tmp_path):
    began = contents(store, plan, tmp_path, {})
    (tmp_path / "src" / "main.c").write_text("int other;")
    assert KEY not in described(store, job, LOCK, {}, began)[1]


def test_what_a_user_with_one_id_made_is_not_taken_for_the_real_one(key, plan, job, store, tmp_path):
    began = contents(store, plan, tmp_path, {})
    annotations = described(store, job, LOCK, {}, began, flattened=True)[1]
    assert annotations[KEY] == chain.flat(str(key(plan)))
