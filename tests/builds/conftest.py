"""Real builds: users to build as, and the sources of packages that they ask."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .origins import Index, Repo
from .user import User

TOOLS = ("buildah", "skopeo", "mmdebstrap")


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not missing, f"real builds need {', '.join(missing)}; make setup installs them"


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
