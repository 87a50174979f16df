from __future__ import annotations

from pathlib import Path

import pytest

from avabuild.host import storage_conf
from avabuild.host.storage_conf import configured

OWN = '[storage]\ndriver = "overlay"\ngraphroot = "$HOME/images"\nrunroot = "/run/mine"\n'
FUSE = '[storage]\ndriver = "overlay"\n[storage.options.overlay]\nmount_program = "/opt/fuse-overlayfs"\n'


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the whole system goes by; there is none until a test writes it."""
    path = tmp_path / "system.conf"
    monkeypatch.setattr(storage_conf, "_SYSTEM", (path, tmp_path / "vendor.conf"))
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "gone")}


def write(environ: dict[str, str], text: str) -> None:
    path = Path(environ["HOME"]) / ".config" / "containers" / "storage.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_word_images_are_where_podman_looks(system: Path, environ: dict[str, str]) -> None:
    assert configured(environ, 0) == (
        Path("/var/lib/containers/storage"),
        Path("/run/containers/storage"),
        "",
        None,
    )
    home = Path(environ["HOME"])
    assert configured(environ, 4242) == (home / ".local/share/containers/storage", None, "", None)
    assert configured(environ | {"XDG_DATA_HOME": "/data"}, 4242).root == Path("/data/containers/storage")


def test_a_session_has_the_run_root(system: Path, environ: dict[str, str], tmp_path: Path) -> None:
    uid = tmp_path.stat().st_uid or 4242
    assert configured(environ | {"XDG_RUNTIME_DIR": "/"}, uid).run is None  # it is another's
    if uid == tmp_path.stat().st_uid:
        assert configured(environ | {"XDG_RUNTIME_DIR": str(tmp_path)}, uid).run == tmp_path / "containers"


def test_a_users_file_names_all_of_it(system: Path, environ: dict[str, str]) -> None:
    write(environ, OWN)
    system.write_text('[storage]\ndriver = "vfs"\nrootless_storage_path = "/scratch/$USER"\n')
    assert configured(environ, 4242) == (Path(environ["HOME"]) / "images", Path("/run/mine"), "overlay", None)
    assert configured(environ | {"STORAGE_DRIVER": "vfs"}, 4242).driver == "vfs"


def test_the_systems_file_gives_a_user_place_and_driver(system: Path, environ: dict[str, str]) -> None:
    system.write_text(
        '[storage]\ndriver = "vfs"\ngraphroot = "/roots"\nrootless_storage_path = "/scratch/$USER-$UID"\n'
    )
    found = configured(environ | {"USER": "ada"}, 4242)
    assert (found.root, found.driver) == (Path("/scratch/ada-4242"), "vfs")
    assert configured(environ, 0).root == Path("/roots")
    system.write_text('[storage]\ndriver = "zfs"\n')
    assert configured(environ, 4242).driver == ""


def test_roots_file_may_be_named_and_a_users_may_not(
    system: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    named = tmp_path / "named.conf"
    named.write_text('[storage]\ndriver = "overlay"\ngraphroot = "/elsewhere"\n')
    environ["CONTAINERS_STORAGE_CONF"] = str(named)
    assert configured(environ, 0)[:3] == (Path("/elsewhere"), Path("/run/containers/storage"), "overlay")
    assert configured(environ, 4242).root == Path(environ["HOME"]) / ".local/share/containers/storage"


def test_what_mounts_overlays_is_read_where_it_may_be_said(system: Path, environ: dict[str, str]) -> None:
    write(environ, FUSE)
    assert configured(environ, 4242).mount_program == Path("/opt/fuse-overlayfs")
    write(environ, FUSE.replace(".overlay]", "]"))
    assert configured(environ, 4242).mount_program == Path("/opt/fuse-overlayfs")
    options = {"STORAGE_OPTS": "overlay.mountopt=nodev,overlay.mount_program=/bin/other"}
    assert configured(environ | options, 0).mount_program == Path("/bin/other")


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "storage = 3",
        "[storage]\ngraphroot = 7\n",
        '[storage]\ngraphroot = "relative"\n',
        "[storage.options]\noverlay = 1\n",
    ],
)
def test_a_file_that_says_nonsense_says_nothing(system: Path, environ: dict[str, str], text: str) -> None:
    write(environ, text)
    assert configured(environ, 4242) == (
        Path(environ["HOME"]) / ".local/share/containers/storage",
        None,
        "",
        None,
    )
