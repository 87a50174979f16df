"""Users who build: what they run, what they see, and how they are made."""

from __future__ import annotations

import functools
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from uv import find_uv_bin

from avabuild.store.uses import is_free
from avabuild.store.whole import is_write
from avabuild.tools.storage import LocalStorage

INSIDE = (Path(__file__).parent / "inside.py").read_text()
SETPRIV = shutil.which("setpriv") or "setpriv"
USERS = Path(tempfile.gettempdir()) / "avabuild-test-users.lock"


@dataclass
class Outcome:
    """How a run of avabuild ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def image(self) -> dict[str, object]:
        """The last image of a `--json` run."""
        return next(event for event in reversed(self.events) if event["event"] == "image")


@dataclass
class User:
    """Somebody who builds, in a directory of their own.

    Recipes are written with `recipe`, run with `avabuild`, and images looked into with `inside`.
    """

    name: str
    home: Path
    cache: Path
    env: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # what root starts it with: a mount, a limit
    owners: bool = True  # whether files may be other users': root, or a range of ids

    def recipe(self, text: str, name: str = "recipe.toml") -> Path:
        path = self.home / name
        path.write_text(textwrap.dedent(text))
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        if self.name != "root":
            shutil.chown(path, self.name, self.name)

    def command(self, *argv: str) -> tuple[list[str], dict[str, str]]:
        own = ("XDG_", "PYTHON", "CONTAINERS_")  # who runs the tests may have said it for themselves
        env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        # Only an address that a build step would need: a unit test's host settings must not leak in.
        env |= {"AVABUILD_CACHE": str(self.cache), "HOME": str(self.home), "USER": self.name, **self.env}
        if self.name == "root":
            return list(argv), env
        # Unlike runuser it becomes the program: a signal reaches that.
        become = [SETPRIV, "--reuid", self.name, "--regid", self.name, "--init-groups", "--"]
        return [*self.before, *become, *argv], env

    def avabuild(self, *argv: str, timeout: int = 600) -> Outcome:
        command, env = self.command(*(self.program or program()), *map(str, argv))
        done = subprocess.run(
            command, env=env, cwd=self.home, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        command, env = self.command(*(self.program or program()), *map(str, argv))
        return subprocess.Popen(
            command, env=env, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def buildah(self, *argv: str, check: bool = True) -> str:
        driver = [] if self.name == "root" else ["--storage-driver", "overlay"]
        how = ["buildah", *driver] if self.owners else [*self._inside(), "buildah"]
        command, env = self.command(*how, *argv)
        env["PATH"] = os.environ["PATH"]  # a test may have taken it from avabuild, not from us
        for _ in range(3):
            done = subprocess.run(
                command, env=env, cwd=self.home, capture_output=True, text=True, check=False
            )
            if "sealing memfd copy" not in done.stderr:  # buildah 1.28 did not start: it may be asked again
                break
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr
        return done.stdout

    def inside(self, image: str, shell: str) -> str:
        """Run `shell` in a container of the image, as its users would."""
        if not self.owners:
            command, env = self.command(*self._inside(), "run", image, shell)
            done = subprocess.run(
                command, env=env, cwd=self.home, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout
        container = self.buildah("from", "--pull-never", image).strip()
        try:
            return self.buildah("run", "--isolation", "chroot", container, "--", "sh", "-c", shell)
        finally:
            self.buildah("rm", container)

    def _inside(self) -> list[str]:
        return [interpreter(), "-c", INSIDE]

    def clear_images(self, home: Path) -> None:
        """Remove the images of tests, and those that are named after something below `home`."""
        listed = json.loads(self.buildah("images", "--json") or "[]") or []
        for image in (name for entry in listed for name in entry.get("names") or []):
            if image.startswith("localhost/ava-test") or str(home) in image:
                self.buildah("rmi", "--force", image, check=False)

    def empty_cache(self, place: Path, parts: Iterable[str]) -> None:
        """Have a cache of their own at `place` that holds nothing but the parts of the present one."""
        place.mkdir()
        for part in parts:
            if (self.cache / part).exists():
                shutil.copytree(self.cache / part, place / part, copy_function=os.link)
        for directory in (place, *(path for path in place.rglob("*") if path.is_dir())):
            self.own(directory)
        self.cache = place

    def forget_cache(self) -> None:
        """Remove the cache, which must be the test's own: others use the one of a session meanwhile."""
        assert self.cache.is_relative_to(self.home), f"{self.cache} is not this test's own"
        shutil.rmtree(self.cache)

    def leftovers(self) -> list[str]:
        """Working containers, scratch, half-imported images and their layers, which no build should leave."""
        listed = json.loads(self.buildah("containers", "--json") or "[]") or []
        containers = [container["containername"] for container in listed]
        images = [
            n
            for n in self.buildah("images", "--format", "{{.Name}}").split()
            if re.search(r"avabuild-[0-9a-f]{12}-", n)
        ]
        tmp = self.cache / "tmp"
        living = {lock.stem for lock in tmp.glob("*.lock") if not is_free(lock)}  # root's tests share a cache
        scratch = [path.name for path in tmp.iterdir() if path.stem not in living] if tmp.exists() else []
        patience = time.monotonic() + 30
        while time.monotonic() < patience and any(is_write(tmp / name) for name in scratch):
            time.sleep(0.05)  # another test's build writes a file, which takes a moment
            scratch = [name for name in scratch if (tmp / name).exists()]
        storage = LocalStorage.of(json.loads(self.buildah("info")))
        layers = storage.loose([layer for layer, one in storage.list_layers().items() if one.diff_id])
        return [name for name in containers if name.startswith("avabuild-")] + images + scratch + [*layers]


