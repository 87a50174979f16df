from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.common.errors import SettingsError
from avabuild.host.settings import VARIABLES, Settings
from avabuild.run.config import KEYS, load_settings, read

WHOLE = """\
# what this user wants
mode = "single"
root = "~/scratch"
storage-driver = "fuse"
runner = "buildah"
cache = "/scratch/cache"
shared-cache = "/lab/cache"
shared-trust = "eve, @lab"
debian-mirror = "http://127.0.0.1/debian"
plugins = ["avabuild-jax", "example-*"]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which a test writes."""
    monkeypatch.setenv("HOME", "/home/ada")
    path = tmp_path / "avabuild" / "config.toml"
    path.parent.mkdir()
    return path


def beside(config: Path) -> dict[str, str]:
    """The environment that leads to the file."""
    return {"XDG_CONFIG_HOME": str(config.parents[1])}


def test_every_setting_is_read_from_the_users_file(config: Path) -> None:
    config.write_text(WHOLE)
    found = load_settings(beside(config))
    assert found.model_dump(exclude={"origins"}, exclude_none=True, mode="json") == {
        "mode": "single",
        "root": "/home/ada/scratch",
        "storage_driver": "fuse",
        "runner": "buildah",
        "cache": "/scratch/cache",
        "shared_cache": "/lab/cache",
        "shared_trust": "eve, @lab",
        "debian_mirror": "http://127.0.0.1/debian",
        "plugins": ["avabuild-jax", "example-*"],
    }
    assert found.origin("mode") == f"{config}:2"
    assert found.origin("debian_mirror") == f"{config}:9"
    assert {key.replace("-", "_") for key in KEYS} == {*VARIABLES, "plugins"}


def test_a_user_without_a_file_has_no_settings(config: Path) -> None:
    assert load_settings(beside(config)) == Settings()


def test_a_flag_comes_before_the_environment_and_that_before_the_file(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config.write_text(WHOLE)
    environ = beside(config) | {"AVABUILD_MODE": "subuid", "AVABUILD_ROOT": "~/other", "AVABUILD_RUNNER": ""}
    found = load_settings(environ, {"mode": "none", "root": None})
    assert (found.mode, found.origin("mode")) == ("none", "--mode")
    assert (found.root, found.origin("root")) == (Path("/home/ada/other"), "AVABUILD_ROOT")
    assert (found.runner, found.origin("runner")) == ("buildah", f"{config}:5")
    assert load_settings(beside(config), {"root": "here"}).root == tmp_path / "here"


@pytest.mark.parametrize(
    ("environ", "flags", "said"),
    [
        ({"AVABUILD_MODE": "rootless"}, {}, "AVABUILD_MODE: must be root, subuid, single or none, not 'rootless'"),
        ({"AVABUILD_MODE": "singel"}, {}, "did you mean 'single'?"),
        ({}, {"storage_driver": "btrfs"}, "--storage-driver: must be overlay, fuse or vfs, not 'btrfs'"),
    ],
)  # fmt: skip
def test_a_value_that_cant_be_is_refused_by_the_name_of_what_said_it(
    config: Path, environ: dict[str, str], flags: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ, flags)
    assert said in str(refused.value)
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\nmod = "single"\n', ':2: mod: unknown key; did you mean "mode"?'),
        ("pip = 3\n", ":1: pip: unknown key; known: cache, debian-mirror, mode, plugin-timeout, plugins, root, runner, shared-cache, shared-trust, storage-driver"),
        ('\n\nmode = "rootless"\n', ':3: mode: must be "root", "subuid", "single" or "none", not the text "rootless"'),
        ('root = "scratch"\n', ":1: root: must be an absolute path, or begin with ~: scratch"),
        ("cache = 7\n", ":1: cache: "),
        ('debian-mirror = "mirror"\n', ":1: debian-mirror: "),
        ('mode = "single\n', ":1: not valid TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_by_line(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError) as refused:
        read(config)
    assert f"{config}{said}" in str(refused.value)


def test_all_problems_of_a_file_are_told_at_once(config: Path) -> None:
    config.write_text('mod = 1\nroot = "x"\nrunner = "crun"\n')
    with pytest.raises(SettingsError) as refused:
        read(config)
    assert len(refused.value.problems) == 3


def test_a_file_that_is_none_is_told(config: Path) -> None:
    config.write_bytes(b"mode = '\xff'")
    with pytest.raises(SettingsError, match="can't be read: it is not UTF-8 text"):
        read(config)
    config.unlink()
    config.mkdir()
    with pytest.raises(SettingsError, match="can't be read: is a directory"):
        read(config)
