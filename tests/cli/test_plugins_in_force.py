"""Local plugins, policies and sites' lists, as a user meets them on the command line."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

PLUGIN = """\
from typing import Literal

from avabuild.api import (
    BaseOptions, File, Files, Framework, Index, Label, OfferedBase, Policy, Python, Refuse, Release, hookimpl
)

AVABUILD_CONTRACT = 1


class House(BaseOptions):
    house: Literal["plain"]


def amend(draft):
    yield Label(name="example.team", value="TEAM")
    yield Files(files=(File(target="/etc/motd", content="welcome\\n"),))
    yield Index(url="INDEX")
    if draft.user is None and draft.name == "rootly":
        yield Refuse(reason="say which user", where="image")


@hookimpl
def avabuild_frameworks():
    release = Release(version="1", pythons=("3.11",))
    wheels = lambda request: [Python(requirements=("demo",))]
    yield Framework(name="mine", summary="mine", releases=(release,), layers=wheels, check=lambda _: "import demo")


@hookimpl
def avabuild_policies():
    yield Policy(name="house", summary="what the house asks for", amend=amend)


@hookimpl
def avabuild_bases():
    yield OfferedBase(name="house", summary="a base", options=House, resolve=lambda _: {"debian": "bookworm"})
"""
EMPTY = 'name = "mine"\nbase = "scratch"\n'
DEMO = 'name = "mine"\nbase = { house = "plain" }\n[matrix]\npython = ["3.11"]\n[frameworks]\nmine = "*"\n'


@pytest.fixture
def house(tmp_path: Path, index: Path) -> Path:
    """A project with a plugin of its own, that has its packages from an index of its own."""
    (tmp_path / "avabuild.toml").write_text('plugins = ["./plugin.py"]\n')
    text = PLUGIN.replace("INDEX", index.as_uri()).replace("TEAM", "ml")
    (tmp_path / "plugin.py").write_text(text)
    (tmp_path / "empty.toml").write_text(EMPTY)
    (tmp_path / "demo.toml").write_text(DEMO)
    return tmp_path


def wheel(directory: Path, name: str) -> str:
    """Write a wheel of `name` 1.0 and return its file name."""
    info, filename = f"{name}-1.0.dist-info", f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory / filename, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return filename


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A package index in a directory, that has demo and pip."""
    place = tmp_path / "index" / "simple"
    for name in ("demo", "pip"):
        (place / name).mkdir(parents=True)
        filename = wheel(place / name, name)
        (place / name / "index.html").write_text(f'<a href="{filename}">{filename}</a>')
    return place


