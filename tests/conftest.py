"""What tests everywhere share: golden files, a store, blobs, a host that is always the same, a real registry, users."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from avabuild.host.host import Host
from avabuild.store import Store
from avabuild.store.blob import Blob

from .builds.user import User, add_user, import_paths, importable_by_others, program, remove_user

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the diff")


def pytest_configure() -> None:
    """Have property tests try the same examples in each run, and others in each of `make test-all`.

    Let children start with default signals, also where whoever starts the tests ignores them (nohup, CI).
    """
    settings.register_profile("same", derandomize="AVABUILD_TEST_ALL" not in os.environ)
    settings.load_profile("same")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


# Files whose tests take longest. With a process for each processor the last file decides when all is over,
# so these are handed out first, and what makes no image last.
LONGEST = (
    "compiles",
    "crashes",
    "image",
    "failures",
    "classic",
    "users",
    "rows",
    "frameworks",
    "tutorial",
    "cuda",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        name = item.path.stem.removeprefix("test_")
        if not item.get_closest_marker("build"):
            return len(LONGEST) + 1
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that holds a text against tests/golden/NAME."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"{path} is missing: run pytest --update-golden and review it"
        assert text == path.read_text(), f"{name} differs: if that is meant, run pytest --update-golden"

    return check


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def keep_blob(store: Store) -> Callable[..., Blob]:
    """Return a function that puts a layer's bytes into the store, claiming any unpacked size."""

    def keep(data: bytes, unpacked: int = 10_240) -> Blob:
        diff_id = "sha256:" + hashlib.sha256(b"tar of " + data).hexdigest()
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        return Blob(
            digest=store.put(data), diff_id=diff_id, size=len(data), unpacked=unpacked, media_type=kind
        )

    return keep


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(
        uid=1000,
        arch="x86_64",
        cores=2,
        cache=tmp_path / "cache",
        variables=(),
        ca_bundle=None,
        mirror=None,
    )


