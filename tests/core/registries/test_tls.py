"""Which registries may do without verified TLS, as the user's and the host's files have it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.host.registry_files import auth_files
from avabuild.registries.tls import Trust


@pytest.fixture
def conf(tmp_path, host):
    """The user's own directory of settings, and what they come to."""
    directory = tmp_path / "home" / ".config" / "containers"
    (directory / "registries.conf.d").mkdir(parents=True)
    user = host.model_copy(update={"variables": (("HOME", str(tmp_path / "home")),)})
    return directory, lambda **more: Trust.of(user, **more)


def entry(name: str, *, insecure: bool) -> str:
    return f'[[registry]]\nlocation = "{name}"\ninsecure = {str(insecure).lower()}\n'


def test_what_is_dropped_in_counts_as_well_and_more(conf):
    directory, trust = conf
    (directory / "registries.conf").write_text(entry("a.example", insecure=True))
    (directory / "registries.conf.d" / "b.conf").write_text(entry("b.example:5000", insecure=True))
    assert [trust().lets_off(name) for name in ("a.example", "b.example:5000", "b.example")] == [
        True, True, False,
    ]  # fmt: skip
    (directory / "registries.conf.d" / "a.conf").write_text(entry("a.example", insecure=False))
    assert not trust().lets_off("a.example")


def test_an_entry_of_a_namespace_is_about_that_alone(conf):
    directory, trust = conf
    text = entry("r.example/team", insecure=True) + entry("r.example/team/strict", insecure=False)
    (directory / "registries.conf").write_text(
        text + '[[registry]]\nprefix = "*.in.example"\ninsecure = true\n'
    )
    assert trust().lets_off("r.example", "team/ava")
    for repository in ("", "team2/ava", "team/strict/ava"):
        assert not trust().lets_off("r.example", repository)
    assert trust().lets_off("one.in.example", "x")
    assert not trust().lets_off("in.example", "x")
    assert trust(insecure=True).lets_off("r.example")


def test_a_file_that_is_no_toml_is_named(conf):
    directory, trust = conf
    (directory / "registries.conf").write_text("[[")
    with pytest.raises(HostError, match=r"registries\.conf: can't be read"):
        trust().lets_off("r.example")


def test_credentials_are_looked_for_where_all_tools_do():
    environ = {"HOME": "/home/ada", "XDG_RUNTIME_DIR": "/", "XDG_CONFIG_HOME": "/conf", "UID": "77"}
    assert auth_files(environ) == (
        Path("/containers/auth.json"),
        Path("/conf/containers/auth.json"),
        Path("/home/ada/.docker/config.json"),
    )
    without = auth_files({"HOME": "/home/ada", "DOCKER_CONFIG": "/docker", "UID": "77"})
    assert without[-2:] == (Path("/home/ada/.config/containers/auth.json"), Path("/docker/config.json"))
    assert set(without[:-2]) <= {Path(f"/run/containers/{os.getuid()}/auth.json")}
    assert auth_files({"REGISTRY_AUTH_FILE": "/mine"}) == (Path("/mine"),)
