"""Real builds: a store and a base that all of them share, and users to build as."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from uv import find_uv_bin

from avabuild.store.uses import is_free

TOOLS = ("buildah", "skopeo", "mmdebstrap")
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
        assert not check or done.returncode == 0, done.stderr
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

    def leftovers(self) -> list[str]:
        """Working containers, scratch and half-imported images that a build should not leave behind."""
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
        return [name for name in containers if name.startswith("avabuild-")] + images + scratch


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
    probe = ["runuser", "-u", "nobody", "--", interpreter(), "-c", "import avabuild.session, uv"]
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


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"real builds need {', '.join(missing)}; make setup installs them"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A store that holds the Debian base and grows as tests build; every test of root uses it."""
    base = tmp_path_factory.getbasetemp()
    session = base if worker_id == "master" else base.parent  # of all workers
    root = Path(os.environ.get("AVABUILD_TEST_CACHE") or session / "store")
    root.mkdir(parents=True, exist_ok=True)
    return root


@pytest.fixture(scope="session")
def image_storage() -> Iterator[Path]:
    """The configuration of an image storage of the session's own: what others left or do can't be seen."""
    place = Path(tempfile.mkdtemp(prefix="avabuild-images-", dir="/var/tmp"))
    configuration = place / "storage.conf"
    configuration.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
    )
    yield configuration
    subprocess.run(["umount", "--lazy", str(place / "graph" / "overlay")], capture_output=True, check=False)
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def environment(image_storage: Path) -> dict[str, str]:
    """What the user who runs the tests builds with."""
    paths = os.pathsep.join(map(str, import_paths()))
    return {"HOME": str(Path.home()), "PYTHONPATH": paths, "CONTAINERS_STORAGE_CONF": str(image_storage)}