def config_of(layout: Path) -> dict:
    def blob(digest: str) -> dict:
        return json.loads((layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes())

    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return blob(blob(entry["digest"])["config"]["digest"])


def test_a_plan_names_the_plugin_of_everything_that_it_changes(avabuild, house):
    said = avabuild("plan", "demo.toml")
    assert said.returncode == 0, said.stderr
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    digest = "sha256:"
    assert any(line.startswith(f"base house plain (./plugin.py {digest}") for line in lines)
    assert any(line.startswith(f"plugins ./plugin.py ({digest}") for line in lines)
    (policies,) = [line for line in lines if line.startswith("policies ")]
    assert policies.startswith("policies house (./plugin.py sha256:")
    assert policies.endswith("): file /etc/motd, index, label example.team")
    assert any("policy house" in line and line.startswith("files: policy house") for line in lines)


def test_a_policys_index_is_asked_in_place_of_the_hosts(avabuild, house):
    said = avabuild("plan", "demo.toml").stdout
    assert "demo 1.0" in said
    assert "pip 1.0" in said
    (house / "avabuild.toml").unlink()
    (house / "demo.toml").write_text(
        DEMO.replace("house", "debian").replace("plain", "bookworm").replace("mine =", "jax =")
    )
    assert avabuild("plan", "demo.toml").returncode == 75


def test_the_image_its_lock_and_the_next_run_know_the_policy(avabuild, house):
    arguments = ("recipe", "empty.toml", "--output", "oci:out")
    first = avabuild(*arguments)
    assert first.returncode == 0, first.stderr
    inside = config_of(house / "out")["config"]["Labels"]
    assert inside["example.team"] == "ml"
    assert json.loads(inside["org.avabuild.policies"])["house"].startswith("./plugin.py sha256:")
    assert (
        '{ policy = "house", name = "./plugin.py", version = "sha256:' in (house / "empty.lock").read_text()
    )
    assert "http" not in (house / "empty.lock").read_text()
    assert "up to date" in avabuild(*arguments).stderr
    plugin = house / "plugin.py"
    plugin.write_text(plugin.read_text().replace('"ml"', '"other"'))
    locked = avabuild(*arguments, "--locked")
    assert locked.returncode == 8
    assert "policy house: the lock was made with ./plugin.py sha256:" in locked.stderr
    assert avabuild(*arguments).returncode == 0
    assert config_of(house / "out")["config"]["Labels"]["example.team"] == "other"


def test_a_file_for_the_project_that_comes_later_is_noticed(avabuild, house):
    (house / "avabuild.toml").rename(house / "later.toml")
    arguments = ("recipe", "empty.toml", "--output", "oci:out")
    assert avabuild(*arguments).returncode == 0
    assert "up to date" in avabuild(*arguments).stderr
    (house / "later.toml").rename(house / "avabuild.toml")
    assert "up to date" not in avabuild(*arguments).stderr
    assert config_of(house / "out")["config"]["Labels"]["example.team"] == "ml"


def test_a_refusal_is_an_error_of_the_recipe_by_line_with_the_policys_name(avabuild, house):
    (house / "empty.toml").write_text('name = "rootly"\nbase = "scratch"\n\n[image]\nworkdir = "/"\n')
    said = avabuild("recipe", "empty.toml", "--output", "oci:out")
    assert said.returncode == 2
    assert said.stderr.startswith("avabuild: empty.toml:4: image: policy house (./plugin.py sha256:")
    assert said.stderr.endswith(") refuses it: say which user\n")
    assert not (house / "out").exists()


def test_a_sites_list_is_asked_before_a_stamp(avabuild, house):
    arguments = ("recipe", "empty.toml", "--output", "oci:out")
    assert avabuild(*arguments).returncode == 0
    said = avabuild(*arguments, AVABUILD_PLUGINS="avabuild-jax*")
    assert said.returncode == 3
    assert "avabuild.toml:1: AVABUILD_PLUGINS allows no local plugin ./plugin.py" in said.stderr
    assert avabuild(*arguments, AVABUILD_PLUGINS="*.py").returncode == 0


def installed_policy(site: Path) -> None:
    info = site / "example_rules-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avabuild.policies]\nrules = example_rules\n")
    (site / "example_rules.py").write_text(
        "from avabuild.api import Label, Policy, hookimpl\n\n\n@hookimpl\ndef avabuild_policies():\n"
        "    label = Label(name='rules', value='yes')\n"
        "    yield Policy(name='rules', summary='the rules', amend=lambda draft: [label])\n"
    )


def test_an_installed_policy_holds_when_the_site_names_it_and_else_plans_say_that_it_does_not(
    avabuild, tmp_path
):
    installed_policy(tmp_path / "site")
    (tmp_path / "empty.toml").write_text(EMPTY)
    site = {"PYTHONPATH": str(tmp_path / "site")}
    idle = avabuild("plan", "empty.toml", **site).stdout
    assert "policies    not in force, because nothing names them: rules (example-rules 1.0)" in idle
    named = avabuild("plan", "empty.toml", **site, AVABUILD_PLUGINS="example-rules").stdout
    assert "policies    rules (example-rules 1.0): label rules" in named
    listed = [line.split() for line in avabuild("plugins", **site).stdout.splitlines()]
    assert ["rules", "example-rules", "1.0", "not", "named,", "not", "in", "force", "the", "rules"] in listed
    (mine,) = [
        one
        for one in json.loads(avabuild("plugins", "--json", **site, AVABUILD_PLUGINS="example-rules").stdout)
        if one["kind"] == "policy"
    ]
    assert (mine["in_force"], mine["summary"], mine["problem"]) == (True, "the rules", None)


