from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import PluginError, RecipeError
from avabuild.plan.compose import Pick, compose
from avabuild.plan.plan import Plan
from avabuild.plugins.framework import ForDevice, Framework, Options, Release, Request
from avabuild.plugins.kinds import (
    Apt,
    Compile,
    Defaults,
    Env,
    File,
    Files,
    Libraries,
    Python,
    Repository,
    Run,
)
from avabuild.plugins.target import Device, Target
from avabuild.recipe import Recipe, load

TARGET = Target(distribution="bookworm", arch="x86_64", python="3.11", device=Device(), glibc="2.36")
RELEASE = Release(version="1.0", pythons=("3.11",))


def pick(name: str, *layers, required_by: tuple[str, ...] = (), release: Release = RELEASE) -> Pick:
    framework = Framework(
        name=name, summary="", releases=(release,), layers=lambda _: layers, check=lambda _: "pass"
    )
    return Pick(
        framework=framework,
        request=Request(TARGET, Options(), release),
        layers=tuple(layers),
        program=f"import {name}",
        distribution=f"avabuild-{name}",
        version="0.1",
        required_by=required_by,
    )


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Recipe]:
    def write(text: str = "") -> Recipe:
        path = tmp_path / "demo.toml"
        path.write_text(f'name = "demo"\n{text}')
        return load(path)

    return write


def composed(recipe: Recipe, *picks: Pick, target: Target = TARGET, install_python: bool = False) -> Plan:
    return compose(recipe, target, picks, install_python=install_python)


def test_what_frameworks_ask_for_becomes_one_step_of_each_kind(recipe):
    plan = composed(
        recipe(),
        pick("torch", Apt(packages=("libgomp1",)), Python(requirements=("torch",))),
        pick("lab", Apt(packages=("git", "libgomp1")), Python(requirements=("jupyterlab", "torch"))),
    )
    assert plan.apt.layer == Apt(packages=("git", "libgomp1"))
    assert plan.apt.origins == ("torch", "lab")
    assert plan.python.layer == Python(requirements=("jupyterlab", "pip", "torch"))
    assert plan.python.origins == ("avabuild", "torch", "lab")
    assert plan.python_extra is None
    assert plan.apt_extra is None


def test_the_recipes_own_packages_are_steps_of_their_own_above_the_frameworks(recipe):
    plan = composed(
        recipe('[packages]\napt = ["vim", "git"]\npip = ["rich", "a", "rich"]\nconstraints = ["rich<99"]\n'),
        pick("torch", Apt(packages=("git",)), Python(requirements=("torch",))),
    )
    assert [(step.name, step.origins) for step in plan.steps] == [
        ("apt: frameworks", ("torch",)),
        ("python: frameworks", ("avabuild", "torch")),
        ("python: packages", ("recipe",)),
        ("apt: packages", ("recipe",)),
    ]
    assert plan.apt_extra.layer == Apt(packages=("git", "vim"))
    assert plan.python_extra.layer == Python(requirements=("rich", "a"))  # in the recipe's order
    assert plan.constraints == ("rich<99",)


def test_python_is_installed_where_the_base_has_none(recipe):
    plan = composed(recipe(), install_python=True)
    assert (plan.apt.layer.packages, plan.apt.origins) == (("python3",), ("avabuild",))


CLASSIC = TARGET.model_copy(update={"distribution": "bullseye", "python": "2.7", "glibc": "2.31"})


def test_python_2_brings_its_last_installers_and_stands_where_its_pip_puts_things(recipe):
    plan = composed(recipe(), target=CLASSIC, install_python=True)
    assert plan.apt.layer.packages == ("ca-certificates", "python2.7")
    assert plan.python.layer.requirements == ("pip<21", "setuptools<45", "wheel<0.38")
    assert plan.settings.path == ("/usr/local/bin",)
    assert plan.settings.env == ()
    assert plan.bytecode


def test_python_3_5_has_a_virtual_environment_but_no_bytecode_beforehand(recipe):
    plan = composed(recipe(), target=TARGET.model_copy(update={"python": "3.5"}))
    assert plan.settings.path == ("/opt/venv/bin",)
    assert not plan.bytecode