def make_shared_object(
    soname: str = "",
    needed: tuple[str, ...] = (),
    *,
    rpath: str = "",
    runpath: str = "",
    machine: int = 62,
    padding: int = 0,
    names_last: bool = True,
) -> bytes:
    """Return a 64-bit shared object that a loader takes, with no code; `padding` bytes of zeros stand before its dynamic section.

    With `names_last` the names stand behind the dynamic section, as patchelf leaves them; else before the
    padding, as linkers write them.
    """
    names, strings = b"\0", {}
    for text in (soname, *needed, rpath, runpath):
        if text and text not in strings:
            strings[text] = len(names)
            names += text.encode() + b"\0"
    entries = [(1, strings[text]) for text in needed]
    entries += [(tag, strings[text]) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    start = 64 + 3 * 56
    dynamic_size = 16 * (len(entries) + 6)
    fixed = 24 + 24  # a symbol table with its one null entry; a hash table without any
    before = b"" if names_last else names.ljust(-(-len(names) // 8) * 8, b"\0")
    names_at = start + fixed
    dynamic_at = start + fixed + len(before) + -(-padding // 8) * 8
    if names_last:
        names_at = dynamic_at + dynamic_size
    entries += [(5, names_at), (10, len(names)), (6, start), (11, 24), (4, start + 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    symbols = bytes(24) + struct.pack("<IIIII", 1, 1, 0, 0, 0).ljust(24, b"\0")
    body = symbols + before
    body += bytes(dynamic_at - start - len(body)) + dynamic + (names if names_last else b"")
    size = start + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, size, size, 0x1000)
    link = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + link + stack + body


@pytest.fixture(scope="session")
def shared_object() -> Callable[..., bytes]:
    """Return a function that makes an ELF file of a soname, what it needs, and where it looks."""
    return make_shared_object


@pytest.fixture
def keep_layer(store: Store) -> Callable[..., Blob]:
    """Return a function that makes a layer of the store: bytes are files, texts are links, None a removal."""

    def keep(entries: dict[str, bytes | str | None]) -> Blob:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in entries.items():
                head, _, last = name.rpartition("/")
                info = tarfile.TarInfo(name if content is not None else f"{head}/.wh.{last}".lstrip("/"))
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                data = content if isinstance(content, bytes) else b""
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        data = buffer.getvalue()
        kind = "application/vnd.oci.image.layer.v1.tar"
        diff_id = "sha256:" + hashlib.sha256(data).hexdigest()
        return Blob(
            digest=store.put(data), diff_id=diff_id, size=len(data), unpacked=len(data), media_type=kind
        )

    return keep


# -- a real registry ------------------------------------------------------------------------------------------

USER, PASSWORD = "ava", "correct horse"
_HTPASSWD = "ava:$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"


def authority(directory: Path) -> None:
    """Make `ca.crt` with its key, and `good` and `expired` certificates of 127.0.0.1."""
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(directory, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ava-test-ca "
             "-keyout ca.key -out ca.crt")  # fmt: skip
    _openssl(directory, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=127.0.0.1 -keyout key.pem "
             "-out request.pem")  # fmt: skip
    signed = "x509 -req -in request.pem -CA ca.crt -CAkey ca.key -CAcreateserial -extfile san"
    _openssl(directory, f"{signed} -days 2 -out good.pem")
    _openssl(directory, f"{signed} -days -1 -out expired.pem")


def _openssl(directory: Path, words: str) -> None:
    subprocess.run(["openssl", *words.split()], cwd=directory, check=True, capture_output=True)


@dataclass
class Distribution:
    """One docker-registry; `keys` is a directory that `authority` filled."""

    directory: Path
    keys: Path
    certificate: str = "good"
    settings: dict[str, object] = field(default_factory=dict)
    auth: dict[str, object] | None = None
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "htpasswd").write_text(_HTPASSWD + "\n")
        while not self.port:
            # Below what the kernel gives out by itself: while it is stopped nobody else gets it.
            port = 20_000 + secrets.randbelow(12_000)
            with socket.socket() as trial, suppress(OSError):
                trial.bind(("127.0.0.1", port))
                self.port = port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def storage(self) -> Path:
        return self.directory / "storage"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs: whom to trust, and whose password to give."""
        return {"SSL_CERT_FILE": str(self.keys / "ca.crt"), "REGISTRY_AUTH_FILE": str(self.auth_file())}

    def auth_file(self, password: str = PASSWORD) -> Path:
        """Return a file with the user's password, which may be a wrong one."""
        text = base64.b64encode(f"{USER}:{password}".encode()).decode()
        path = self.directory / f"auth-{len(password)}.json"
        path.write_text(json.dumps({"auths": {self.host: {"auth": text}}}))
        return path

    def start(self, **storage: object) -> None:
        """Start it and wait until it answers; `storage` goes into its settings."""
        users = {"htpasswd": {"realm": "ava-test", "path": str(self.directory / "htpasswd")}}
        tls = {"certificate": str(self.keys / f"{self.certificate}.pem"), "key": str(self.keys / "key.pem")}
        settings = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.storage)},
                "delete": {"enabled": True},
                **storage,
            },
            "http": {"addr": self.host, **({"tls": tls} if self.certificate else {})},
            "auth": users if self.auth is None else self.auth,
            **self.settings,
        }
        file = self.directory / "config.yml"
        file.write_text(json.dumps(settings))  # JSON is YAML
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.02)
        raise AssertionError("the registry does not answer")

    def stop(self) -> None:
        """Stop it, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def blobs(self) -> set[str]:
        """The digests of all blobs that it holds."""
        found = self.storage.glob("docker/registry/v2/blobs/sha256/*/*/data")
        return {f"sha256:{path.parent.name}" for path in found}

    def manifest(self, name: str) -> dict[str, object]:
        """Read a manifest by its name and tag from the registry's own files."""
        repository, _, tag = name.partition(":")
        below = self.storage / "docker/registry/v2"
        link = below / "repositories" / repository / "_manifests/tags" / tag / "current/link"
        digest = link.read_text().removeprefix("sha256:")
        found: dict[str, object] = json.loads(
            (below / "blobs/sha256" / digest[:2] / digest / "data").read_bytes()
        )
        return found


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of the tests' own, with certificates of 127.0.0.1."""
    directory = tmp_path_factory.mktemp("keys")
    authority(directory)
    return directory


@pytest.fixture(scope="session")
def distribution(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """A registry that all tests of a session share: each takes names of its own."""
    made = Distribution(tmp_path_factory.mktemp("registry"), keys)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def make_distribution(keys: Path, tmp_path: Path) -> Iterator[Callable[..., Distribution]]:
    """Return a function that makes a registry for one test, to be started and broken."""
    made: list[Distribution] = []

    def make(**fields: object) -> Distribution:
        made.append(Distribution(tmp_path / f"registry-{len(made)}", keys, **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB, which `mount -o remount,size=` makes bigger."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], check=False)
    if made.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


# -- real builds: what all rooms that have any share, once a process ---------------------------------------------


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


@pytest.fixture(scope="session")
def public_tmp() -> None:
    """Have a /tmp that every user may write to, as buildah wants it: one of root's alone fails far from here."""
    if Path("/tmp").stat().st_mode & 0o1777 != 0o1777 and os.geteuid() == 0:
        Path("/tmp").chmod(0o1777)


@pytest.fixture(scope="session")
def make_user(everyones: Path, public_tmp: None) -> Iterator[Callable[[str, bool], User]]:
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