def test_a_local_plugin_is_shown_with_all_that_it_declares(avabuild, house):
    said = avabuild("plugins", "show", "./plugin.py")
    assert said.returncode == 0
    heads = [line.partition("  (")[0] for line in said.stdout.splitlines() if "(./plugin.py sha256:" in line]
    assert heads == ["base house: a base", "policy house: what the house asks for", "mine: mine"]
    assert '  plugins = ["./plugin.py"]' in said.stdout.splitlines()
    assert json.loads(avabuild("plugins", "show", "./plugin.py", "--json").stdout)[2]["framework"] == "mine"


@pytest.mark.parametrize("name", ["./absent.py", "theano"])
def test_what_is_not_there_is_not_shown(avabuild, name):
    assert avabuild("plugins", "show", name).returncode == 3


def test_the_schema_knows_the_bases_that_installed_plugins_offer(avabuild, house, tmp_path):
    info = tmp_path / "site" / "house-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avabuild.bases]\nhouse = house_plugin\n")
    (info.parent / "house_plugin.py").write_text((house / "plugin.py").read_text())
    properties = json.loads(avabuild("schema", PYTHONPATH=str(info.parent)).stdout)["properties"]
    assert properties["plugins"]["type"] == "array"
    *single, several = properties["base"]["anyOf"]
    assert [table["required"] for table in single if "required" in table] == [["house"]]
    offered = several["items"]["anyOf"][-1]
    assert set(offered["properties"]) == {"python", "device", "house"}
    assert offered["properties"]["house"]["const"] == "plain"


def test_what_a_policy_warns_of_is_said_in_plan_and_build(avabuild, house):
    text = (house / "plugin.py").read_text().replace("Refuse, Release", "Refuse, Release, Warn")
    text = text.replace(
        "    yield Label(",
        '    yield Warn(reason="say who owns it", where="image.labels")\n    yield Label(',
        1,
    )
    (house / "plugin.py").write_text(text)
    for command in (("plan", "empty.toml"), ("recipe", "empty.toml", "--output", "oci:out")):
        said = avabuild(*command)
        assert said.returncode == 0, said.stderr
        (line,) = [one for one in said.stderr.splitlines() if "warns: " in one]
        assert "policy house (./plugin.py sha256:" in line
        assert line.endswith(") warns: say who owns it")


# -- what a site says must hold ----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["variable", "file"])
@pytest.mark.parametrize(
    "command",
    [("plan", "empty.toml"), ("recipe", "empty.toml", "--output", "oci:out"), ("plugins",), ("schema",)],
)
def test_a_misspelt_distribution_in_a_sites_list_turns_no_policy_off_silently(
    avabuild, tmp_path, where, command
):
    installed_policy(tmp_path / "site")
    (tmp_path / "empty.toml").write_text(EMPTY)
    variables = {"PYTHONPATH": str(tmp_path / "site")}
    origin = "AVABUILD_PLUGINS"
    if where == "variable":
        variables[origin] = "example-rulse"
    else:
        config = tmp_path / "config" / "avabuild" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text('\nplugins = ["example-rulse", "example-*", "/srv/plugins/*.py"]\n')
        variables["XDG_CONFIG_HOME"], origin = str(tmp_path / "config"), f"{config}:2"
    said = avabuild(*command, **variables)
    assert said.returncode == 78, said.stderr
    assert (
        f'{origin}: "example-rulse" is not installed, or has no plugins; did you mean "example-rules"?'
        in said.stderr
    )
    assert not (tmp_path / "out").exists()


REFUSING = """\
from avabuild.api import Label, Policy, Refuse, hookimpl


def amend(draft):
    if not draft.base.get("image", "registry.example/").startswith("registry.example/"):
        yield Refuse(reason="images come from registry.example", where="base")
    yield Label(name="python", value=str(draft.target.python))


def careful(draft):
    try:
        return [Refuse(reason="no bookworm here", where="base")] if draft.target.distribution == "bookworm" else []
    except Exception:
        return [Refuse(reason="that is not known yet", where="base")]


@hookimpl
def avabuild_policies():
    yield Policy(name="careful", summary="reads what only the base tells", amend=careful)
    yield Policy(name="images", summary="where images come from", amend=amend)
"""