def test_pins_alone_and_constraints_of_frameworks_are_merged_with_the_recipes(recipe):
    sdk = Python(requirements=("requests",), alone=("sdk==2", "old==1"), constraints=("numpy<2", "six<2"))
    plan = composed(
        recipe('[packages]\nconstraints = ["rich<99", "six<2"]\n'), pick("sdk", sdk), pick("more", sdk)
    )
    assert plan.python.layer == Python(requirements=("pip", "requests"), alone=("old==1", "sdk==2"))
    assert plan.constraints == ("rich<99", "six<2", "numpy<2")


def test_an_image_without_python_has_neither_pip_nor_a_virtual_environment(recipe):
    plan = composed(recipe(), target=TARGET.model_copy(update={"python": None}))
    assert plan.steps == ()
    assert plan.settings.path == ()
    assert plan.settings.env == ()


def test_run_steps_are_numbered_within_their_stage_and_shown_by_name_or_text(recipe):
    own = """
[[run]]
shell = "make   all\\nmake install"
[[run]]
shell = "useradd me"
stage = "system"
name = "a user"
env = { B = "2", A = "1" }
[[run]]
shell = "echo %s"
""" % ("x" * 60)
    plan = composed(recipe(own), pick("torch", Run(shell="ldconfig", stage="system")))
    assert [step.name for step in plan.steps] == [
        "run 1 (system): ldconfig",
        "run 2 (system): a user",
        "python: frameworks",
        "run 1 (last): make all make install",
        f"run 2 (last): echo {'x' * 44}…",
    ]
    assert [step.origins for step in plan.system] == [("torch",), ("recipe",)]
    assert plan.system[1].layer.shell == "useradd me"
    assert dict(plan.system[1].layer.env) == {"A": "1", "B": "2"}


def test_a_step_with_a_privilege_says_so_in_its_name(recipe):
    (step,) = composed(recipe('[[run]]\nshell = "make"\nprivileges = ["userns"]\n')).last
    assert step.name == "run 1 (last, userns): make"
    assert step.layer.privileges == ("userns",)


def test_secrets_and_mounts_of_a_run_step_reach_the_plan_by_name_and_path(recipe, tmp_path):
    (tmp_path / "data").mkdir()
    text = '[[run]]\nshell = "make"\nsecrets = ["TOKEN"]\nmounts = ["./data:/data"]\n'
    (step,) = composed(recipe(text)).last
    assert step.layer.secrets == ("TOKEN",)
    assert (step.layer.mounts[0].source, step.layer.mounts[0].target) == ("./data", "/data")


def test_files_of_a_framework_are_one_step_however_it_lists_them(recipe, tmp_path):
    (tmp_path / "notebooks").mkdir()
    first, second = File(target="/etc/a", content="a"), File(target="/etc/b", content="b")
    plan = composed(
        recipe('[[files]]\nsource = "notebooks"\ntarget = "/workspace"\n'),
        pick("torch", Files(files=(first,)), Apt(packages=("git",)), Files(files=(second,))),
    )
    assert [step.name for step in plan.files] == ["files: torch", "files: recipe"]
    assert plan.files[0].layer.files == (first, second)
    assert plan.files[1].layer.files == (File(target="/workspace", source="notebooks"),)


def test_what_a_release_needs_is_applied_and_says_who_asked(recipe):
    box = Release(
        version="1.0", pythons=("3.11",), apt=("libgomp1",),
        constraints=("numpy<1.24", 'grpcio==1; python_version < "3"'),
    )  # fmt: skip
    lab = Release(version="2.0", pythons=("3.11",), constraints=("numpy<1.24", "rich<99"))
    plan = composed(
        recipe('[packages]\nconstraints = ["rich<99"]\n'),
        pick("box", Apt(packages=("git",)), release=box),
        pick("lab", Python(requirements=("lab",), constraints=("six<2",)), release=lab),
    )
    assert plan.apt.layer == Apt(packages=("git", "libgomp1"))
    assert plan.apt.origins == ("box",)
    asked = dict(zip(plan.constraints, plan.constraint_origins, strict=True))
    assert asked == {"rich<99": ("recipe", "lab"), "numpy<1.24": ("box", "lab"), "six<2": ("lab",)}


