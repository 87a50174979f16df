from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.layer.blob import MTIME
from avabuild.layer.scheme import Scheme, scheme_of
from avabuild.layer.standing import Standing
from avabuild.layer.tree import Node, Tree, standing_of
from avabuild.layer.venv import write_venv

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment of this very interpreter, unpacked where its scheme says."""
    scheme = Scheme(prefix=f"{tmp_path}/venv", python=PYTHON)
    write_venv(tmp_path / "layer", scheme, sys.executable)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress((tmp_path / "layer").read_bytes()))) as tar:
        own = [member for member in tar if f"/{member.name}".startswith(scheme.prefix)]
        tar.extractall("/", members=own, filter="tar")  # not what is above: /tmp would get its mode
    return tmp_path / "venv"


def ask(venv: Path, shell: str, **variables: str) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(
        ["sh", "-euc", shell], cwd=venv, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_skeleton_is_files_links_and_directories_alone(tmp_path: Path, entries: Callable) -> None:
    write_venv(tmp_path / "layer", Scheme(python="3.11"), "/usr/bin/python3.11")
    found = {info.name: info.linkname or info.isdir() or data for info, data in entries(tmp_path / "layer")}
    activate = found.pop("opt/venv/bin/activate")
    assert b"/opt/venv/bin:$PATH" in found.pop("etc/profile.d/avabuild.sh")
    assert b"VIRTUAL_ENV=/opt/venv\n" in activate
    assert found == {
        "etc": True,
        "etc/profile.d": True,
        "opt": True,
        "opt/venv": True,
        "opt/venv/bin": True,
        "opt/venv/bin/python": "/usr/bin/python3.11",
        "opt/venv/bin/python3": "python",
        "opt/venv/bin/python3.11": "python",
        "opt/venv/include": True,
        "opt/venv/lib": True,
        "opt/venv/lib/python3.11": True,
        "opt/venv/lib/python3.11/site-packages": True,
        "opt/venv/lib64": "lib",
        "opt/venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n",
    }


@pytest.mark.parametrize("name", ["python", "python3", f"python{PYTHON}"])
def test_python_starts_in_the_environment(name: str, venv: Path) -> None:
    program = (
        "import sys, sysconfig as s; print(sys.prefix, sys.base_prefix != sys.prefix, s.get_path('purelib'))"
    )
    (answer,) = ask(venv, f'bin/{name} -c "{program}"')
    assert answer == f"{venv} True {venv}/lib/python{PYTHON}/site-packages"


def test_activating_puts_the_environment_first_and_deactivating_undoes_it(venv: Path) -> None:
    before, inside, home, after, left = ask(
        venv,
        'echo "$PATH"; . bin/activate; command -v python; echo "$VIRTUAL_ENV";'
        'deactivate; echo "$PATH"; echo "${VIRTUAL_ENV:-none}"',
    )
    assert inside == f"{venv}/bin/python"
    assert home == str(venv)
    assert after == before
    assert left == "none"


def test_activating_twice_leaves_the_path_with_one_entry(venv: Path) -> None:
    assert ask(venv, '. bin/activate; . bin/activate; echo "$PATH"') == [f"{venv}/bin:/usr/bin:/bin"]


def test_activating_keeps_the_prompt_of_the_shell(venv: Path) -> None:
    inside, after = ask(venv, '. bin/activate; echo "$PS1"; deactivate; echo "$PS1"', PS1="me$ ")
    assert inside == "(venv) me$ "
    assert after == "me$ "


def test_the_same_environment_gives_the_same_bytes_and_another_interpreter_others(tmp_path: Path) -> None:
    scheme = Scheme(python="3.11")
    blobs = [write_venv(tmp_path / "layer", scheme, f"/{d}/python3.11") for d in ("bin", "bin", "usr/bin")]
    assert blobs[0] == blobs[1]
    assert blobs[0].diff_id != blobs[2].diff_id


def test_an_interpreter_without_an_absolute_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absolute"):
        write_venv(tmp_path / "layer", Scheme(python="3.11"), "python3.11")
    assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize(
    ("interpreter", "packages"),
    [("/usr/bin/python2.7", "dist-packages"), ("/usr/local/bin/python2.7", "site-packages")],
)
def test_python_2_has_its_commands_and_an_empty_directory_of_its_own(
    tmp_path: Path, entries: Callable, interpreter: str, packages: str
) -> None:
    write_venv(tmp_path / "layer", scheme_of("2.7", interpreter), interpreter)
    found = {info.name: info.linkname or info.isdir() or data for info, data in entries(tmp_path / "layer")}
    assert found == {
        "usr": True,
        "usr/local": True,
        "usr/local/bin": True,
        "usr/local/bin/python": interpreter,
        "usr/local/bin/python2": interpreter,
        "usr/local/lib": True,
        "usr/local/lib/python2.7": True,
        f"usr/local/lib/python2.7/{packages}": True,
        f"usr/local/lib/python2.7/{packages}/.wh..wh..opq": b"",
    }


def test_login_shells_and_sudo_find_the_environment(tmp_path: Path, entries: Callable) -> None:
    write_venv(tmp_path / "layer", Scheme(python="3.11"), "/usr/bin/python3.11", standing=Standing(sudo=True))
    found = {info.name: (info.mode, data) for info, data in entries(tmp_path / "layer")}
    profile = tmp_path / "profile"
    profile.write_bytes(found["etc/profile.d/avabuild.sh"][1])
    script = f'set -eu; . {profile}; . {profile}; echo "$PATH $VIRTUAL_ENV"'
    for path, wanted in ("/usr/bin:/bin", "/opt/venv/bin:/usr/bin:/bin"), ("/a:/opt/venv/bin:/bin",) * 2:
        done = subprocess.run(
            ["/bin/sh", "-c", script], env={"PATH": path}, check=True, capture_output=True, text=True
        )
        assert done.stdout == f"{wanted} /opt/venv\n"
    mode, line = found["etc/sudoers.d/avabuild"]
    assert mode == 0o440
    assert line == (
        b'Defaults secure_path="/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n'
    )


def test_the_environment_stands_where_the_base_has_its_directories(tmp_path: Path, entries: Callable) -> None:
    tree = Tree(
        {
            "opt": Node(link="/srv/opt"),
            "srv": Node(0o711, 5, 6),
            "srv/opt": Node(0o2775, 0, 50),
            "srv/opt/venv": Node(),
            "etc": Node(),
        }
    )
    scheme = Scheme(python="3.11")
    standing = standing_of(tree, scheme, [])
    assert standing_of(Tree({"opt": Node(), "etc": Node()}), scheme, []).parts == ()
    write_venv(tmp_path / "layer", scheme, "/usr/bin/python3.11", standing=standing)
    found = {info.name: info for info, _ in entries(tmp_path / "layer")}
    assert not any(name.startswith("opt") for name in found), "the link is as it was"
    assert "srv/opt/venv/bin/python" in found
    assert (found["srv"].mode, found["srv"].uid, found["srv"].gid) == (0o711, 5, 6)
    assert (found["srv/opt"].mode, found["srv/opt"].gid, found["srv/opt"].mtime) == (0o2775, 50, MTIME)
    assert found["etc/profile.d"].mode == 0o755
    relative = Tree({"opt": Node(link="srv/../data"), "data": Node()})
    assert standing_of(relative, scheme, []).place("opt/venv/bin/x") == "data/venv/bin/x"


def test_sudo_is_known_by_the_base_or_by_the_packages() -> None:
    scheme = Scheme(python="3.11")
    assert standing_of(Tree({"etc/sudoers.d": Node()}), scheme, []).sudo
    assert standing_of(Tree(), scheme, ["sudo=1.9"]).sudo
    assert not standing_of(Tree(), scheme, ["sudoku"]).sudo