def test_a_forbidden_base_is_refused_before_it_is_fetched(avabuild, tmp_path):
    (tmp_path / "avabuild.toml").write_text('plugins = ["./rules.py"]\n')
    (tmp_path / "rules.py").write_text(REFUSING)
    recipe = 'name = "far"\nbase = { image = "127.0.0.1:9/nobody/here:1" }\n[matrix]\npython = ["3.11"]\n'
    (tmp_path / "far.toml").write_text(recipe)
    for command in (
        ("plan", "far.toml"),
        ("recipe", "far.toml", "--output", "oci:out"),
        ("lock", "far.toml"),
    ):
        said = avabuild(*command)
        assert said.returncode == 2, said.stderr
        assert "far.toml:2: base: policy images (./rules.py sha256:" in said.stderr
        assert "refuses it: images come from registry.example" in said.stderr
        assert "not known yet" not in said.stderr


def test_inspect_names_policies_and_the_base_as_the_recipe_had_it(avabuild, house, tmp_path):
    text = (house / "plugin.py").read_text().replace('{"debian": "bookworm"}', '{"archive": "tiny.tar"}')
    (house / "plugin.py").write_text(text)
    with tarfile.open(tmp_path / "tiny.tar", "w") as archive:
        entry = tarfile.TarInfo("etc")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    (house / "empty.toml").write_text('name = "mine"\nbase = { house = "plain" }\n')
    built = avabuild("recipe", "empty.toml", "--output", "oci:out")
    assert built.returncode == 0, built.stderr
    lines = [" ".join(line.split()) for line in avabuild("inspect", "oci:out").stdout.splitlines()]
    assert any(line.startswith("policies house (./plugin.py sha256:") for line in lines)
    assert any(
        line.startswith("base house plain (./plugin.py sha256:") and "archive tiny.tar" in line
        for line in lines
    )
    told = json.loads(avabuild("inspect", "oci:out", "--json").stdout)
    assert list(told["policies"]) == ["house"]
    assert list(told["offered_base"]) == ["house plain"]


# -- how long a plugin may take ----------------------------------------------------------------------------

HANGS = """\
from avabuild.api import BaseOptions, Framework, OfferedBase, Policy, Python, Release, hookimpl

AVABUILD_CONTRACT = 1


def forever(_):
    while True:
        pass


@hookimpl
def avabuild_frameworks():
    release = Release(version="1", pythons=("3.11",))
    wheels = lambda request: [Python(requirements=("demo",))]
    yield Framework(name="mine", summary="mine", releases=(release,), layers=wheels, check=lambda _: "import demo")


@hookimpl
def avabuild_policies():
    yield Policy(name="house", summary="what the house asks for", amend=lambda draft: ())
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("AVABUILD_CONTRACT = 1", "while True: pass", "./plugin.py: can't be imported: it takes longer than 1 s"),
        ("    release =", "    forever(0)\n    release =", "failed to declare its frameworks: it takes longer than 1 s"),
        ("layers=wheels", "layers=forever", "mine (plugin_"),
        ("check=lambda _: \"import demo\"", "check=forever", "mine (plugin_"),
        ("check=", "requires=forever, check=", "mine (plugin_"),
        ("amend=lambda draft: ()", "amend=forever", "house (plugin_"),
    ],
)  # fmt: skip
def test_a_plugin_that_hangs_ends_the_command_with_its_name(avabuild, house, old, new, said):
    assert old in HANGS
    (house / "plugin.py").write_text(HANGS.replace(old, new))
    (house / "demo.toml").write_text(DEMO.replace('{ house = "plain" }', '{ debian = "bookworm" }'))
    done = avabuild("plan", "demo.toml", AVABUILD_PLUGIN_TIMEOUT="1")
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert "it takes longer than 1 s\n  AVABUILD_PLUGIN_TIMEOUT" in done.stderr
    checked = avabuild("plugins", "check", "./plugin.py", AVABUILD_PLUGIN_TIMEOUT="1")
    assert checked.returncode == 3
    assert "it takes longer than 1 s" in checked.stdout + checked.stderr


def test_a_limit_that_is_no_number_of_seconds_is_a_wrong_setting(avabuild, house):
    for text in ("soon", "0", "-1", "inf", "nan"):
        said = avabuild("plan", "demo.toml", AVABUILD_PLUGIN_TIMEOUT=text)
        assert said.returncode == 78, text
        assert f"AVABUILD_PLUGIN_TIMEOUT: must be a number of seconds above 0, not '{text}'" in said.stderr