def test_packages_that_are_installed_alone_are_kept_apart_from_the_requirements(recipe):
    plan = composed(
        recipe(),
        pick("sdk", Python(requirements=("requests",), alone=("ava-sdk==0.1.3",))),
        pick("torch", Python(requirements=("torch",))),
    )
    assert plan.python.layer == Python(requirements=("pip", "requests", "torch"), alone=("ava-sdk==0.1.3",))


def test_directories_that_several_frameworks_have_searched_are_all_searched(recipe):
    plan = composed(
        recipe(),
        pick("box", Env(variables=(("LD_LIBRARY_PATH", "/box/lib"), ("MODE", "box")))),
        pick("torch", Env(variables=(("LD_LIBRARY_PATH", "/torch/lib"), ("MODE", "torch")))),
    )
    assert dict(plan.settings.env)["LD_LIBRARY_PATH"] == "/box/lib:/torch/lib"
    assert dict(plan.settings.env)["MODE"] == "torch"


def test_the_recipes_variables_win_over_a_frameworks(recipe):
    plan = composed(
        recipe('[image.env]\nBACKEND = "jax"\n'),
        pick("torch", Env(variables=(("BACKEND", "torch"), ("KEPT", "1")))),
    )
    assert dict(plan.settings.env) == {"BACKEND": "jax", "KEPT": "1", "VIRTUAL_ENV": "/opt/venv"}
    assert plan.settings.path == ("/opt/venv/bin",)


def test_what_a_container_starts_with_comes_from_the_recipe(recipe):
    text = (
        '[image]\nentrypoint = ["/e"]\ncmd = ["c"]\nworkdir = "/w"\nuser = "1000"\nports = [8888]\n'
        'volumes = ["/v"]\nlabels = { a = "1" }\nannotations = { b = "2" }\n'
    )
    settings = composed(recipe(text)).settings
    assert (settings.entrypoint, settings.cmd) == (("/e",), ("c",))
    assert (settings.workdir, settings.user, settings.ports) == ("/w", "1000", ("8888/tcp",))
    assert (settings.volumes, settings.labels, settings.annotations) == (
        ("/v",), (("a", "1"),), (("b", "2"),),
    )  # fmt: skip


def test_a_plan_knows_its_frameworks_their_plugins_and_checks(recipe):
    plan = composed(recipe(), pick("tensorflow", required_by=("keras",)), pick("keras"))
    assert [(c.name, c.series, c.distribution, c.required_by) for c in plan.frameworks] == [
        ("tensorflow", "1.0", "avabuild-tensorflow", ("keras",)),
        ("keras", "1.0", "avabuild-keras", ()),
    ]
    assert [check.program for check in plan.checks] == ["import tensorflow", "import keras"]
    assert plan.reference == "localhost/demo:py311-cpu"


def test_how_layers_are_made_comes_from_the_recipe(recipe):
    plan = composed(recipe('[build]\nbytecode = false\ncompression = "zstd"\n'))
    assert (plan.bytecode, plan.compression) == (False, "zstd")


FULL = """
tag = "{python}-{device}"
base = { image = "example.invalid/base:1" }
[packages]
apt = ["git"]
pip = ["rich"]
[[run]]
shell = "true"
[image]
env = { A = "1" }
entrypoint = ["/e"]
ports = [80]
"""


@pytest.mark.parametrize("text", ["", FULL, 'base = "scratch"', 'base = { archive = "demo.toml" }'])
def test_a_plan_survives_json(recipe, text):
    plan = composed(
        recipe(text), pick("torch", Python(requirements=("torch",)), Env(variables=(("B", "2"),)))
    )
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_a_frameworks_layers_does_not_show_in_packages_and_requirements(recipe, seed):
    layers = [Apt(packages=("b", "a")), Python(requirements=("y", "x")), Apt(packages=("c",))]
    shuffled = list(layers)
    random.Random(seed).shuffle(shuffled)
    assert composed(recipe(), pick("torch", *shuffled)) == composed(recipe(), pick("torch", *layers))


