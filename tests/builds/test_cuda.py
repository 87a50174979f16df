"""CUDA's runtime from each place that a site may have it, with real libraries; and what is said without it."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .origins import Repo
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.one_builder]

STEMS = ("cudart", "cublas", "cufft", "curand", "cusolver", "cusparse", "nvrtc")
SONAMES = (*(f"lib{stem}.so.9.0" for stem in STEMS), "libcudnn.so.7")
Make = Callable[..., bytes]


def recipe(user: User, options: str, *, base: str = '{ debian = "bookworm" }', more: str = "") -> Path:
    return user.recipe(f"""
        name = "ava-test-cuda"
        base = {base}
        [matrix]
        device = ["cuda9.0-cudnn7"]
        [frameworks]
        cuda = {options}
        {more}
    """)


@pytest.fixture
def toolkit(tmp_path: Path, shared_object: Make) -> Path:
    """An installed toolkit: versioned libraries with links, and what no image should take of it."""
    lib = tmp_path / "cuda-9.0" / "lib64"
    (lib / "stubs").mkdir(parents=True)
    for soname in SONAMES:
        (lib / f"{soname}.176").write_bytes(shared_object(soname, ("libc.so.6",)))
        (lib / soname).symlink_to(f"{soname}.176")
        (lib / f"{soname.split('.so')[0]}_static.a").write_bytes(b"!<arch>\n")
    (lib / "stubs" / "libcuda.so").write_bytes(shared_object("libcuda.so.1"))
    (lib / "libnppi.so.9.0").write_bytes(shared_object("libnppi.so.9.0"))
    return lib


def test_a_directory_of_this_host_becomes_a_layer_by_content(builder: User, toolkit: Path) -> None:
    with (toolkit / "libcudart.so.9.0.176").open("ab") as library:
        library.write(os.urandom(16))  # the tests' store may know the files of an earlier run
    outcome = builder.avabuild("recipe", recipe(builder, f'{{ directory = "{toolkit}" }}'), "--json")
    assert outcome.code == 0, outcome.err
    assert "files: cuda" in outcome.image["made"]  # type: ignore[operator]
    assert outcome.image["driver"] == "384.81"
    said = builder.inside(str(outcome.image["reference"]), "ls /usr/local/cuda/lib64; echo $LD_LIBRARY_PATH")
    assert said.split()[-1] == "/usr/local/cuda/lib64"
    assert set(said.split()[:-1]) == {*SONAMES, *(f"{soname}.176" for soname in SONAMES)}
    moved = builder.home / "moved"
    shutil.copytree(toolkit, moved, symlinks=True)
    again = builder.avabuild("recipe", recipe(builder, f'{{ directory = "{moved}" }}'), "--json")
    assert again.image["digest"] != outcome.image["digest"], "the recipe is in the labels"
    assert again.image["made"] == [], "the files are those of before, wherever they are"
    with (moved / "libcudart.so.9.0.176").open("ab") as library:
        library.write(b"x")
    changed = builder.avabuild("recipe", builder.home / "recipe.toml", "--json")
    assert changed.image["made"] == ["files: cuda"]


def test_a_library_that_the_directory_lacks_is_named_before_anything_is_made(
    builder: User, toolkit: Path
) -> None:
    (toolkit / "libcusolver.so.9.0").unlink()
    outcome = builder.avabuild("recipe", recipe(builder, f'{{ directory = "{toolkit}" }}'))
    assert outcome.code == 13
    assert "cuda: the directory has no libcusolver.so.9.0" in outcome.err
    assert 'cuda = { uri = "https://...", key = "nvidia.asc" }' in outcome.err
    assert "layer" not in outcome.err


@pytest.fixture
def inner(builder: User, toolkit: Path) -> Path:
    """An archive of an image that carries CUDA where its loader finds it."""
    (builder.home / "cuda.conf").write_text("/usr/local/cuda/lib64\n")
    text = f"""
        name = "ava-test-inner"
        base = {{ debian = "bookworm" }}
        [[files]]
        source = "{toolkit}"
        target = "/usr/local/cuda/lib64"
        [[files]]
        source = "cuda.conf"
        target = "/etc/ld.so.conf.d/"
        [[run]]
        shell = "ldconfig"
    """
    path = builder.home / "inner.tar"
    outcome = builder.avabuild(
        "recipe", builder.recipe(text, "inner.toml"), "--output", f"oci-archive:{path}"
    )
    assert outcome.code == 0, outcome.err
    return path


def test_a_base_that_carries_cuda_is_taken_at_its_word_after_a_look(builder: User, inner: Path) -> None:
    outcome = builder.avabuild("recipe", recipe(builder, '"*"', base='{ archive = "inner.tar" }'), "--json")
    assert outcome.code == 0, outcome.err
    assert "cuda 9.0 with 8 libraries; no GPU here" in outcome.out


def test_a_base_without_cuda_says_which_library_and_every_way(builder: User) -> None:
    outcome = builder.avabuild("recipe", recipe(builder, '"*"'))
    assert outcome.code == 13
    assert "cuda: the base has no libcudart.so.9.0, libcublas.so.9.0" in outcome.err
    for way in ("directory", "uri", 'runtime = "base"'):
        assert way in outcome.err


def test_cuda_in_base_and_wheels_is_told_with_the_bytes(
    builder: User, inner: Path, shared_object: Make
) -> None:
    wheel(
        builder.home, {"bundled/libs/libcudart-1b201d85.so.9.0": shared_object("libcudart-1b201d85.so.9.0")}
    )
    more = '[packages]\n        pip = ["./avatestcuda-1.0-py3-none-any.whl"]'
    outcome = builder.avabuild("recipe", recipe(builder, '"*"', base='{ archive = "inner.tar" }', more=more))
    assert outcome.code == 0, outcome.err
    assert (
        "both the base and the packages contain CUDA: libcudart.so.9.0; 0.0 MB of the base are never used"
        in outcome.err
    )


def test_nvidias_repository_or_a_mirror_with_its_key_pinned(
    builder: User, repo: Repo, shared_object: Make
) -> None:
    for stem in STEMS:
        soname, home = f"lib{stem}.so.9.0", "/usr/local/cuda-9.0/lib64"
        files = {
            f"{home}/{soname}.176": shared_object(soname, ("libc.so.6",)),
            f"{home}/{soname}": f"{soname}.176",
        }
        repo.add(f"cuda-{stem}-9-0", "9.0.176-1", files)
    for cuda in ("9.0", "9.2"):
        where = f"/usr/lib/x86_64-linux-gnu/libcudnn.so.7.{cuda}"
        files = {where: shared_object("libcudnn.so.7"), "/usr/lib/x86_64-linux-gnu/libcudnn.so.7": where}
        repo.add("libcudnn7", f"7.6.5.32-1+cuda{cuda}", files)
    repo.publish()
    options = f'{{ uri = "file:{repo.directory}", key = "ava-test.asc"'
    refused = builder.avabuild("plan", recipe(builder, options + " }"))
    assert refused.code == 2, "the key is not NVIDIA's"
    assert "EB693B3035CD5710E231E123A4B469963BF863CC" in refused.err
    mine = recipe(builder, f'{options}, fingerprint = "{repo.fingerprint()}" }}')
    outcome = builder.avabuild("recipe", mine, "--json")
    assert outcome.code == 0, outcome.err
    assert "cuda 9.0 with 8 libraries" in outcome.out
    said = builder.inside(str(outcome.image["reference"]), "dpkg-query -W libcudnn7")
    assert said.split() == ["libcudnn7", "7.6.5.32-1+cuda9.0"]


def wheel(directory: Path, files: dict[str, bytes], name: str = "avatestcuda", requires: str = "") -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, data in files.items():
            archive.writestr(inner, data)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "".join(f"{inner},,\n" for inner in files))
    return path


PIP = """
    name = "ava-test-linkage"
    base = { debian = "bookworm" }
    [packages]
    pip = ["./avatestcuda-1.0-py3-none-any.whl"]
    [build]
    linkage = "LINKAGE"
