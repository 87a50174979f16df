"""What the tools inside are told instead of the user's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.host.means import Means, Storage
from avabuild.tools.inside.private_home import auth_file, settle, storage_conf


@pytest.fixture
def means(tmp_path):
    storage = Storage(root=tmp_path / "store", run=tmp_path / "run", driver="overlay")
    return Means(mode="single", place=tmp_path / "place", storage=storage)


def test_nothing_of_the_users_configuration_is_left(means):
    environ = {
        "HOME": "/home/ada", "XDG_CONFIG_HOME": "/conf", "XDG_DATA_HOME": "/data", "STORAGE_DRIVER": "vfs",
        "CONTAINERS_STORAGE_CONF": "/storage.conf", "BUILDAH_ISOLATION": "oci", "XDG_RUNTIME_DIR": "/run/user/1",
        "PATH": "/bin", "https_proxy": "http://proxy.invalid",
    }  # fmt: skip
    env = settle(means, environ)
    home = Path(env["HOME"])
    assert home.is_relative_to(means.place)
    assert Path(env["XDG_RUNTIME_DIR"]).stat().st_mode & 0o777 == 0o700
    assert (env["PATH"], env["https_proxy"]) == ("/bin", "http://proxy.invalid")
    assert not {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "STORAGE_DRIVER", "BUILDAH_ISOLATION"} & set(env)
    written = {path.name for path in (home / ".config" / "containers").iterdir()}
    assert written == {"storage.conf", "policy.json", "registries.conf", "containers.conf"}
    assert settle(means, environ) == env, "and it is all there the second time"


def test_a_user_with_one_id_keeps_what_they_cant_give_away(means):
    assert 'ignore_chown_errors = "true"' in storage_conf(means.storage, single=True)
    assert "ignore_chown_errors" not in storage_conf(means.storage, single=False)


def test_root_keeps_their_own_storage_with_the_driver_that_was_chosen(means):
    storage = means.storage.model_copy(update={"own": True})
    environ = {"HOME": "/root", "CONTAINERS_STORAGE_CONF": "/storage.conf"}
    settled = settle(means.model_copy(update={"mode": "root", "storage": storage}), environ)
    assert settled == environ | {"STORAGE_DRIVER": storage.driver}
    by_fuse = storage.model_copy(update={"mount_program": Path("/usr/bin/fuse-overlayfs")})
    settled = settle(means.model_copy(update={"mode": "root", "storage": by_fuse}), environ)
    assert settled["STORAGE_OPTS"] == "overlay.mount_program=/usr/bin/fuse-overlayfs"


@pytest.mark.parametrize(
    "name", ["runtime/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json"]
)
def test_credentials_are_the_users_own_file(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("{}")
    environ = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    assert auth_file(environ) == tmp_path / name


def test_credentials_that_are_named_are_taken(tmp_path):
    assert auth_file({"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": "/secret/auth"}) == Path("/secret/auth")
    assert auth_file({"HOME": str(tmp_path)}) is None


def test_registries_and_their_certificates_are_the_users_own(means, tmp_path):
    own = tmp_path / "home" / ".config" / "containers"
    (own / "registries.conf.d").mkdir(parents=True)
    (own / "registries.conf.d" / "mine.conf").write_text('[[registry]]\nlocation = "r"\ninsecure = true\n')
    (own / "certs.d" / "registry.example.com").mkdir(parents=True)
    (own / "certs.d" / "registry.example.com" / "ca.crt").write_text("mine")
    (own / "registries.conf").write_text('unqualified-search-registries = ["r"]\n')
    environ = {"HOME": str(tmp_path / "home")}
    seen = Path(settle(means, environ)["HOME"]) / ".config" / "containers"
    for name in ("registries.conf", "registries.conf.d/mine.conf", "certs.d/registry.example.com/ca.crt"):
        assert (seen / name).read_text() == (own / name).read_text()
    named = tmp_path / "named.conf"
    named.write_text("# named\n")
    settle(means, environ | {"CONTAINERS_REGISTRIES_CONF": str(named)})
    assert (seen / "registries.conf").read_text() == "# named\n"
    own.rename(tmp_path / "gone")
    settle(means, environ)
    assert sorted(path.name for path in seen.iterdir()) == [
        "containers.conf", "policy.json", "registries.conf", "storage.conf",
    ]  # fmt: skip
    assert (seen / "registries.conf").exists()