MINE = Repository(name="mine", uri="file:/srv", suite="stable", key="mine.asc")


def test_repositories_of_frameworks_and_of_the_recipe_go_to_their_own_steps(recipe, tmp_path):
    (tmp_path / "own.asc").write_text("key")
    text = '[packages]\napt = ["vim"]\n[[packages.repositories]]\nname = "own"\nsuite = "/"\n'
    text += 'components = []\nuri = "https://example.invalid"\nkey = "own.asc"\n'
    plan = composed(recipe(text), pick("cuda", Apt(packages=("libcudart",), repositories=(MINE,))))
    assert plan.apt.layer.repositories == (MINE,)
    assert [one.name for one in plan.apt_extra.layer.repositories] == ["own"]
    assert "example.invalid" not in str(recipe(text).content()), "an address is no part of an image"


def test_two_frameworks_with_different_repositories_of_one_name_are_refused(recipe):
    other = MINE.model_copy(update={"suite": "unstable"})
    picks = [
        pick(name, Apt(packages=("x",), repositories=(one,))) for name, one in (("a", MINE), ("b", other))
    ]
    with pytest.raises(PluginError, match="a and b each have another APT repository named mine"):
        composed(recipe(), *picks)
    same = [pick(name, Apt(packages=("x",), repositories=(MINE,))) for name in "ab"]
    assert composed(recipe(), *same).apt.layer.repositories == (MINE,)


def test_libraries_and_library_paths_are_collected(recipe):
    wanted = Libraries(sonames=("libcudart.so.9.0",), where="base")
    picks = [pick("cuda", wanted, Env(library_path=("/a", "/b"))), pick("x", Env(library_path=("/b",)))]
    plan = composed(recipe('[build]\nlinkage = "warn"\n'), *picks)
    assert plan.libraries == (("cuda", wanted),)
    assert plan.settings.library_path == ("/a", "/b")
    assert plan.linkage == "warn"


def test_what_is_compiled_is_a_step_of_its_own_above_the_wheels_and_compiled_once(recipe):
    made = Compile(name="lib", shell="make")
    plan = composed(
        recipe('[packages]\napt = ["git"]\npip = ["rich"]\n'),
        pick("b", made, Python(requirements=("b",))),
        pick("a", Compile(name="lib", shell="make")),
        pick("c", Compile(name="early", shell="make")),
    )
    assert [(step.name, step.origins) for step in plan.steps] == [
        ("python: frameworks", ("avabuild", "b")),
        ("python: packages", ("recipe",)),
        ("compile: early", ("c",)),
        ("compile: lib", ("b", "a")),
        ("apt: packages", ("recipe",)),
    ]


def test_two_compiles_of_one_name_that_differ_are_told_apart_by_who_asked(recipe):
    plan = composed(
        recipe(),
        pick("b", Compile(name="lib", shell="make b")),
        pick("a", Compile(name="lib", shell="make a")),
    )
    assert [step.name for step in plan.compiled] == ["compile: lib for a", "compile: lib for b"]


def test_frameworks_bring_a_command_ports_and_a_directory_that_the_recipe_overrides(recipe):
    lab = pick("lab", Defaults(cmd=("lab",), ports=("8888",), workdir="/work"))
    board = pick("board", Defaults(ports=("6006", "8888")))
    settings = composed(recipe(), lab, board).settings
    assert (settings.cmd, settings.ports, settings.workdir) == (("lab",), ("8888", "6006"), "/work")
    own = composed(recipe('[image]\ncmd = ["x"]\nports = [1]\nworkdir = "/"\n'), lab, board).settings
    assert (own.cmd, own.ports, own.workdir) == (("x",), ("1/tcp",), "/")
    entry = composed(recipe('[image]\nentrypoint = ["run"]\n'), lab).settings
    assert entry.cmd is None, "a command of a framework is no argument of the recipe's own program"


