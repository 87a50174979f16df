"""Registries, end to end: what is pushed is what was built, and a second machine need not build it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from avabuild.host.host import ca_bundle

if TYPE_CHECKING:
    from .origins import Index
    from .user import User

pytestmark = pytest.mark.build

SMALL = """
    name = "ava-test-small"
    base = { archive = "base.tar" }
    [matrix]
    python = ["3.11"]
    [packages]
    pip = ["avatestsmall"]
    [[files]]
    source = "motd"
    target = "/etc/motd"
"""


def wheel(directory: Path, name: str = "avatestsmall") -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    about = {
        f"{name}.py": "WORDS = 'from a wheel'\n",
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as file:
        for inner, text in about.items():
            file.writestr(zipfile.ZipInfo(inner), text)  # dated alike: uv may know an index of this port
    return path


def base(path: Path, size: int = 0) -> None:
    """Write a root file system that says that it has Python, and `size` bytes that no compression makes less."""
    with tarfile.open(path, "w") as tar:
        files = {"etc/os-release": b"ID=test\n", "usr/bin/python3.11": b"", "heavy": os.urandom(size)}
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def pusher(root: User, index: Index, tmp_path: Path, distribution: Any) -> User:
    """Somebody with an index, a base, a password, and a cache of their own."""
    (tmp_path / "files").mkdir()
    for name in ("avatestsmall", "pip"):
        index.add(name, wheel(tmp_path / "files", name))
    base(tmp_path / "base.tar")
    (tmp_path / "motd").write_text("hello")
    root.env |= {"UV_DEFAULT_INDEX": index.url, **trusting(distribution, tmp_path)}
    root.cache = tmp_path / "cache"
    return root


def trusting(distribution: Any, place: Path) -> dict[str, str]:
    """What makes a host trust the registry beside all else."""
    bundle = place / "bundle.pem"
    own = ca_bundle(os.environ)
    bundle.write_bytes((own.read_bytes() if own else b"") + (distribution.keys / "ca.crt").read_bytes())
    return {**distribution.environment, "SSL_CERT_FILE": str(bundle)}


@pytest.fixture
def small(pusher: User) -> Path:
    return pusher.recipe(SMALL)


def digest(name: str, user: User) -> str:
    """Ask skopeo for a digest: it knows the password and the certificate by the same files."""
    _, env = user.command()
    env["PATH"] = os.environ["PATH"]
    shown = subprocess.run(
        ["skopeo", "inspect", f"docker://{name}"], env=env, capture_output=True, text=True, check=True
    )
    return str(json.loads(shown.stdout)["Digest"])


@pytest.mark.parametrize("committed", [False, True], ids=["no lock", "a committed lock"])
def test_a_variant_that_the_registry_has_is_not_built(
    pusher: User, small: Path, distribution: Any, tmp_path: Path, committed: bool
) -> None:
    """And no tool is needed to push what is made of files."""
    pusher.env["PATH"] = str(tmp_path / "no-tools")
    lock = small.with_suffix(".lock")
    if committed:
        assert pusher.avabuild("lock", small).code == 0
    before = lock.read_bytes() if committed else b""
    to = ("--push", f"{distribution.host}/skip-{committed}".lower())
    first = pusher.avabuild("recipe", small, *to, "--json")
    assert first.code == 0, first.err
    name = f"{to[1]}/ava-test-small"
    assert first.image["pushed"] == f"{name}@{first.image['digest']}"
    assert first.image["uploaded"]
    assert digest(f"{name}:py311-cpu", pusher) == first.image["digest"]
    again = pusher.avabuild("recipe", small, *to, "--json")
    assert (again.code, again.image["up_to_date"], again.image["made"]) == (0, True, [])
    assert again.image["digest"] == first.image["digest"]
    forced = pusher.avabuild("recipe", small, *to, "--force", "--json")
    assert ("up_to_date" in forced.image, forced.image["uploaded"]) == (False, 0)
    assert not committed or lock.read_bytes() == before


@pytest.mark.parametrize("change", ["content", "label", "wheel"])
def test_what_changes_is_built_and_only_that_is_sent(
    pusher: User, index: Index, distribution: Any, tmp_path: Path, change: str
) -> None:
    to = ("--push", f"{distribution.host}/change-{change}")
    first = pusher.avabuild("recipe", pusher.recipe(SMALL), *to, "--json")
    assert first.code == 0, first.err
    index.add("avatestother", wheel(tmp_path / "files", "avatestother"))
    text = {
        "content": SMALL,
        "label": SMALL + '    [image]\n    labels = { owner = "ava" }\n',
        "wheel": SMALL.replace('"avatestsmall"', '"avatestsmall", "avatestother"'),
    }[change]
    if change == "content":
        (tmp_path / "motd").write_text("goodbye")
    second = pusher.avabuild("recipe", pusher.recipe(text), *to, "--json")
    assert second.code == 0, second.err
    made = {"content": ["files"], "label": [], "wheel": ["wheels of packages", "bytecode of packages"]}[
        change
    ]
    assert [name.partition(":")[0] for name in second.image["made"]] == made  # type: ignore[attr-defined]
    assert "up_to_date" not in second.image
    (finished,) = [
        e for e in second.events if str(e.get("step", "")).startswith("push ") and e["event"] == "finish"
    ]
    text = str(finished["text"])
    assert text.startswith(f"{len(made)} of ") if made else text == "all layers were there"


def test_a_second_machine_builds_from_the_cache_alone(
    pusher: User, small: Path, distribution: Any, tmp_path: Path
) -> None:
    cache = ("--cache", f"{distribution.host}/layers/cache")
    first = pusher.avabuild("recipe", small, "--output", "oci:first", *cache, "--json")
    assert first.code == 0, first.err
    pusher.cache = tmp_path / "other"
    pusher.env |= {"PATH": str(tmp_path / "no-tools"), "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    second = pusher.avabuild("recipe", small, "--output", "oci:second", *cache, "--json")
    assert second.code == 0, second.err
    assert second.image["digest"] == first.image["digest"]
    begun = [str(event["step"]) for event in second.events if event["event"] == "start"]
    assert [step for step in begun if step.startswith(("layer ", "compile ", "import "))] == []
    assert [event["text"] for event in second.events if event["event"] == "warn"] == []
    assert not list((tmp_path / "other" / "wheels").glob("**/*.whl"))


def test_a_build_does_without_a_cache_that_is_down(pusher: User, small: Path) -> None:
    outcome = pusher.avabuild(
        "recipe", small, "--output", "oci:out", "--cache", "127.0.0.1:9/ns/cache", "--json"
    )
    assert outcome.code == 0, outcome.err
    (warning,) = [event["text"] for event in outcome.events if event["event"] == "warn"]
    assert "127.0.0.1:9/ns/cache is left alone" in str(warning)


def test_what_stands_in_the_way_is_said_and_a_repeat_finishes(
    pusher: User, small: Path, make_distribution: Callable[..., Any], tmp_path: Path
) -> None:
    registry = make_distribution(certificate="expired")
    registry.start()
    pusher.env |= trusting(registry, tmp_path)
    to = ("--push", f"{registry.host}/ns")
    expired = pusher.avabuild("recipe", small, *to)
    assert (expired.code, "certificate has expired" in expired.err) == (77, True)
    registry.stop()
    registry.certificate = "good"
    registry.start(maintenance={"readonly": {"enabled": True}})
    closed = pusher.avabuild("recipe", small, *to)
    assert (closed.code, "it is read-only" in closed.err) == (77, True)
    pusher.env["REGISTRY_AUTH_FILE"] = str(registry.auth_file("wrong"))
    wrong = pusher.avabuild("recipe", small, *to)
    assert (wrong.code, "doesn't accept the password of ava" in wrong.err) == (77, True)
    pusher.env["REGISTRY_AUTH_FILE"] = str(registry.auth_file())
    registry.stop()
    registry.start()
    finished = pusher.avabuild("recipe", small, *to, "--json")
    assert (finished.code, finished.image["made"]) == (0, [])
    assert "Traceback" not in expired.err + closed.err + wrong.err


def test_a_registry_that_goes_down_in_mid_push_gets_the_rest_when_it_is_back(
    pusher: User, small: Path, make_distribution: Callable[..., Any], tmp_path: Path
) -> None:
    base(tmp_path / "base.tar", 40_000_000)
    registry = make_distribution()
    registry.start()
    pusher.env |= trusting(registry, tmp_path)
    build = ("recipe", small, "--push", f"{registry.host}/ns", "--json")
    with pusher.start(*map(str, build)) as running:
        assert running.stdout
        for line in running.stdout:
            event = json.loads(line)
            if event.get("text") == "upload" and 2_000_000 < event.get("done", 0) < 39_000_000:
                registry.stop()
                break
        _, err = running.communicate()
    assert (running.returncode, "doesn't answer" in err) == (75, True), err
    assert "what has arrived is not sent again" in err
    registry.start()
    assert not (
        registry.storage / "docker/registry/v2/repositories/ns/ava-test-small/_manifests/tags"
    ).exists()
    again = pusher.avabuild(*build)
    assert (again.code, again.image["made"]) == (0, []), again.err
    assert digest(f"{registry.host}/ns/ava-test-small:py311-cpu", pusher) == again.image["digest"]


def test_a_full_disk_of_the_registry_is_said_and_a_bigger_one_gets_the_image(
    pusher: User, small: Path, make_distribution: Callable[..., Any], tmp_path: Path, small_disk: Path
) -> None:
    base(tmp_path / "base.tar", 8_000_000)
    registry = make_distribution()
    registry.storage.symlink_to(small_disk)
    registry.start()
    pusher.env |= trusting(registry, tmp_path)
    build = ("recipe", small, "--push", f"{registry.host}/ns", "--json")
    full = pusher.avabuild(*build)
    assert (full.code, f"{registry.host} has no space left" in full.err) == (12, True), full.err
    assert "Traceback" not in full.err
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    again = pusher.avabuild(*build)
    assert (again.code, again.image["made"]) == (0, []), again.err
    assert digest(f"{registry.host}/ns/ava-test-small:py311-cpu", pusher) == again.image["digest"]


def test_an_image_comes_back_as_it_was_pushed_and_passes_its_checks(
    root: User, distribution: Any, tmp_path: Path
) -> None:
    root.env |= trusting(distribution, tmp_path)
    recipe = root.recipe("""
        name = "ava-test-pushed"
        base = { debian = "bookworm" }
        [frameworks]
        python = "*"
    """)
    namespace = f"{distribution.host}/back"
    built = root.avabuild("recipe", recipe, "--push", namespace, "--output", "storage", "--json")
    assert built.code == 0, built.err
    assert any(str(event.get("step")).startswith("check ") for event in built.events)
    local = "localhost/ava-test-pushed:py311-cpu"
    identity = root.buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", local).strip()
    assert exported(root, local, "before.tar") == built.image["digest"]

    for options, checked in (((), False), (("--check",), True)):
        further = root.avabuild(
            "recipe", recipe, "--push", f"{distribution.host}/further", "--force", "--json", *options
        )
        assert further.image["digest"] == built.image["digest"]
        steps = [str(event.get("step")) for event in further.events]
        assert any(step.startswith(("check ", "import ")) for step in steps) == checked, steps

    named = f"{distribution.host}/elsewhere/ava-test-pushed"
    tagged = root.avabuild("tag", "ava-test-pushed:py311-cpu", named)
    assert (tagged.code, tagged.out) == (0, f"{named}:py311-cpu\n"), tagged.err
    pushed = root.avabuild("push", f"{named}:py311-cpu", "--json")
    assert pushed.code == 0, pushed.err
    assert pushed.events[-1]["digest"] == built.image["digest"]
    assert (pushed.events[-1]["sent"], pushed.events[-1]["mounted"]) == (0, pushed.events[-1]["layers"])

    manifest = distribution.manifest("back/ava-test-pushed:py311-cpu")
    blob = root.cache / "blobs" / "sha256" / manifest["layers"][-1]["digest"].removeprefix("sha256:")
    aside = blob.rename(blob.with_name("aside"))
    lost = root.avabuild("push", f"{named}:py311-cpu", f"{distribution.host}/other", "--json")
    aside.rename(blob)
    assert lost.code == 0, lost.err
    assert [event for event in lost.events if "compress" in str(event.get("step"))]
    assert str(lost.events[-1]["pushed"]).startswith(f"{distribution.host}/other/ava-test-pushed")

    root.buildah("rmi", local, f"{named}:py311-cpu")
    pinned = str(built.image["pushed"])
    assert root.buildah("pull", "--quiet", pinned).strip() == identity
    root.buildah("tag", identity, local)
    checked = root.avabuild("check", local)
    assert checked.code == 0, checked.err
    assert digest(pinned, root) == built.image["digest"]
    assert exported(root, local, "after.tar") == built.image["digest"]


def exported(user: User, image: str, file: str) -> str:
    """Export an image as an archive; return the digest that is in there."""
    done = user.avabuild("export", image, "--format", "oci-archive", "-o", file)
    assert done.code == 0, done.err
    told = json.loads(user.avabuild("inspect", f"oci-archive:{file}", "--json").out)
    return str(told["digest"])


def test_a_foreign_image_is_pushed_too(root: User, distribution: Any, tmp_path: Path) -> None:
    root.env |= trusting(distribution, tmp_path)
    container = root.buildah("from", "scratch").strip()
    root.buildah("config", "--label", "made=elsewhere", container)
    root.buildah("commit", "--rm", "--quiet", container, "localhost/ava-test-foreign:1")
    name = f"{distribution.host}/foreign/image"
    outcome = root.avabuild("push", "ava-test-foreign:1", f"{name}:1")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{name}@{digest(f'{name}:1', root)}\n"
    again = root.avabuild("push", "ava-test-foreign:1", f"{name}:1", "--json")
    assert again.events[-1]["pushed"] == outcome.out.strip()
    assert not [event for event in again.events if "compress" in str(event.get("step"))]


def test_a_push_of_what_is_not_there_says_what_is(root: User, distribution: Any) -> None:
    outcome = root.avabuild("push", "ava-test-nothing", f"{distribution.host}/x/y")
    assert (outcome.code, "there is no image ava-test-nothing" in outcome.err) == (14, True)
    nowhere = root.avabuild("push", "ava-test-nothing")
    assert (nowhere.code, "there is no image ava-test-nothing" in nowhere.err) == (14, True)
