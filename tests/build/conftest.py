"""Real builds: a store and a base that all of them share, and users to build as."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from .origins import Index, Repo
from .user import User, add_user, import_paths, importable_by_others, program, remove_user

TOOLS = ("buildah", "skopeo", "mmdebstrap")


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


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    made = Index(tmp_path_factory.mktemp("index"))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """An empty repository, with the key that signs it."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    made = Repo(tmp_path / "repo", home)
    made.directory.mkdir()
    made.new_key(made.who)
    return made