def test_two_frameworks_with_different_commands_are_an_error_until_the_recipe_chooses(recipe):
    picks = [pick("lab", Defaults(cmd=("lab",))), pick("board", Defaults(cmd=("board",)))]
    with pytest.raises(RecipeError, match=r"image\.cmd: board and lab each bring another; choose one"):
        composed(recipe(), *picks)
    assert composed(recipe('[image]\ncmd = ["lab"]\n'), *picks).settings.cmd == ("lab",)
    same = [pick("lab", Defaults(cmd=("lab",))), pick("board", Defaults(cmd=("lab",)))]
    assert composed(recipe(), *same).settings.cmd == ("lab",)


@pytest.mark.parametrize("port", ["0", "x", "8888/sctpp", "123456"])
def test_a_port_that_is_not_valid_is_refused(port):
    with pytest.raises(ValueError, match="ports"):
        Defaults(ports=(port,))


def test_a_row_says_what_it_needs_on_some_of_its_devices_only(recipe):
    release = Release(
        version="1",
        pythons=("3.11",),
        devices=("cpu", "cuda12"),
        apt=("libgomp1",),
        by_device=(ForDevice(device="cuda12", constraints=("nvidia-nccl-cu12<3",), apt=("libnuma1",)),),
    )
    cpu = composed(recipe(), pick("x", release=release))
    assert (cpu.apt.layer.packages, cpu.constraints) == (("libgomp1",), ())
    target = TARGET.model_copy(update={"device": Device.parse("cuda12.5-cudnn9.3")})
    cuda = composed(recipe(), pick("x", release=release), target=target)
    assert (cuda.apt.layer.packages, cuda.constraints) == (("libgomp1", "libnuma1"), ("nvidia-nccl-cu12<3",))
    assert release.runs_on(Device.parse("cuda12.9"))
    assert not release.runs_on(Device.parse("cuda11.8"))
    assert not release.runs_on(Device.parse("cuda13.0"))


def test_every_image_for_cuda_asks_for_gpus_and_driver_and_a_recipe_may_say_otherwise(recipe):
    cuda = TARGET.model_copy(update={"device": Device(cuda="12.4")})
    asked = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    assert asked.items() <= dict(composed(recipe(), target=cuda).settings.env).items()
    assert not asked.keys() & dict(composed(recipe()).settings.env).keys()
    own = recipe('[image]\nenv = { NVIDIA_VISIBLE_DEVICES = "none" }')
    assert dict(composed(own, target=cuda).settings.env)["NVIDIA_VISIBLE_DEVICES"] == "none"
    plugin = pick("gl", Env(variables=(("NVIDIA_DRIVER_CAPABILITIES", "graphics"),)))
    assert (
        dict(composed(recipe(), plugin, target=cuda).settings.env)["NVIDIA_DRIVER_CAPABILITIES"] == "graphics"
    )


def test_a_health_check_is_a_command_or_a_table(recipe):
    plain = composed(recipe('[image]\nhealthcheck = "curl -f localhost"')).settings.healthcheck
    assert plain.command == ("/bin/sh", "-c", "curl -f localhost")
    assert composed(recipe('[image]\nhealthcheck = ["/healthy"]')).settings.healthcheck.command == (
        "/healthy",
    )
    table = '[image.healthcheck]\ncommand = ["/healthy"]\ninterval = "1m"\ntimeout = 2\nretries = 3'
    found = composed(recipe(table)).settings.healthcheck
    assert (found.interval, found.timeout, found.start_period, found.retries) == (60, 2, None, 3)
    for wrong in (
        "{}",
        "{ command = [] }",
        '{ command = "x", interval = "soon" }',
        '{ command = "x", retries = 0 }',
    ):
        with pytest.raises(RecipeError):
            recipe(f"[image]\nhealthcheck = {wrong}")


@pytest.mark.parametrize("table", ["labels", "annotations"])
def test_labels_and_annotations_are_one_line(recipe, table):
    for pair in ('a = "x\\ny"', 'a = "x\\ry"', '"a\\nb" = "x"'):
        with pytest.raises(RecipeError, match="has several lines"):
            recipe(f"[image.{table}]\n{pair}")