"""


def test_a_wheel_that_needs_another_cuda_fails_the_build_by_name(builder: User, shared_object: Make) -> None:
    needed = ("libcudart.so.9.0", "libcuda.so.1", "libc.so.6")
    wheel(
        builder.home,
        {"avatestcuda/libmx.so": shared_object("libmx.so", needed), "avatestcuda/__init__.py": b""},
    )
    outcome = builder.avabuild("recipe", builder.recipe(PIP.replace("LINKAGE", "error")))
    assert outcome.code == 13, outcome.err
    assert "avatestcuda 1.0: libmx.so needs libcudart.so.9.0, which is not in the image" in outcome.err
    assert 'cuda = { directory = "' in outcome.err
    assert "localhost/ava-test-linkage" not in builder.buildah("images", "--format", "{{.Name}}")
    assert builder.leftovers() == []
    accepted = builder.avabuild("recipe", builder.recipe(PIP.replace("LINKAGE", "warn")))
    assert accepted.code == 0, accepted.err
    assert "warning: avatestcuda 1.0: libmx.so needs libcudart.so.9.0" in accepted.err
    silent = builder.avabuild("recipe", builder.recipe(PIP.replace("LINKAGE", "off")))
    assert silent.code == 0
    assert "libcudart" not in silent.err


def test_with_the_directory_given_the_same_wheel_is_fine(
    builder: User, toolkit: Path, shared_object: Make
) -> None:
    wheel(
        builder.home,
        {"avatestcuda/libmx.so": shared_object("libmx.so", ("libcudart.so.9.0", "libcuda.so.1"))},
    )
    more = '[packages]\n        pip = ["./avatestcuda-1.0-py3-none-any.whl"]'
    outcome = builder.avabuild(
        "recipe", recipe(builder, f'{{ directory = "{toolkit}" }}', more=more), "--no-check"
    )
    assert outcome.code == 0, outcome.err
    assert "driver   NVIDIA 384.81 or later" in outcome.err


@pytest.mark.network
def test_what_is_linked_with_the_driver_is_checked_with_a_stand_in_that_no_image_holds(
    builder: User, toolkit: Path, shared_object: Make
) -> None:
    (toolkit / "libcudnn.so.7.176").write_bytes(shared_object("libcudnn.so.7", ("libcuda.so.1",)))
    outcome = builder.avabuild("recipe", recipe(builder, f'{{ directory = "{toolkit}" }}'), "--json")
    assert outcome.code == 0, outcome.err
    assert "no GPU here" in outcome.out
    image = str(outcome.image["reference"])
    assert "libcuda.so" not in builder.inside(image, "find / -xdev -name 'libcuda*'; echo; env")
    assert "avabuild-driver" not in builder.buildah("inspect", "--type", "image", image)
    stand_ins = list((builder.cache / "driver").rglob("libcuda.so.1"))
    assert len(stand_ins) == 1
    again = builder.avabuild("check", image, "--json")
    assert again.code == 0, again.err
    assert again.events[-1] == {"event": "checked", "reference": image, "frameworks": ["cuda"]}
    stand_ins[0].write_bytes(b"damaged")
    assert builder.avabuild("check", image).code == 0, "a damaged stand-in is fetched anew"
    assert builder.leftovers() == []


def test_the_checks_of_an_image_run_again_wherever_it_is(builder: User, inner: Path) -> None:
    path = recipe(builder, '"*"', base='{ archive = "inner.tar" }')
    assert builder.avabuild("recipe", path, "--output", "oci:out").code == 0
    before = builder.buildah("images", "--format", "{{.ID}}")
    outcome = builder.avabuild("check", f"oci:{builder.home}/out:py311-cuda90-cudnn7")
    assert outcome.code == 0, outcome.err
    assert "cuda 9.0 with 8 libraries" in outcome.err
    assert builder.buildah("images", "--format", "{{.ID}}") == before
    assert builder.leftovers() == []


def test_a_check_that_fails_now_says_so_and_an_image_without_checks_is_refused(
    builder: User, inner: Path
) -> None:
    assert builder.avabuild("recipe", recipe(builder, '"*"', base='{ archive = "inner.tar" }')).code == 0
    image = "localhost/ava-test-cuda:py311-cuda90-cudnn7"
    container = builder.buildah("from", "--pull-never", image).strip()
    builder.buildah(
        "run", "--isolation", "chroot", container, "--", "rm", "/usr/local/cuda/lib64/libcufft.so.9.0"
    )
    builder.buildah("commit", "--rm", "--quiet", container, "localhost/ava-test-broken:1")
    outcome = builder.avabuild("check", "localhost/ava-test-broken:1")
    assert outcome.code == 7
    assert "libcufft.so.9.0" in outcome.err
    nothing = builder.avabuild("check", "localhost/ava-test-nowhere:1")
    assert nothing.code == 14
    assert "there is no image localhost/ava-test-nowhere:1" in nothing.err
    builder.buildah("pull", "--quiet", f"oci-archive:{inner}")
    plain = builder.avabuild("check", f"oci-archive:{inner}")
    assert plain.code == 14
    assert "records no checks" in plain.err
