"""Credentials: the file that buildah, podman and skopeo read too."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.registries.credentials import AuthFiles, Credentials

AVA = Credentials(user="ava", password="correct:horse")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir()
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def entry(user: str, password: str = "x") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, **data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def test_a_login_is_kept_for_its_owner_alone_and_found_again(environ, tmp_path):
    path = AuthFiles(environ).login("registry.example.com", AVA)
    assert path == tmp_path / "run" / "containers" / "auth.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert AuthFiles(environ).find("registry.example.com", "ns/ava") == AVA
    assert AuthFiles(environ).find("other.example.com") is None
    assert [p.name for p in path.parent.iterdir()] == ["auth.json"]


def test_skopeo_knows_who_is_logged_in(environ):
    environ["REGISTRY_AUTH_FILE"] = str(Path(environ["HOME"]) / "shared.json")
    AuthFiles(environ).login("registry.example.com", AVA)
    ask = ["skopeo", "login", "--get-login", "registry.example.com"]
    told = subprocess.run(
        ask, env={**environ, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "ava"


def test_a_login_keeps_what_else_is_in_the_file(environ, tmp_path):
    path = tmp_path / "named.json"
    environ["REGISTRY_AUTH_FILE"] = str(path)
    write(path, auths={"other.example.com": entry("else")}, credHelpers={"x.example.com": "pass"})
    AuthFiles(environ).login("registry.example.com", AVA)
    kept = json.loads(path.read_text())
    assert set(kept["auths"]) == {"other.example.com", "registry.example.com"}
    assert kept["credHelpers"] == {"x.example.com": "pass"}


def test_a_link_to_the_file_stays_one(environ, tmp_path):
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("real.json")
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "link.json")
    AuthFiles(environ).login("registry.example.com", AVA)
    assert (tmp_path / "link.json").is_symlink()
    assert "registry.example.com" in json.loads((tmp_path / "real.json").read_text())["auths"]


def test_the_most_exact_entry_counts(environ, tmp_path):
    write(
        tmp_path / "run/containers/auth.json",
        auths={
            "registry.example.com": entry("all"),
            "registry.example.com/team": entry("team"),
            "registry.example.com/team/ava": entry("one"),
        },
    )
    files = AuthFiles(environ)
    found = {
        name: files.find("registry.example.com", name) for name in ("team/ava", "team/other", "else", "")
    }
    assert {name: who.user for name, who in found.items() if who} == {
        "team/ava": "one", "team/other": "team", "else": "all", "": "all",
    }  # fmt: skip


def test_docker_s_own_file_is_read_last(environ, tmp_path):
    write(tmp_path / ".docker/config.json", auths={"https://registry.example.com/v2/": entry("docker")})
    assert AuthFiles(environ).find("registry.example.com") == Credentials(user="docker", password="x")
    write(tmp_path / ".config/containers/auth.json", auths={"registry.example.com": entry("podman")})
    assert AuthFiles(environ).find("registry.example.com") == Credentials(user="podman", password="x")


def test_a_credential_helper_is_asked(environ, tmp_path):
    helper = tmp_path / "bin" / "docker-credential-vault"
    helper.parent.mkdir()
    helper.write_text(
        '#!/bin/sh\nread -r host\necho "{\\"Username\\": \\"$1\\", \\"Secret\\": \\"of $host\\"}"\n'
    )
    helper.chmod(0o755)
    environ["PATH"] = f"{helper.parent}:/usr/bin:/bin"
    write(tmp_path / "run/containers/auth.json", credHelpers={"registry.example.com": "vault"})
    assert AuthFiles(environ).find("registry.example.com") == Credentials(
        user="get", password="of registry.example.com"
    )
    assert AuthFiles(environ).find("other.example.com") is None


def test_a_logout_forgets_the_host_alone(environ, tmp_path):
    files = AuthFiles(environ)
    files.login("registry.example.com", AVA)
    files.login("other.example.com", AVA)
    assert files.logout("registry.example.com") == (files.path,)
    assert (files.find("registry.example.com"), files.find("other.example.com")) == (None, AVA)
    assert files.logout("registry.example.com") == ()


@pytest.mark.parametrize("text", ["no json", "[]", '{"auths": [1]}'])
def test_a_damaged_file_is_named(environ, tmp_path, text):
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(HostError, match=r"bad\.json"):
        AuthFiles(environ).find("registry.example.com")


def test_an_entry_that_is_no_base64_is_named(environ, tmp_path):
    write(tmp_path / "run/containers/auth.json", auths={"registry.example.com": {"auth": "?"}})
    with pytest.raises(HostError, match="log in anew"):
        AuthFiles(environ).find("registry.example.com")


def test_a_password_is_not_shown_with_its_owner():
    assert "horse" not in repr(AVA)
    assert "horse" not in str([AVA])
    assert "horse" not in str(AVA)
    assert "horse" not in str(Credentials(token="horse"))
