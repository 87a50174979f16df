"""`avabuild plugins new` and `avabuild plugins check`, as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def test_what_is_written_keeps_the_contract_as_it_is(avabuild, tmp_path):
    made = avabuild("plugin", "new", "demo", "--no-ask", "--output", tmp_path / "demo")
    assert made.returncode == 0, made.stderr
    assert "its one release, 0.1, is made up" in made.stdout
    assert "avabuild plugins check ." in made.stdout
    checked = avabuild("plugins", "check", tmp_path / "demo")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.splitlines()[0] == "framework demo (avabuild-demo 0.1.0)"
    assert checked.stdout.splitlines()[-1] == "keeps the contract"


def test_a_framework_of_a_name_that_avabuild_has_is_told_and_does_not_keep_the_contract(avabuild, tmp_path):
    made = avabuild("plugins", "new", "jax", "--no-ask", "--output", tmp_path / "jax")
    assert "has a framework jax, too" in made.stdout
    said = avabuild("plugins", "check", tmp_path / "jax")
    assert said.returncode == 3
    assert "jax: avabuild has a framework of that name: no recipe can use either" in said.stdout
    assert "  ok    targets " in said.stdout, "everything else about it is told as well"


def test_a_directory_that_is_there_is_refused(avabuild, tmp_path):
    said = avabuild("plugins", "new", "demo", "--no-ask", "--output", tmp_path)
    assert said.returncode == 3
    assert "exists already" in said.stderr
    assert "--output" in said.stderr


def test_a_broken_plugin_fails_with_what_to_change(avabuild, tmp_path):
    avabuild("plugins", "new", "demo", "--no-ask", "--output", tmp_path / "demo")
    module = tmp_path / "demo" / "src" / "avabuild_demo" / "__init__.py"
    module.write_text(
        module.read_text().replace("    return [Python", "    open('/etc/hostname')\n    return [Python")
    )
    said = avabuild("plugins", "check", tmp_path / "demo")
    assert said.returncode == 3
    assert f"          {module}:" in said.stdout
    assert "opens a file (/etc/hostname) while it is asked" in said.stdout
    assert "          -> answer from the request alone" in said.stdout
    told = json.loads(avabuild("plugins", "check", tmp_path / "demo", "--json").stdout)
    assert {"rule", "what", "fix", "place"} == set(told[0]["findings"][0])


def test_what_is_installed_is_checked_by_its_name_or_its_distributions(avabuild):
    assert avabuild("plugins", "check", "python").stdout.startswith("framework python (avabuild ")


def test_what_the_site_does_not_allow_is_neither_checked_nor_imported_beside(avabuild, tmp_path):
    """Not by the children either, which load everything else first."""
    avabuild("plugins", "new", "demo", "--no-ask", "--output", tmp_path / "demo")
    info = tmp_path / "site" / "stranger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avabuild]\nstranger = stranger_plugin\n")
    mark = tmp_path / "imported"
    (tmp_path / "site" / "stranger_plugin.py").write_text(f"open({str(mark)!r}, 'w')")
    beside = {"PYTHONPATH": str(tmp_path / "site")}
    said = avabuild("plugins", "check", "demo", AVABUILD_PLUGINS="avabuild-demo", **beside)
    assert said.returncode == 0, said.stdout + said.stderr
    assert not mark.exists()
    for name in ("demo", "stranger"):
        said = avabuild("plugins", "check", name, AVABUILD_PLUGINS="other", **beside)
        assert said.returncode == 3
        assert "which AVABUILD_PLUGINS does not allow" in said.stderr
    assert not mark.exists()
    assert avabuild("plugins", "check", "demo", **beside).returncode == 0
    assert mark.exists()


def test_nobody_of_that_name_is_told(avabuild):
    said = avabuild("plugins", "check", "kerras")
    assert said.returncode == 3
    assert "did you mean" in said.stderr


def test_the_testing_plugin_imports_nothing_heavy():
    program = "import sys, avabuild.testing; print([n for n in ('pydantic', 'httpx', 'pluggy.x', 'sh', 'rich', 'typer') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(("kind", "name"), [("policy", "house"), ("base", "house_os"), ("framework", "demo")])
def test_what_is_written_lints_types_tests_and_keeps_the_contract_as_it_is(avabuild, tmp_path, kind, name):
    flags = [] if kind == "framework" else [f"--{kind}"]
    made = avabuild("plugins", "new", name, "--no-ask", *flags, "--output", tmp_path / "made")
    assert made.returncode == 0, made.stderr
    assert f"which adds the {kind} {name}" in made.stdout
    checked = avabuild("plugins", "check", tmp_path / "made")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.startswith(f"{kind} {name} (avabuild-{name.replace('_', '-')} 0.1.0)")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "made" / "src")}
    commands = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]
    if kind != "framework":  # whose tests ask for what is installed: those of the tutorial run them
        commands.append(["pytest", "-q", "-k", "not it_keeps_the_contract"])
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path / "made",
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--policy", "--base"), "--policy and --base exclude each other"),
        (
            ("x", "--policy", "--project", "y"),
            "--project and --import are of frameworks, and not of a policy",
        ),
        (("debian", "--base"), "can't be the name of a base"),
        (("House-OS", "--base"), "can't be the name of a base"),
        (("class", "--base"), "can't be the name of a base"),
        (("House", "--policy"), "can't be the name of a policy"),
    ],
)
def test_what_can_not_be_written_is_said_before_anything_is(avabuild, tmp_path, arguments, said):
    done = avabuild("plugins", "new", *arguments, "--no-ask", "--output", tmp_path / "made")
    assert done.returncode in {2, 3}
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "made").exists()