def program() -> list[str]:
    """Start avabuild so that any user can: the tests' own interpreter may be out of reach for others."""
    return [interpreter(), "-c", "from avabuild.cli import main; main()"]


@functools.cache
def interpreter() -> str:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = [sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"]
    for candidate in candidates:
        probe = ["runuser", "-u", "nobody", "--", candidate, "-c", "pass"]
        if Path(candidate).exists() and (
            os.geteuid() != 0 or subprocess.run(probe, capture_output=True, check=False).returncode == 0
        ):
            return candidate
    return sys.executable


def import_paths() -> list[Path]:
    """Where avabuild and what it needs are imported from, without the standard library."""
    found = [Path(path) for path in sys.path if path]
    return [path for path in found if path.is_dir() and not path.is_relative_to(sys.base_prefix)]


def importable_by_others(paths: list[Path], place: Path) -> list[Path]:
    """Return `paths`, or copies below `place` when other users can't read them."""
    joined = os.pathsep.join(map(str, paths))
    probe = ["runuser", "-u", "nobody", "--", interpreter(), "-c", "import avabuild.run.recipe_run, uv"]
    if (
        subprocess.run(
            probe, env={**os.environ, "PYTHONPATH": joined}, capture_output=True, check=False
        ).returncode
        == 0
    ):
        return paths
    copies = [place / f"path-{number}" for number, _ in enumerate(paths)]
    for source, copy in zip(paths, copies, strict=True):
        shutil.copytree(source, copy, symlinks=True)
        (copy / "bin").mkdir(exist_ok=True)
        shutil.copy(find_uv_bin(), copy / "bin" / "uv")
    return copies


def add_user(name: str, home: Path, ranged: bool) -> None:
    remove_user(name)
    with FileLock(USERS):
        subprocess.run(["useradd", "--no-create-home", "--home-dir", str(home), name], check=True)
        _write_ranges(name, [f"{name}:1900000:65536"] if ranged else [])


def remove_user(name: str) -> None:
    """Remove the user, with what avabuild and buildah 1.28 keep for them where temporary files are."""
    with suppress(KeyError):
        owner = pwd.getpwnam(name).pw_uid
        for kind in ("avabuild", "containers-user", "podman-run"):
            shutil.rmtree(f"/var/tmp/{kind}-{owner}", ignore_errors=True)
    with FileLock(USERS):
        subprocess.run(["userdel", name], capture_output=True, check=False)
        _write_ranges(name, [])


def _write_ranges(name: str, own: list[str]) -> None:
    for file in map(Path, ("/etc/subuid", "/etc/subgid")):
        others = [line for line in file.read_text().splitlines() if not line.startswith(f"{name}:")]
        file.write_text("".join(f"{line}\n" for line in [*others, *own]))
