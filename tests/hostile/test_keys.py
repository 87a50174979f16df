"""Inputs that change while a build runs: nothing is called up to date, or kept, that is not what its key says."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from avabuild.common.errors import ChangedError
from avabuild.resolve import Fetcher, Indexes
from avabuild.resolve.lock import Package
from avabuild.run.watch import Watch
from avabuild.store.store import is_settled

from ..builds.tiny import write_tiny
from ..builds.user import User

RECIPE = """
    name = "ava-test-keys"
    base = { archive = "base.tar" }
    plugins = ["./plugin.py"]

    [[files]]
    source = "data"
    target = "/data"

    [[files]]
    source = "one"
    target = "/one"

    [[run]]
    shell = "cat /seen/file >/copy; echo begun >/gates/begun; cat /gates/go"
    mounts = ["./gates:/gates", "./seen:/seen"]
"""
PLUGIN = """
from avabuild.api import Label, Policy, hookimpl


def amend(draft):
    yield Label(name="plain", value="one")


@hookimpl
def avabuild_policies():
    yield Policy(name="plain", summary="a label", amend=amend)
"""
EDITS: dict[str, Callable[[Path], object]] = {
    "the recipe": lambda home: append(home / "recipe.toml", "# another\n"),
    "a file of [[files]]": lambda home: append(home / "one", "more"),
    "a file more in a directory": lambda home: (home / "data" / "more").write_text("more"),
    "a file that is put in its place": lambda home: swap(home / "one"),
    "the base's archive": lambda home: append(home / "base.tar", "\0" * 512),
    "the local plugin": lambda home: append(home / "plugin.py", "# another\n"),
    "what the project says": lambda home: (home / "avabuild.toml").write_text("plugins = []\n"),
    "a file that became a link": lambda home: relink(home / "one"),
    "a mode": lambda home: (home / "one").chmod(0o755),
}


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def swap(path: Path) -> None:
    """Put another file of the same size and time in the place of one."""
    status, other = path.stat(), path.with_name("other")
    other.write_text(path.read_text().swapcase())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def relink(path: Path) -> None:
    path.rename(path.with_name("led"))
    path.symlink_to("led")


def prepare(root: User, home: Path) -> Path:
    write_tiny(home / "base.tar", ("sh", "cat"))
    (home / "plugin.py").write_text(PLUGIN)
    (home / "one").write_text("one")
    for name in ("data", "seen", "gates"):
        (home / name).mkdir()
    (home / "data" / "file").write_text("data")
    (home / "seen" / "file").write_text("seen")
    for name in ("begun", "go"):
        os.mkfifo(home / "gates" / name)
    root.home = home
    root.recipe(RECIPE)
    return home


@pytest.fixture(params=["root", "ranged", "bare"])
def whose(
    request: pytest.FixtureRequest, make_user: Callable[[str, bool], User], tmp_path: Path
) -> Iterator[User]:
    """Root, a user with a range of ids and one without, at home in `tmp_path`, with an empty cache."""
    kind = str(request.param)
    user = request.getfixturevalue("root") if kind == "root" else make_user(f"keys{kind}", kind == "ranged")
    user.env["HOME"] = str(Path.home() if kind == "root" else user.home)
    user.home, user.cache = tmp_path, tmp_path / "cache"  # a step that another test made would not run
    yield user
    user.clear_images(tmp_path)


@pytest.fixture
def home(whose: User, tmp_path: Path) -> Path:
    prepare(whose, tmp_path)
    if whose.name != "root":
        subprocess.run(["chown", "-R", f"{whose.name}:", tmp_path], check=True)
    return tmp_path


def during(root: User, home: Path, edit: Callable[[Path], object] | None = None) -> tuple[int, str]:
    """Build, and have `edit` done while the step runs; return the exit code and what was said."""
    build = root.start("recipe", "recipe.toml", "--output", "oci:out")

    def act() -> None:
        if (home / "gates" / "begun").read_text() == "begun\n":
            if edit:
                edit(home)
            (home / "gates" / "go").write_text("go")

    acting = threading.Thread(target=act, daemon=True)
    acting.start()
    said = build.communicate(timeout=300)
    with suppress(OSError):  # the step may not have run: then nobody writes but us
        gate = os.open(home / "gates" / "begun", os.O_WRONLY | os.O_NONBLOCK)
        os.write(gate, b"end")
        os.close(gate)
    acting.join(60)
    return build.returncode, "".join(said)


@pytest.mark.build
@pytest.mark.parametrize("name", ["the recipe", "the local plugin"])
def test_what_is_edited_while_a_step_runs_is_not_called_up_to_date(
    whose: User, home: Path, name: str
) -> None:
    code, said = during(whose, home, EDITS[name])
    assert code == 0, said
    code, said = during(whose, home)
    assert code == 0, said
    assert "up to date" not in said


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_every_edit_of_an_input_is_noticed(tmp_path: Path, edit: Callable[[Path], object]) -> None:
    """Also one that is made before the input is known as such, and one that is undone."""
    for name in ("recipe.toml", "one", "base.tar", "plugin.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "data").mkdir()
    inputs = [
        tmp_path / name for name in ("recipe.toml", "one", "data", "base.tar", "plugin.py", "avabuild.toml")
    ]
    settled(inputs)
    noted, late = Watch(), Watch()
    noted.note(inputs)
    assert all(map(noted.unchanged, inputs))
    edit(tmp_path)
    assert not all(map(noted.unchanged, inputs))
    assert not all(map(late.unchanged, inputs))


def settled(paths: list[Path]) -> None:
    """Wait until another write of the files has another time."""
    while not all(is_settled(path.stat()) for path in paths if path.exists()):
        time.sleep(0.01)


@pytest.mark.build
def test_a_mount_that_changes_while_its_step_runs_fails_the_build_and_nothing_is_kept(
    whose: User, home: Path
) -> None:
    code, said = during(whose, home, lambda home: append(home / "seen" / "file", "more"))
    assert code == 15, said
    assert "the mount ./seen changed while the step ran: nothing of the step is kept" in said
    (home / "seen" / "file").write_text(home.name)
    begun = []
    code, said = during(whose, home, lambda _: begun.append("it ran"))
    assert (code, begun) == (0, ["it ran"]), said
    assert "up to date" in during(whose, home)[1]


def test_an_input_is_the_same_by_every_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("file")
    settled([Path("file")])
    watch = Watch()
    watch.note([Path("file")])
    assert watch.unchanged(tmp_path / "file")


MUTATIONS = {
    **EDITS,
    "a mount": lambda home: append(home / "seen" / "file", "more"),
    "a file more in a mount": lambda home: (home / "seen" / "more").write_text("more"),
    "the mode of a mount's directory": lambda home: (home / "seen").chmod(0o700),
    "the owner of a mount's file": lambda home: os.chown(home / "seen" / "file", 33, 33),
}
TIMES = ("before", "during", "after")


@pytest.mark.build
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(st.sampled_from(sorted(MUTATIONS)), st.sampled_from(TIMES), min_size=1, max_size=4))
def test_a_warm_run_makes_what_a_run_with_an_empty_cache_makes(
    root: User, tmp_path: Path, when: dict[str, str]
) -> None:
    place = Path(tempfile.mkdtemp(dir=tmp_path))
    home, root.cache = prepare(root, place), place / "cache"

    def mutate(time: str) -> None:
        for name in (name for name, its in when.items() if its == time):
            MUTATIONS[name](home)

    def build(edit: Callable[[Path], object] | None = None) -> str:
        code, said = during(root, home, edit)
        return re.findall("sha256:[0-9a-f]{64}", said)[-1] if code == 0 else f"{code}: {said}"

    build()
    mutate("before")
    build(lambda _: mutate("during"))
    mutate("after")
    warm = build()
    root.cache = place / "empty"
    (home / "recipe.lock").unlink()
    assert warm == build()
    assert warm.startswith("sha256:")


def test_a_wheel_that_is_another_one_now_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "a-1-py3-none-any.whl"
    source.write_bytes(b"one")
    package = Package(
        name="a", version="1", kind="file", filename=source.name, sha256=sha256(b"one").hexdigest()
    )
    fetcher = Fetcher(tmp_path / "wheels", Indexes(), lambda _: {})
    kept = fetcher.keep(package, source)
    source.write_bytes(b"two")
    assert fetcher.keep(package, source) == kept
    assert kept.read_bytes() == b"one"
    kept.unlink()
    with pytest.raises(ChangedError, match="changed since its packages were resolved"):
        fetcher.keep(package, source)
    assert not [path for path in kept.parent.iterdir() if path.name != ".lock"]