@pytest.fixture
def root(tmp_path: Path, shared: Path, environment: dict[str, str]) -> Iterator[User]:
    """The user who runs the tests, with images of its own that go away afterwards."""
    user = User(pwd.getpwuid(os.geteuid()).pw_name, tmp_path, shared, dict(environment))
    yield user
    user.clear_images(tmp_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have `builder` be a user with a range of ids and one without; only one of them for what takes long."""
    if "builder" in metafunc.fixturenames:
        kinds = ["ranged", "bare"]
        if metafunc.definition.get_closest_marker("root_builder"):
            kinds = ["root"]
        elif metafunc.definition.get_closest_marker("one_builder") and "AVABUILD_TEST_ALL" not in os.environ:
            kinds = [kinds[zlib.crc32(metafunc.definition.name.encode()) % 2]]
        metafunc.parametrize("builder", kinds, indirect=True)


@pytest.fixture(scope="session")
def everyones(testrun_uid: str) -> Iterator[Path]:
    """A directory that every user may read, unlike pytest's own."""
    run = Path("/var/tmp") / f"avabuild-users-{testrun_uid}"
    base = run / str(os.getpid())
    base.mkdir(mode=0o755, parents=True)
    yield base
    shutil.rmtree(base, ignore_errors=True)
    if not any(path.name.isdigit() for path in run.iterdir()):  # no other process of this run has any
        shutil.rmtree(run, ignore_errors=True)


@pytest.fixture(scope="session")
def bases(everyones: Path) -> Callable[..., str]:
    """Return a function that puts Debian releases into a cache that builders begin with, and returns its path."""
    place = everyones.parent / "bases"

    def bases(*suites: str) -> str:
        place.mkdir(mode=0o755, exist_ok=True)
        for suite in suites:
            recipe = place / f"{suite}.toml"
            with FileLock(place / "lock"):
                if not recipe.with_suffix(".lock").exists():
                    recipe.write_text(f'name = "base"\nbase = {{ debian = "{suite}" }}\n')
                    env = {**os.environ, "AVABUILD_CACHE": str(place)}
                    argv = [sys.executable, *program()[1:], "recipe", recipe, "--output", f"oci:{place}/out"]
                    subprocess.run(argv, env=env, capture_output=True, check=True)
        return str(place)

    return bases


@pytest.fixture
def tmp_path(everyones: Path) -> Path:
    """A directory of the test's own that other users may read."""
    path = everyones / f"test-{secrets.token_hex(6)}"  # a name that may be part of an image's
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    return path


@pytest.fixture
def builder(
    request: pytest.FixtureRequest,
    make_user: Callable[[str, bool], User],
    tmp_path: Path,
    bases: Callable[..., str],
) -> Iterator[User]:
    """Somebody who is not root, as on the hosts that this program is for; `tmp_path` is their home."""
    if request.param == "root":
        yield request.getfixturevalue("root")
        return
    user = make_user(request.param, request.param == "ranged")
    user.env["HOME"], user.home = str(user.home), tmp_path
    if not user.cache.exists():
        place = Path(bases("bookworm"))
        for part in ("blobs", "index/base", "index/base-name", "index/base-of"):
            if (place / part).exists():
                shutil.copytree(place / part, user.cache / part)
        subprocess.run(["chown", "-R", f"{user.name}:", str(user.cache)], check=True)
    user.own(tmp_path)
    yield user
    user.clear_images(tmp_path)


@pytest.fixture
def own(builder: User) -> User:
    """A user with a store of their own that holds the base alone: what is half-made must show."""
    if not (builder.cache / "index" / "base").exists():
        base = 'name = "ava-test-base"\nbase = { debian = "bookworm" }\n'
        assert builder.avabuild("recipe", builder.recipe(base)).code == 0
    parts = ("blobs", "index/base", "index/base-name", "wheels", "debs", "apt-lists")
    builder.empty_cache(builder.home / "store", parts)
    return builder


@pytest.fixture(scope="session")
def make_user(everyones: Path) -> Iterator[Callable[[str, bool], User]]:
    """Create system users for the session: with a range of subordinate ids or without one."""
    assert os.geteuid() == 0, "these tests create users: run them as root"
    made: list[str] = []
    base = everyones
    paths = os.pathsep.join(map(str, importable_by_others(import_paths(), base)))

    def make(name: str, ranged: bool) -> User:
        name += str(os.getpid())  # sessions side by side have users of their own
        home = base / name
        if name not in made:
            add_user(name, home, ranged)
            home.mkdir()
            shutil.chown(home, name, name)
            made.append(name)
        return User(name, home, home / "cache", {"PYTHONPATH": paths}, owners=ranged)

    yield make
    for name in made:
        user = User(name, base / name, base / name / "cache")
        user.buildah("unshare", "rm", "-rf", str(base / name / ".local"), check=False)
        remove_user(name)


def add_user(name: str, home: Path, ranged: bool) -> None:
    remove_user(name)
    with FileLock(USERS):
        subprocess.run(["useradd", "--no-create-home", "--home-dir", str(home), name], check=True)
        _write_ranges(name, [f"{name}:1900000:65536"] if ranged else [])


def remove_user(name: str) -> None:
    with FileLock(USERS):
        subprocess.run(["userdel", name], capture_output=True, check=False)
        _write_ranges(name, [])


def _write_ranges(name: str, own: list[str]) -> None:
    for file in map(Path, ("/etc/subuid", "/etc/subgid")):
        others = [line for line in file.read_text().splitlines() if not line.startswith(f"{name}:")]
        file.write_text("".join(f"{line}\n" for line in [*others, *own]))


class Index:
    """A package index of the test's own (PEP 503), on a free port of the loopback address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[str] = []
        index = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(directory))

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
                index.requests.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/simple"

    def add(self, name: str, *files: Path) -> None:
        page = self.directory / "simple" / name
        page.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, page / file.name)
        links = [
            f'<a href="{f.name}#sha256={hashlib.sha256(f.read_bytes()).hexdigest()}">{f.name}</a>'
            for f in sorted(page.iterdir())
            if f.name != "index.html"
        ]
        (page / "index.html").write_text("<!DOCTYPE html><html><body>" + "\n".join(links) + "</body></html>")


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    made = Index(tmp_path_factory.mktemp("index"))
    yield made
    made.server.shutdown()
    made.server.server_close()


@dataclass
class Repo:
    """A signed APT repository in a directory: `suite` with the component main, and the same flat at `/`."""

    directory: Path
    home: Path
    who: str = "ava-test@example.invalid"

    def gpg(self, *argv: str, data: bytes | None = None) -> bytes:
        command = [
            "gpg",
            "--homedir",
            str(self.home),
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
        ]
        return subprocess.run([*command, *argv], input=data, capture_output=True, check=True).stdout

    def new_key(self, who: str, expires: str = "never", *faked: str) -> Path:
        """Make a key; return the file of its public half."""
        self.gpg(*faked, "--passphrase", "", "--quick-gen-key", who, "rsa2048", "sign", expires)
        path = self.directory.parent / f"{who.partition('@')[0]}.asc"
        path.write_bytes(self.gpg("--armor", "--export", who))
        return path

    def add(self, name: str, version: str, files: dict[str, bytes | str], depends: str = "") -> None:
        """Build a package with `files`, links where the content is a text."""
        tree = self.directory.parent / "trees" / f"{name}_{version}"
        for path, content in files.items():
            place = tree / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                place.symlink_to(content)
            else:
                place.write_bytes(content)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Test <t@example.invalid>\n"
        control += (f"Depends: {depends}\n" if depends else "") + "Description: a test's\n"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        pool = self.directory / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        built = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(pool)]
        subprocess.run(built, capture_output=True, check=True)

    def publish(self, suite: str = "stable", who: str | None = None, *faked: str) -> None:
        """Write the lists and sign them."""
        scan = ["dpkg-scanpackages", "--multiversion", "pool"]
        packages = subprocess.run(scan, cwd=self.directory, capture_output=True, check=True).stdout
        for top, inner in (
            (self.directory / "dists" / suite, "main/binary-amd64/Packages"),
            (self.directory, "Packages"),
        ):
            (top / inner).parent.mkdir(parents=True, exist_ok=True)
            (top / inner).write_bytes(packages)
            digest = hashlib.sha256(packages).hexdigest()
            release = f"Suite: {suite}\nCodename: {suite}\nArchitectures: amd64\nComponents: main\n"
            release += f"Date: Tue, 24 Nov 2020 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} {inner}\n"
            (top / "InRelease").unlink(missing_ok=True)
            signed = self.gpg(*faked, "--local-user", who or self.who, "--clearsign", data=release.encode())
            (top / "InRelease").write_bytes(signed)

    def fingerprint(self, who: str | None = None) -> str:
        lines = self.gpg("--list-keys", "--with-colons", who or self.who).decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository, with the key that signs it."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    made = Repo(tmp_path / "repo", home)
    made.directory.mkdir()
    made.new_key(made.who)
    return made
