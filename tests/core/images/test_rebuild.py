from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile

import pytest

from avabuild.common.errors import ImageError
from avabuild.images.description import describe
from avabuild.images.export.apptainer import definition
from avabuild.images.export.containerfile import containerfile
from avabuild.images.export.export import export
from avabuild.images.export.rebuild import Rebuild, Shell, Unpack, rebuild
from avabuild.images.find import find
from avabuild.plan.labels import EXPORTED, FORMAT_LABEL, MOST
from avabuild.plan.labels import LOCK as LOCK_LABEL
from avabuild.resolve.lock import Package

from .conftest import LOCK, RECIPE

NAME = "localhost/ava-demo:py311-cuda90-cudnn7"


@pytest.fixture
def exported(store, storage, make_image, tmp_path):
    """Return a function that exports the image of `make_image` and returns the directory."""

    def make(kind="containerfile", **changes):
        storage.add(make_image(**changes), store, NAME)
        out = tmp_path / "out"
        export(find(NAME, storage, store), kind, out, storage, store)
        return out

    return make


def test_the_containerfile_pins_every_version_and_hash(exported):
    out = exported()
    text = (out / "Containerfile").read_text()
    assert "FROM scratch AS below\n# base\nADD layers/01-base.tar.gz /\n" in text
    steps = {path.name: path.read_text() for path in (out / "steps").iterdir()}
    assert "tree=2.1.0-1" in steps["03-apt-packages.sh"]
    step = steps["04-run-1-last-echo-made-made.sh"]
    assert step.endswith("export A='b c'\necho made > /made\n")
    assert step.startswith("export PATH="), "it sees the image's environment"
    requirements = (out / "requirements" / "requirements.txt").read_text()
    assert f"six==1.17.0 \\\n    --hash=sha256:{'5' * 64}\n" in requirements
    assert "--require-hashes" in steps["01-wheels-by-hash.sh"]


def test_every_step_of_it_is_a_shell_text(exported):
    for step in (exported() / "steps").iterdir():
        subprocess.run(["sh", "-n", step], check=True)


def test_secrets_are_asked_of_whoever_builds_and_settings_are_quoted(exported):
    text = (exported() / "Containerfile").read_text()
    assert '--mount=type=secret,id=TOKEN TOKEN="$(cat /run/secrets/TOKEN)" sh -e' in text
    assert 'ENV A="\\"\\$x\\\\"\n' in text


def test_a_certificate_is_a_secret_of_the_steps_that_ask_mirrors_and_indexes(exported):
    out = exported()
    text = (out / "Containerfile").read_text()
    assert "--secret id=ca,src=FILE" in text.split("FROM")[0]
    runs = {line.rpartition("/")[2]: line for line in text.splitlines() if line.startswith("RUN ")}
    asking = {name for name, line in runs.items() if "--mount=type=secret,id=ca,mode=0444 " in line}
    assert asking == {"01-wheels-by-hash.sh", "03-apt-packages.sh"}
    steps = {path.name: path.read_text() for path in (out / "steps").iterdir()}
    assert "PIP_CERT=/run/secrets/ca" in steps["01-wheels-by-hash.sh"]
    assert all("Acquire::https::CaInfo=/run/secrets/ca" in steps[name] for name in asking)


def test_an_exported_containerfile_describes_what_is_built_of_it(exported):
    many = tuple(Package(name=f"é{n}", version='1"$\\', sha256="1" * 64) for n in range(200))
    lock = LOCK.model_copy(update={"python": (*LOCK.python, *many)})
    text = (exported(lock=lock) / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if line.startswith("LABEL ")]
    words = [word[1:-1] for line in lines for word in re.findall(r'"(?:[^"\\]|\\.)*"', line)]
    plain = [re.sub(r"\\(.)", r"\1", word) for word in words]
    labels = dict(zip(plain[::2], plain[1::2], strict=True))
    assert all(len(f"{name}{value}".encode()) <= MOST for name, value in labels.items())
    about = describe({"config": {"Labels": labels}, "rootfs": {"diff_ids": []}})
    assert about.own
    assert about.lock == lock
    assert about.recipe == json.loads(json.dumps(RECIPE))
    assert about.exported == "ava-demo:py311-cuda90-cudnn7"


def test_what_was_built_of_an_export_is_not_exported_as_if_it_were_the_image():
    entries = ["/bin/sh -c #(nop) ADD", "/bin/sh -c sh -e /run/export/steps/03-apt-packages.sh"]
    config = {
        "config": {"Labels": {FORMAT_LABEL: "2", EXPORTED: "demo:1", LOCK_LABEL: LOCK.model_dump_json()}},
        "history": [{"created_by": entry} for entry in entries],
        "rootfs": {"diff_ids": ["sha256:1", "sha256:2"]},
    }
    about = describe(config)
    assert [layer.name for layer in about.layers] == ["base", "apt-packages"]
    with pytest.raises(ImageError, match="exported Containerfile of demo:1"):
        rebuild(about, "mine:1")


