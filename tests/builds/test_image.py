"""A small image with everything in it: what is inside, and what a second build does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

CHANGED = ("/etc/note/note.txt", "/tmp/ava-note", "/usr/bin/ava-note")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
pytestmark = pytest.mark.build

SMALL = """
    name = "ava-test-small"
    base = { debian = "bookworm" }
    [packages]
    pip = ["six", "requests"]
    apt = ["tree"]
    [[files]]
    source = "note.txt"
    target = "/etc/note/"
    mode = "0600"
    owner = "7:8"
    [[files]]
    source = "note.txt"
    target = "/tmp/ava-note"
    [[files]]
    source = "note.txt"
    target = "/bin/ava-note"
    [[run]]
    shell = "id -u > /who; useradd -m carol; touch /home/carol/x; chown carol /home/carol/x"
    env = { GREETING = "hello" }
    [image]
    env = { COLOUR = "blue" }
    labels = { "org.example.team" = "lab" }
    workdir = "/srv"
    cmd = ["tree", "--version"]
"""


@pytest.fixture
def small(builder: User) -> str:
    (builder.home / "note.txt").write_text("remember\n")
    return str(builder.recipe(SMALL))


def test_a_small_image_holds_what_was_asked_for_and_nothing_of_the_host(builder: User, small: str) -> None:
    outcome = builder.avabuild("recipe", small, "--json")
    assert outcome.code == 0, outcome.err
    image = outcome.image
    assert image["reference"] == "localhost/ava-test-small:py311-cpu"
    look = builder.inside(
        str(image["reference"]),
        """
        cat /who /etc/note/note.txt; stat -c '%a %u %g' /etc/note/note.txt; stat -c '%a %F' /tmp /bin; cat /usr/bin/ava-note; pwd; echo $COLOUR-$GREETING
        stat -c %U /home/carol/x; tree --version; pip list --format=freeze; pip check
        python -c 'import requests; print(requests.__cached__)'
        pip uninstall -y six; python -c 'import six' 2>&1 | tail -n 1; find /opt/venv -name '*six*'
        """,
    )
    owner, carol = ("7 8", "carol") if builder.owners else ("0 0", "root")  # as the storage can have them
    for expected in (
        f"0\nremember\n600 {owner}\n1777 directory\n777 symbolic link\nremember\n/srv\nblue-\n",
        f"{carol}\n",
        "tree v2",
        "requests==",
        "pip==",
        "No broken requirements found.",
        "requests/__pycache__/__init__.cpython-311.pyc",
        "Successfully uninstalled six",
        "No module named 'six'\n",
    ):
        assert expected in look, look
    assert look.endswith("No module named 'six'\n"), "pip uninstall left files of six behind"
    litter = builder.inside(
        str(image["reference"]),
        "rm /tmp/ava-note; find /run /tmp /var/tmp /var/log /var/cache/apt /var/lib/apt/lists -type f -size +0 | grep -v containerenv;"
        "ls -A /run/avabuild* 2>/dev/null; find / -xdev -name '*.deb'; true",
    )
    assert litter == ""
    assert builder.leftovers() == []


@pytest.mark.one_builder
def test_no_layer_holds_certificates_indexes_or_variables_of_the_host(
    builder: User, small: str, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    mark = "# avabuild-test-authority-mark"
    bundle.write_text(f"{CERTIFICATES.read_text()}\n{mark}\n")
    builder.env |= {
        "SSL_CERT_FILE": str(bundle),
        "PIP_EXTRA_INDEX_URL": "file:///nonexistent-index-mark/simple",
    }
    builder.env |= {"https_proxy": "", "no_proxy": "no-proxy-mark.example.invalid"}
    (builder.home / "recipe.toml").write_text(
        (builder.home / "recipe.toml").read_text().replace("ava-test-small", "ava-test-grep")
    )
    outcome = builder.avabuild("recipe", small, "--json")
    assert outcome.code == 0, outcome.err
    found = builder.inside(
        str(outcome.image["reference"]),
        "grep -rlE 'avabuild-test-authority-mark|nonexistent-index-mark|no-proxy-mark' / --exclude-dir=proc --exclude-dir=sys"
        " --exclude-dir=dev 2>/dev/null; true",
    )
    assert found == ""
    inspected = builder.buildah("inspect", "--type", "image", str(outcome.image["reference"]))
    assert "index-mark" not in inspected
    assert "no-proxy-mark" not in inspected


@pytest.mark.one_builder
def test_labels_say_what_the_image_is(builder: User, small: str) -> None:
    outcome = builder.avabuild("recipe", small, "--json")
    inspected = json.loads(builder.buildah("inspect", "--type", "image", str(outcome.image["reference"])))
    config = inspected["OCIv1"]["config"]
    assert config["Labels"]["org.example.team"] == "lab"
    assert config["Labels"]["org.opencontainers.image.title"] == "ava-test-small"
    assert json.loads(config["Labels"]["org.avabuild.recipe"])["packages"]["apt"] == ["tree"]
    assert config["Cmd"] == ["tree", "--version"]
    assert inspected["ImageAnnotations"]["org.avabuild.target"] == "py311-cpu"
    assert len(inspected["OCIv1"]["rootfs"]["diff_ids"]) <= 40


def test_a_second_build_does_nothing_without_network_tools_or_containers(builder: User, small: str) -> None:
    assert builder.avabuild("recipe", small).code == 0
    builder.env |= {"PATH": "/nonexistent", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    again = builder.avabuild("recipe", small)
    assert again.code == 0, again.err
    assert "nothing to do" in again.out + again.err


def test_layers_that_were_fed_and_an_image_that_was_pulled_are_the_same_to_the_storage(
    builder: User, small: str, tmp_path: Path
) -> None:
    """With the tool that takes single layers, and on a host that has all but it."""
    fed = builder.avabuild("recipe", small, "--json")
    assert fed.code == 0, fed.err
    assert "$ containers-storage import-layer" in logs(builder)
    reference = str(fed.image["reference"])
    stored = builder.buildah("inspect", "--format", "{{.FromImageID}} {{.FromImageDigest}}", reference)
    said = builder.inside(reference, "cat /who")
    builder.buildah("rmi", "--force", reference)
    shutil.rmtree(builder.cache / "logs")
    programs = tmp_path / "programs"
    programs.mkdir()
    for directory in ("/usr/sbin", "/usr/bin"):
        for program in Path(directory).iterdir():
            if program.name != "containers-storage" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    builder.own(programs)
    builder.env["PATH"] = str(programs)
    pulled = builder.avabuild("recipe", small, "--json")
    assert pulled.code == 0, pulled.err
    assert pulled.image["made"] == []
    assert "containers-storage import-layer" not in logs(builder)
    assert pulled.image["digest"] == fed.image["digest"]
    assert (
        builder.buildah("inspect", "--format", "{{.FromImageID}} {{.FromImageDigest}}", reference) == stored
    )
    assert builder.inside(reference, "cat /who") == said
    assert builder.leftovers() == []


def logs(user: User) -> str:
    """What the user's builds have asked of other programs."""
    return "".join(path.read_text() for path in sorted((user.cache / "logs").iterdir()))


