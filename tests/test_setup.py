"""The two commands of a fresh machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = {
    "buildah": "buildah",
    "runc": "runc",
    "newuidmap": "uidmap",
    "skopeo": "skopeo",
    "containers-storage": "containers-storage",
    "mmdebstrap": "mmdebstrap",
    "fakechroot": "fakechroot",
    "fakeroot": "fakeroot",
}
TEST_TOOLS = {"bindfs": "bindfs", "docker-registry": "docker-registry"}
COREUTILS = ("sh", "env", "cat", "cksum", "dirname", "head", "mkdir", "mktemp", "pwd", "rm", "sed", "tail")
# A fake interpreter: it makes a venv of itself, and is what the files of the environment's names say.
PYTHON = """\
#!/bin/sh
echo "python $*" >> "$CALLS"
case "$*" in
  -V) echo Python 3.11.2;;
  *"/pip --version") echo "pip 25.1 from ${0%/bin/python}/lib";;
  *"venv --clear "*)
      mkdir -p .venv/bin
      cat "$0" > .venv/bin/python
      echo "#!$PWD/.venv/bin/python" > .venv/bin/pip
      chmod +x .venv/bin/*;;
  *ensurepip*) [ ! -e "$NO_ENSUREPIP" ];;
  *"% sys.version_info"*) echo python3.11-venv;;
  *version_info*) [ ! -e "$OLD_PYTHON" ];;
esac
"""


class Machine:
    """A clone of the repository on a PATH that holds fakes; every call of an installer is recorded."""

    def __init__(self, path: Path, uid: int = 0) -> None:
        self.path = path
        self.bin = path / "bin"
        self.calls = path / "calls"
        self.repository = path / "clone"
        (self.repository / "scripts").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy2(ROOT / "scripts" / "setup", self.repository / "scripts")
        shutil.copy2(ROOT / "pyproject.toml", self.repository)
        for name in (*COREUTILS, "chmod"):
            (self.bin / name).symlink_to(shutil.which(name) or "")
        (self.bin / "python3").write_text(PYTHON)
        (self.bin / "python3").chmod(0o755)
        self.fake("id", f"echo {uid}")
        self.fake("apt-get", 'echo "apt-get $*" >> "$CALLS"; ' + self._unpack())
        self.fake("apt-cache", "printf 'buildah:\\n  Candidate: 1.28.2+ds1-3\\n'")

    def _unpack(self) -> str:
        """Shell that does what installing a package does: the command appears."""
        branches = "".join(
            f'{package}) printf "#!/bin/sh\\necho buildah version 1.28.2\\n" > "$BIN/{command}"; '
            f'chmod +x "$BIN/{command}";; '
            for command, package in (TOOLS | TEST_TOOLS).items()
        )
        return f'[ "$2" != install ] || for package; do case "$package" in {branches} esac; done'

    def fake(self, name: str, body: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def install(self, *names: str) -> None:
        for name in names:
            self.fake(name, "echo buildah version 1.28.2")

    def setup(self, *arguments: str, ok: bool = True, system: str = "debian") -> str:
        """Run scripts/setup on a `system` and return all that it printed."""
        (self.path / "os-release").write_text(f"NAME=x\nID={system}\n")
        env = {
            "PATH": str(self.bin),
            "BIN": str(self.bin),
            "CALLS": str(self.calls),
            "NO_ENSUREPIP": str(self.path / "no-ensurepip"),
            "OLD_PYTHON": str(self.path / "old-python"),
            "TMPDIR": str(self.path),
            "OS_RELEASE": str(self.path / "os-release"),
            "HELPERS": str(self.path / "helpers"),
        }
        done = subprocess.run(
            [self.repository / "scripts" / "setup", *arguments],
            env=env,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
        )
        assert (done.returncode == 0) == ok, done.stdout
        return done.stdout

    def called(self, word: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if word in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_fresh_machine_gets_every_tool_and_a_venv(machine: Machine) -> None:
    said = machine.setup()
    installed = machine.called("install -y")[0].split()
    assert set(TOOLS.values()) <= set(installed)
    assert machine.called("pip install --quiet --editable . --group dev")
    assert [line.split(":")[0] for line in said.splitlines()] == ["setup"] * len(said.splitlines())


def test_a_second_run_says_nothing_and_starts_no_installer(machine: Machine) -> None:
    machine.setup()
    machine.calls.unlink()
    assert machine.setup() == ""
    assert machine.called("apt-get") == machine.called("pip") == machine.called("venv") == []


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.install("buildah", "crun", "newuidmap", "mmdebstrap", "fakechroot", "fakeroot")
    machine.install("containers-storage")
    machine.setup()
    packages = {word for word in machine.called("install -y")[0].split() if word in TOOLS.values()}
    assert packages == {"skopeo"}


def test_what_the_distribution_does_not_have_is_not_asked_for(machine: Machine) -> None:
    machine.fake("apt-cache", "[ $2 = buildah ] && echo '  Candidate: 1.28.2' || echo '  Candidate: (none)'")
    machine.setup()
    assert "containers-storage" not in machine.called("install -y")[0].split()
    machine.calls.unlink()
    assert machine.setup() == ""


def test_what_only_fresh_lists_offer_is_installed_too(machine: Machine) -> None:
    """A new system has no package lists: nothing is offered before the first update."""
    updated = '$(cat "$CALLS" 2>/dev/null)'
    machine.fake("apt-cache", f'case "{updated}" in *update*) echo "  Candidate: 1.28.2";; esac')
    machine.setup()
    assert machine.called("install -y")[0].split().count("containers-storage") == 1


def test_with_the_tools_there_an_ordinary_user_needs_no_sudo(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.install(*TOOLS)
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        pytest.skip("this machine lacks Debian's keyring, which setup looks for by its path")
    machine.setup()
    assert machine.called("apt-get") == []
    assert machine.called("--group dev")


def test_without_root_and_sudo_the_missing_packages_are_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.install("buildah", "runc", "newuidmap", "mmdebstrap", "fakechroot", "fakeroot")
    said = machine.setup(ok=False)
    assert "apt-get install skopeo" in said
    assert machine.called("apt-get") == []


def test_a_python_that_makes_no_venv_gets_its_package(machine: Machine) -> None:
    (machine.path / "no-ensurepip").touch()
    machine.setup()
    assert "python3.11-venv" in machine.called("install -y")[0].split()


def test_no_python_that_is_new_enough_stops_before_anything_is_installed(machine: Machine) -> None:
    (machine.path / "old-python").touch()
    assert "no Python 3.11" in machine.setup(ok=False)
    assert machine.called("apt-get") == []


@pytest.mark.parametrize("version", ["1.23.1", "0.99", "nonsense"])
def test_a_buildah_that_is_too_old_is_said_so_with_what_to_do(machine: Machine, version: str) -> None:
    machine.install(*TOOLS)
    machine.fake("buildah", f"echo 'buildah version {version} (image-spec 1.0.2-dev)'")
    said = machine.setup(ok=False)
    assert version in said
    assert "needs buildah 1.28" in said
    assert "Ubuntu 22.04" in said


@pytest.mark.parametrize("version", ["1.28.0", "1.39.3", "2.0"])
def test_a_buildah_that_is_new_enough_is_taken(machine: Machine, version: str) -> None:
    machine.install(*TOOLS)
    machine.fake("buildah", f"echo 'buildah version {version} (image-spec 1.0.2-dev)'")
    machine.setup()


@pytest.mark.parametrize(("version", "asked"), [("1.28.2", False), ("1.39.3", True)])
def test_netavark_is_installed_where_buildah_starts_nothing_without_it(
    tmp_path: Path, version: str, asked: bool
) -> None:
    for there in (True, False):
        machine = Machine(tmp_path / str(there))
        machine.install(*(TOOLS if there else TOOLS.keys() - {"buildah"}))
        machine.fake("apt-cache", f"printf 'buildah:\\n  Candidate: {version}+ds1-3\\n'")
        if there:
            machine.fake("buildah", f"echo 'buildah version {version} (image-spec 1.0.2-dev)'")
        machine.setup()
        installed = " ".join(machine.called("install -y")).split()
        assert ("netavark" in installed) == asked
        (machine.path / "helpers").mkdir()
        (machine.path / "helpers" / "netavark").touch()
        machine.calls.unlink()
        machine.setup()
        assert "netavark" not in " ".join(machine.called("install -y"))


def test_a_package_that_is_too_old_is_not_installed(machine: Machine) -> None:
    machine.fake("apt-cache", "printf 'buildah:\\n  Candidate: 1.23.1+ds1-2\\n'")
    assert "1.23.1" in machine.setup(ok=False)
    assert machine.called("install -y") == []


def test_tools_of_tests_are_installed_for_tests_alone_and_once(machine: Machine) -> None:
    machine.setup()
    tools = {*TEST_TOOLS.values(), "chromium"}
    assert not tools & set(" ".join(machine.called("install -y")).split())
    machine.setup("--tests")
    assert tools <= set(machine.called("install -y")[-1].split())
    machine.install("chromium")
    machine.calls.unlink()
    assert machine.setup("--tests") == ""
    assert machine.called("apt-get") == []


def test_where_chromium_is_no_package_it_is_not_asked_for(machine: Machine) -> None:
    machine.setup("--tests", system="ubuntu")
    assert "chromium" not in " ".join(machine.called("install -y"))


def test_a_failed_installer_shows_what_it_printed_and_leaves_no_stamp(machine: Machine) -> None:
    machine.fake("apt-get", '[ "$2" != install ] || { echo "E: no space"; exit 100; }')
    assert "E: no space" in machine.setup(ok=False)
    assert not (machine.repository / ".venv" / "stamp").exists()


def change_the_dependencies(repository: Path) -> None:
    with (repository / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")


def break_the_venv(repository: Path) -> None:
    (repository / ".venv" / "bin" / "python").unlink()


@pytest.mark.parametrize("change", [change_the_dependencies, break_the_venv])
def test_a_venv_that_is_out_of_date_is_installed_again(
    machine: Machine, change: Callable[[Path], None]
) -> None:
    machine.setup()
    machine.calls.unlink()
    change(machine.repository)
    machine.setup()
    assert machine.called("--group dev")


def test_a_clone_that_was_moved_gets_a_new_venv(machine: Machine) -> None:
    machine.setup()
    machine.calls.unlink()
    machine.repository = machine.repository.rename(machine.path / "moved")
    machine.setup()
    assert machine.called("venv --clear")


def test_ci_runs_make_test_and_nothing_more() -> None:
    script = ROOT / ".ci" / "run"
    lines = [
        line for line in script.read_text().splitlines() if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert lines == ["exec make test"]
    assert os.access(script, os.X_OK)


def test_make_alone_lists_every_target() -> None:
    said = subprocess.run(["make", "-s", "-C", ROOT], check=True, capture_output=True, text=True).stdout
    assert {line.split()[0] for line in said.splitlines()} == {
        "help", "setup", "demo", "test", "test-all", "test-fast", "test-slow", "lint", "bench", "bench-matrix",
        "bench-push", "bench-rootless", "rootless", "test-buildah-new", "clean",
    }  # fmt: skip


def test_the_suite_is_linted_and_set_up_first() -> None:
    said = subprocess.run(
        ["make", "-n", "-C", ROOT, "test"], check=True, capture_output=True, text=True
    ).stdout
    steps = ["scripts/setup", "ruff check", "ruff format --check", "bin/mypy", "lint-imports", "bin/pytest"]
    places = [said.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


def test_the_demo_sets_up_and_builds_the_keras_recipe() -> None:
    said = subprocess.run(
        ["make", "-n", "-C", ROOT, "demo"], check=True, capture_output=True, text=True
    ).stdout
    assert said.index("scripts/setup") < said.index("avabuild recipe recipes/keras.toml")


def test_the_benchmark_is_not_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["core/avabuild", "plugins/avabuild_plugins"]
