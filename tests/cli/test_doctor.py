from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run


def test_the_host_is_told_in_a_table(avabuild: Run, tmp_path: Path) -> None:
    done = avabuild("doctor", "--root", "place")
    assert done.returncode == 0, done.stderr
    assert f"place    {tmp_path / 'place'}" in done.stdout
    assert "chosen   root by --root" in done.stdout
    assert "buildah" in done.stdout
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())


def test_the_same_is_told_to_programs(avabuild: Run, tmp_path: Path) -> None:
    done = avabuild("doctor", "--json", AVABUILD_ROOT=str(tmp_path / "place"))
    found = json.loads(done.stdout)
    assert found["can_build"] is True
    assert found["means"]["place"] == str(tmp_path / "place")
    assert found["settings"]["origins"] == [["root", "AVABUILD_ROOT"], ["cache", "AVABUILD_CACHE"]]
    assert {remark["state"] for remark in found["remarks"]} <= {"good", "limited", "spare"}
    assert found["findings"]["directories"][0]["free"] > 0


def test_a_proxys_password_is_not_told(avabuild: Run) -> None:
    done = avabuild("doctor", "--json", https_proxy="http://ada:secret@127.0.0.1:3128")
    assert '"https_proxy"' in done.stdout
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_mirrors_password_is_not_told(avabuild: Run, options: tuple[str, ...]) -> None:
    mirror = "http://ada:secret@127.0.0.1:9/debian"
    done = avabuild("doctor", *options, AVABUILD_DEBIAN_MIRROR=mirror)
    assert done.returncode == 0, done.stderr
    assert "mirror" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_a_wish_that_cant_come_true_exits_with_6_after_all_was_told(avabuild: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = avabuild("doctor", "--root", "file")
    assert done.returncode == 6
    assert "file is no directory" in done.stdout
    assert (
        f"avabuild: --root: no directory can hold what builds keep: {tmp_path / 'file'} is no directory"
        in done.stderr
    )


def test_settings_of_the_users_file_are_used_and_checked(avabuild: Run, tmp_path: Path) -> None:
    config = tmp_path / "home" / ".config" / "avabuild" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'mode = "none"\nroot = "{tmp_path}/kept"\n')
    done = avabuild("doctor")
    assert f"chosen   mode by {config}:1" in done.stdout
    assert "mode     none" in done.stdout
    config.write_text('mod = "none"\n')
    for argv in (
        ("doctor",), ("plan", "x.toml"), ("recipe", "x.toml"), ("check", "x"), ("images",), ("catalog", "x.toml"),
        ("push", "x", "r.example/x"), ("tag", "x", "y"), ("login", "r.example", "-u", "x"), ("logout", "r.example"),
    ):  # fmt: skip
        done = avabuild(*argv)
        assert done.returncode == 78
        assert f'{config}:1: mod: unknown key; did you mean "mode"?' in done.stderr


def test_a_mode_that_there_is_not_is_refused(avabuild: Run) -> None:
    done = avabuild("recipe", "x.toml", "--mode", "rootless")
    assert done.returncode == 78
    assert "--mode: must be root, subuid, single or none, not 'rootless'" in done.stderr