def test_a_build_from_the_lock_starts_no_container_and_asks_no_index(builder: User, small: str) -> None:
    assert builder.avabuild("recipe", small).code == 0
    shutil.rmtree(builder.cache / "stamps")
    builder.env |= {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    again = builder.avabuild("recipe", small, "--json", "--locked")
    assert again.code == 0, again.err
    assert again.image["made"] == []


def test_one_more_pip_package_remakes_only_the_layers_of_the_packages(builder: User, small: str) -> None:
    assert builder.avabuild("recipe", small).code == 0
    builder.recipe(
        SMALL.replace('"six", ', '"six", "idna", "toolz", ').replace("[[run]]", '[[run]]\n    name = "x"')
    )
    outcome = builder.avabuild("recipe", small, "--json")
    made = outcome.image["made"]
    assert isinstance(made, list)
    assert [name for name in made if not str(name).startswith("run")] == [
        "wheels of packages",
        "bytecode of packages",
    ]


def test_one_more_apt_package_remakes_no_wheel_layer(builder: User, small: str) -> None:
    assert builder.avabuild("recipe", small).code == 0
    builder.recipe(SMALL.replace('["tree"]', '["tree", "hello"]').partition("[[run]]")[0])
    outcome = builder.avabuild("recipe", small, "--json")
    assert set(outcome.image["made"]) <= {"apt: packages"}  # type: ignore[call-overload]
    assert "Hello, world" in builder.inside(str(outcome.image["reference"]), "hello")


@pytest.mark.one_builder
def test_the_same_lock_gives_the_same_digest_from_an_empty_cache(
    builder: User, small: str, tmp_path: Path
) -> None:
    first = builder.avabuild("recipe", small, "--json")
    assert first.code == 0, first.err
    # With the base alone: it takes half a minute to make.
    builder.empty_cache(tmp_path / "fresh", ("blobs", "index/base", "index/base-name"))
    again = builder.avabuild("recipe", small, "--json", "--locked")
    assert again.code == 0, again.err
    assert len(again.image["made"]) == len(first.image["made"]) + len(first.image["reused"])  # type: ignore[arg-type]
    assert again.image["digest"] == first.image["digest"]


@pytest.mark.one_builder
def test_plan_tells_what_would_be_rebuilt_and_why(builder: User, small: str) -> None:
    assert builder.avabuild("recipe", small).code == 0
    settled = builder.avabuild("plan", small, "--json")
    assert {row["state"] for row in json.loads(settled.out)[0]["forecast"]} == {"cached"}
    (builder.home / "note.txt").write_text("another\n")
    changed = json.loads(builder.avabuild("plan", small, "--json").out)[0]["forecast"]
    rows = {row["name"]: row for row in changed if row["state"] != "cached"}
    assert rows["files: recipe"]["why"] == [f"{path} changed" for path in CHANGED]
    assert next(row["why"] for name, row in rows.items() if name.startswith("run")) == ["below changed"]
    assert len(rows) == 2