def test_the_definition_takes_the_same_steps_from_an_archive_of_the_base(exported):
    out = exported("def")
    text = (out / "image.def").read_text()
    assert text.count("Bootstrap: oci-archive\nFrom: base.tar\n") == 2
    assert text.index("03-apt-packages.sh") < text.index("04-run-1") < text.index("%environment")
    assert "%files from wheels" in text
    with tarfile.open(out / "base.tar") as tar:
        index = json.load(io.TextIOWrapper(tar.extractfile("index.json")))
        names = tar.getnames()
    assert f"blobs/sha256/{index['manifests'][0]['digest'].removeprefix('sha256:')}" in names


def test_an_image_base_is_named(store, storage, make_image, monkeypatch, tmp_path):
    monkeypatch.setitem(RECIPE, "base", {"image": "registry.example.com/base:1"})
    storage.add(make_image(), store, NAME)
    export(find(NAME, storage, store), "containerfile", tmp_path / "a", storage, store)
    export(find(NAME, storage, store), "def", tmp_path / "b", storage, store)
    assert "FROM registry.example.com/base:1 AS below\nARG" in (tmp_path / "a" / "Containerfile").read_text()
    assert not (tmp_path / "a" / "layers").exists()
    assert (
        "Bootstrap: docker\nFrom: registry.example.com/base:1\n" in (tmp_path / "b" / "image.def").read_text()
    )
    assert not (tmp_path / "b" / "base.tar").exists()


def test_a_step_with_a_privilege_is_known_by_its_name(store, storage, make_image):
    storage.add(make_image(how="last, userns"), store, NAME)
    made = rebuild(find(NAME, storage, store).description, NAME)
    step = (*made.below, *made.above)[-1]
    assert step.text == "export A='b c'\necho made > /made"


def described(store, storage, make_image, lock):
    storage.add(make_image(lock=lock), store, NAME)
    return find(NAME, storage, store).description


def test_what_has_no_pins_is_taken_from_the_image(store, storage, make_image):
    apt = LOCK.apt[0].model_copy(update={"repositories": ("nvidia (ABC)",)})
    own = Package(name="mine", version="1", kind="file", path="mine-1-py3-none-any.whl")
    lock = LOCK.model_copy(update={"apt": (apt,), "python": (*LOCK.python, own)})
    made = rebuild(described(store, storage, make_image, lock), NAME)
    assert made.wheels is None
    assert [type(step) for step in made.below] == [Unpack, Unpack, Shell]
    assert "the recipe's own mine is in no index" in made.below[0].words
    assert "nvidia (ABC)" in made.below[1].words


def test_repositories_and_sources_are_built_with_a_compiler(store, storage, make_image):
    git = Package(name="tool", version="1", kind="git", url="https://example.invalid/t.git", commit="c" * 40)
    lock = LOCK.model_copy(update={"python": (*LOCK.python, git)})
    wheels = rebuild(described(store, storage, make_image, lock), NAME).wheels
    assert (
        "repositories.txt",
        f"tool @ git+https://example.invalid/t.git@{'c' * 40}\n",
    ) in wheels.requirements
    assert "build-essential" in wheels.make
    assert "tool" not in wheels.requirements[0][1]


def test_removals_of_a_layer_become_a_step(store, storage, make_image, keep_layer, tmp_path, monkeypatch):
    from avabuild.images.export import export as exporting
    from avabuild.layer.packages import Layer

    layer = keep_layer({"etc/motd": None, "etc/a": b"a", "opt/.wh..wh..opq": b""})
    name, removed = exporting._place(
        Layer(layer.diff_id, store.blob_path(layer.digest)), tmp_path, "layers/1.tar"
    )
    assert removed == ["/etc/motd", "/opt"]
    with tarfile.open(tmp_path / name) as tar:
        assert tar.getnames() == ["etc/a"]


def test_a_directory_that_holds_something_is_left_alone(store, storage, make_image, tmp_path):
    storage.add(make_image(), store, NAME)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(ImageError, match="is there already"):
        export(find(NAME, storage, store), "containerfile", tmp_path / "out", storage, store)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_image_of_another_tool_is_not_exported_as_a_recipe(exported):
    with pytest.raises(ImageError, match="another tool made it"):
        exported(own=False)


@pytest.mark.parametrize("value", ["a\nb'\"$x\\n ä\n", "plain", "%post\n\\0101 q", ""])
def test_values_of_any_kind_are_what_they_were_for_the_shell_of_a_definition(value):
    config = {"config": {"Env": [f"A={value}"]}}
    text, _ = definition(Rebuild("base", (), (), None, ()), config, {}, "image:latest")
    section = text[text.index("%environment\n") :].partition("\n")[2].partition("\n\n%labels")[0]
    assert not any(line.startswith("%") for line in section.splitlines()), "no other section"
    said = subprocess.run(
        ["sh", "-c", section + '\nprintf %s "$A"'], capture_output=True, text=True, check=True
    )
    assert said.stdout == value


def test_a_containerfile_says_which_values_it_cannot():
    config = {"config": {"Env": ["A=b\nRUN evil", "B=$c"]}}
    text, _ = containerfile(Rebuild("base", (), (), None, ()), config, {}, "image:latest")
    assert "RUN evil" not in text
    assert "# A has several lines" in text
    assert 'ENV B="\\$c"' in text
