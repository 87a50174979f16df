from __future__ import annotations

import base64
import csv
import hashlib
import json
import posixpath
import random
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from avabuild.common.errors import DiskFullError, WheelError
from avabuild.layer.blob import SPLICE
from avabuild.layer.scheme import scheme_of
from avabuild.layer.wheel import Scheme, modules, overlapping, write_wheels
from avabuild.resolve.lock import Package

NOISE = random.Random(2).randbytes(3 * SPLICE)
SCHEME = Scheme(python="3.11")
SITE = "/opt/venv/lib/python3.11/site-packages"
INFO = f"{SITE}/demo-1.0.dist-info"

Make = Callable[..., Path]
Read = Callable[[Path], dict[str, tuple[int, bytes]]]


def rows(record: bytes) -> dict[str, tuple[str, str]]:
    found = list(csv.reader(record.decode().splitlines()))
    assert len({row[0] for row in found}) == len(found)
    return {path: (digest, size) for path, digest, size in found}


def row(data: bytes) -> tuple[str, str]:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}", str(len(data))


def install(wheel: Path, read: Read, **options: object) -> dict[str, tuple[int, bytes]]:
    """Write the layer of one wheel, check that its RECORD is right, and return its files."""
    out = wheel.with_suffix(".layer")
    write_wheels([wheel], out, SCHEME, **options)  # type: ignore[arg-type]
    files = read(out)
    (record,) = [path for path in files if path.endswith(".dist-info/RECORD")]
    expected = {
        posixpath.relpath(path, SITE): row(data) for path, (_, data) in files.items() if path != record
    }
    assert rows(files[record][1]) == {**expected, posixpath.relpath(record, SITE): ("", "")}
    return files


component = st.text(
    st.characters(exclude_characters='/\\\0"\r\n', exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1
)
names = st.lists(component.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)
sizes = st.one_of(st.integers(0, 600), st.integers(SPLICE - 50, SPLICE + 50), st.just(3 * SPLICE))
contents = st.tuples(sizes, st.booleans(), st.booleans(), st.sampled_from([0o644, 0o755, 0o744, 0o600]))


@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(names, contents, max_size=8), long=st.integers(1, 250))
def test_what_a_wheel_holds_is_what_the_layer_holds(
    files: dict[str, tuple[int, bool, bool, int]], long: int, make_wheel: Make, files_of: Read
) -> None:
    data = {
        f"p{i}/{'x' * long}/{name}": NOISE[:size] if noisy else bytes(size)
        for i, (name, (size, noisy, _, _)) in enumerate(files.items())
    }
    packing = dict(zip(data, files.values(), strict=True))
    with tempfile.TemporaryDirectory() as directory:
        wheel = make_wheel(
            Path(directory),
            data,
            stored=tuple(name for name, (_, _, stored, _) in packing.items() if stored),
            modes={name: mode for name, (_, _, _, mode) in packing.items()},
        )
        found = install(wheel, files_of)
    for name, content in data.items():
        assert found[f"{SITE}/{name}"] == (0o755 if packing[name][3] & 0o111 else 0o644, content)
    assert {path for path in found if not path.startswith(INFO)} == {f"{SITE}/{name}" for name in data}


def test_data_directories_go_where_their_key_says(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    keys = ("purelib", "platlib", "headers", "scripts", "data")
    name = "demo_kit-1.0-py3-none-any.whl"
    wheel = make_wheel(tmp_path, {f"demo_kit-1.0.data/{key}/sub/{key}": b"x" for key in keys}, name=name)
    found = install(wheel, files_of)
    assert {path: mode for path, (mode, _) in found.items() if ".dist-info" not in path} == {
        f"{SITE}/sub/purelib": 0o644,
        f"{SITE}/sub/platlib": 0o644,
        "/opt/venv/include/site/python3.11/demo-kit/sub/headers": 0o644,
        "/opt/venv/bin/sub/scripts": 0o755,
        "/opt/venv/sub/data": 0o644,
    }


@pytest.mark.parametrize("first", [b"#!python\n", b"#!pythonw\n", b"#!python -E\r\n", b"#!python"])
@pytest.mark.parametrize("rest", [b"", b"import sys\n", NOISE])
def test_a_script_that_says_python_gets_the_environments_one(
    first: bytes, rest: bytes, tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    if not first.endswith(b"\n"):
        rest = b""
    found = install(make_wheel(tmp_path, {"demo-1.0.data/scripts/run": first + rest}), files_of)
    assert found["/opt/venv/bin/run"] == (0o755, b"#!/opt/venv/bin/python\n" + rest)


@pytest.mark.parametrize("data", [b"#!/bin/sh\necho python\n", b"\x7fELF" + NOISE, b"", b"# !python\n"])
def test_any_other_script_stays_as_it_is(
    data: bytes, tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    found = install(make_wheel(tmp_path, {"demo-1.0.data/scripts/run": data}), files_of)
    assert found["/opt/venv/bin/run"] == (0o755, data)


def test_entry_points_become_commands(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    points = (
        b"[console_scripts]\ndemo = demo.cli:main.run [x]\n[gui_scripts]\nshow=demo:show\n[other]\nx = y\n"
    )
    wheel = make_wheel(tmp_path, {"demo-1.0.dist-info/entry_points.txt": points})
    found = install(wheel, files_of)
    assert {path for path in found if "/bin/" in path} == {"/opt/venv/bin/demo", "/opt/venv/bin/show"}
    mode, text = found["/opt/venv/bin/demo"]
    assert mode == 0o755
    assert text.startswith(b"#!/opt/venv/bin/python\n")
    assert b"from demo.cli import main\n" in text
    assert b"sys.exit(main.run())" in text


def test_wrappers_that_a_wheel_brings_for_its_entry_points_are_left_out(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    scripts = {
        f"demo-1.0.data/scripts/{name}": b"old" for name in ("demo", "demo.exe", "demo-script.py", "other")
    }
    points = {"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\ndemo = demo:main\n"}
    found = install(make_wheel(tmp_path, {**scripts, **points}), files_of)
    assert {path for path in found if "/bin/" in path} == {"/opt/venv/bin/demo", "/opt/venv/bin/other"}
    assert b"from demo import main" in found["/opt/venv/bin/demo"][1]


def test_pips_own_commands_are_those_of_the_environments_python(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    points = b"[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.7 = pip:main\npipx = pip:main\n"
    found = install(make_wheel(tmp_path, {"demo-1.0.dist-info/entry_points.txt": points}), files_of)
    commands = {path.rpartition("/")[2] for path in found if "/bin/" in path}
    assert commands == {"pip", "pip3", "pip3.11", "pipx"}


def test_the_installer_is_named_and_requested_marks_only_what_was_asked_for(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    stale = {"demo-1.0.dist-info/INSTALLER": b"other", "demo-1.0.dist-info/REQUESTED": b"x"}
    wheel = make_wheel(tmp_path, stale)
    asked, other = (install(wheel, files_of, requested=frozenset({name})) for name in ("demo", "another"))
    assert asked[f"{INFO}/INSTALLER"] == other[f"{INFO}/INSTALLER"] == (0o644, b"pip\n")
    assert asked[f"{INFO}/REQUESTED"] == (0o644, b"")
    assert f"{INFO}/REQUESTED" not in other


def test_a_wheel_of_no_index_says_where_it_is_from_as_pip_does(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    wheel = make_wheel(tmp_path, {"demo.py": b"x = 1"})
    package = Package(
        name="demo",
        version="1.0",
        kind="file",
        filename=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
    )
    found = install(wheel, files_of, direct={wheel: package.direct}, requested=frozenset({"demo"}))
    target = tmp_path / "by-pip"
    argv = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--target",
        target,
        wheel,
    ]
    subprocess.run([*argv, "--disable-pip-version-check", "--no-index"], check=True)
    theirs = json.loads((target / "demo-1.0.dist-info/direct_url.json").read_text())
    theirs["url"] = theirs["url"].replace(tmp_path.as_uri(), "file://")  # no image names a host's directory
    assert json.loads(found[f"{INFO}/direct_url.json"][1]) == theirs
    assert found[f"{INFO}/REQUESTED"][1] == (target / "demo-1.0.dist-info/REQUESTED").read_bytes()


def test_what_a_wheel_brings_of_its_origin_is_replaced(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    wheel = make_wheel(tmp_path, {"demo-1.0.dist-info/direct_url.json": b"{}"})
    assert install(wheel, files_of, direct={wheel: "mine"})[f"{INFO}/direct_url.json"][1] == b"mine"


def test_signatures_of_the_old_record_are_dropped(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    signatures = {f"demo-1.0.dist-info/RECORD.{kind}": b"x" for kind in ("jws", "p7s")}
    assert not [path for path in install(make_wheel(tmp_path, signatures), files_of) if "RECORD." in path]


def test_a_file_that_record_forgot_is_hashed(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    wheel = make_wheel(tmp_path, {"a.py": b"1", "b.py": NOISE}, unrecorded=("a.py", "b.py"))
    assert f"{SITE}/a.py" in install(wheel, files_of)


def test_hashes_that_the_wheel_states_are_kept_without_hashing_again(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    record = b"demo-1.0.dist-info/RECORD,,\na.py,sha256=stated,1\n"
    wheel = make_wheel(tmp_path, {"a.py": b"1"}, replace={"demo-1.0.dist-info/RECORD": record})
    write_wheels([wheel], tmp_path / "out", SCHEME)
    assert rows(files_of(tmp_path / "out")[f"{INFO}/RECORD"][1])["a.py"] == ("sha256=stated", "1")


def test_directories_come_once_from_the_root_down_before_their_content(
    tmp_path: Path, make_wheel: Make, entries: Callable
) -> None:
    first = make_wheel(tmp_path, {"pkg/b.py": b"", "pkg/a/c.py": b"", "demo-1.0.data/data/share/x": b""})
    second = make_wheel(tmp_path, {"pkg/d.py": b""}, name="other-2.0-py3-none-any.whl")
    write_wheels([first, second], tmp_path / "out", SCHEME)
    seen: set[str] = set()
    found = [info for info, _ in entries(tmp_path / "out")]
    assert [info.name for info in found[:2]] == ["opt", "opt/venv"]
    for info in found:
        assert info.name not in seen
        assert info.name == "opt" or posixpath.dirname(info.name) in seen
        assert (info.uid, info.gid) == (0, 0)
        seen.add(info.name)
    of_first = [info.name for info in found if info.isfile() and "other-2.0" not in info.name][:-1]
    assert of_first == sorted(of_first)
    assert found[-1].name.endswith("pkg/d.py")


def test_wheels_keep_their_order_and_the_same_wheels_give_the_same_bytes(
    tmp_path: Path, make_wheel: Make
) -> None:
    wheels = [make_wheel(tmp_path, {f"{n}.py": NOISE}, name=f"{n}-1-py3-none-any.whl") for n in ("b", "a")]
    blobs = [write_wheels(order, tmp_path / "out", SCHEME) for order in (wheels, wheels, wheels[::-1])]
    assert blobs[0] == blobs[1]
    assert blobs[0].diff_id != blobs[2].diff_id


def test_the_parts_of_a_layer_are_the_layer(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    wheel = make_wheel(tmp_path, {f"{n}.bin": NOISE[: n * 5000] for n in range(12)})
    whole = install(wheel, files_of)
    parts = []
    for part in range(3):
        write_wheels([wheel], tmp_path / "out", SCHEME, part=(part, 3))
        parts.append(files_of(tmp_path / "out"))
    assert sum(map(len, parts)) == len(whole)
    assert {**parts[0], **parts[1], **parts[2]} == whole
    sizes = [sum(len(data) for _, data in part.values()) for part in parts]
    assert max(sizes) - min(sizes) <= 12 * 5000


def test_both_compressions_hold_the_same_tar(tmp_path: Path, make_wheel: Make, files_of: Read) -> None:
    wheel = make_wheel(tmp_path, {"a.py": NOISE, "b.py": b"x"})
    gzip = write_wheels([wheel], tmp_path / "gzip", SCHEME)
    zstd = write_wheels([wheel], tmp_path / "zstd", SCHEME, compression="zstd")
    assert gzip.diff_id == zstd.diff_id
    assert gzip.digest != zstd.digest
    assert files_of(tmp_path / "gzip") == files_of(tmp_path / "zstd")


INFO_FILES = {
    f"lacks {name}": {f"demo-1.0.dist-info/{name}": None} for name in ("METADATA", "RECORD", "WHEEL")
}
BAD_NAMES = ("../up.py", "/etc/x", "a/../../b", "a\\b", "./a", "a//b", "demo-1.0.data/scripts/../../../x")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_entry_that_leaves_the_environment_is_refused(name: str, tmp_path: Path, make_wheel: Make) -> None:
    refused(make_wheel(tmp_path, {name: b"x"}), "not a plain path")


@pytest.mark.parametrize(("message", "replace"), INFO_FILES.items())
def test_a_wheel_without_its_metadata_is_refused(
    message: str, replace: dict[str, None], tmp_path: Path, make_wheel: Make
) -> None:
    refused(make_wheel(tmp_path, {"demo-1.0.dist-info/x": b""}, replace=replace), message)


@pytest.mark.parametrize(
    ("message", "files"),
    [
        ("exactly one .dist-info", {"other-1.0.dist-info/METADATA": b""}),
        ("no known directory", {"demo-1.0.data/nowhere/x": b""}),
        ("no known directory", {"demo-1.0.data/scripts": b""}),
        ("twice", {"a.py": b"", "demo-1.0.data/purelib/a.py": b""}),
        ("as a file and as a directory", {"a": b"", "a/b": b""}),
        (
            "not the name of a command",
            {"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\n../x = a:b"},
        ),
        (
            "entry_points.txt is malformed",
            {"demo-1.0.dist-info/entry_points.txt": b"[console_scripts]\nx = a"},
        ),
        ("entry_points.txt is malformed", {"demo-1.0.dist-info/entry_points.txt": b"no section"}),
        ("can't decode", {"demo-1.0.dist-info/entry_points.txt": b"\xff"}),
    ],
)
def test_a_wheel_that_contradicts_itself_is_refused(
    message: str, files: dict[str, bytes], tmp_path: Path, make_wheel: Make
) -> None:
    refused(make_wheel(tmp_path, files), message)


@pytest.mark.parametrize("version", ["2.0", "10.0", ""])
def test_a_wheel_of_another_major_format_is_refused(version: str, tmp_path: Path, make_wheel: Make) -> None:
    metadata = f"Wheel-Version: {version}\n" if version else "Root-Is-Purelib: true\n"
    replace = {"demo-1.0.dist-info/WHEEL": metadata.encode()}
    refused(make_wheel(tmp_path, {}, replace=replace), "only 1.x is known")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"one,two", "expected 3 elements"),
        (b"demo,sha256,1", "hash"),
        (b"demo,nohash=x,1", "hash algorithm"),
        (b"\xff\xfe", "can't decode"),
    ],
)
def test_a_record_that_is_none_is_refused(
    record: bytes, message: str, tmp_path: Path, make_wheel: Make
) -> None:
    refused(make_wheel(tmp_path, {}, replace={"demo-1.0.dist-info/RECORD": record}), message)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_one_name_twice_is_refused(tmp_path: Path, make_wheel: Make) -> None:
    wheel = make_wheel(tmp_path, {"a.py": b"1"})
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("a.py", b"2")
    refused(wheel, "twice")


@pytest.mark.parametrize("stored", [True, False])
def test_content_that_differs_from_the_archives_directory_is_refused(
    stored: bool, tmp_path: Path, make_wheel: Make
) -> None:
    wheel = make_wheel(tmp_path, {"a.bin": NOISE}, stored=("a.bin",) if stored else ())
    data = bytearray(wheel.read_bytes())
    data[len(NOISE) // 2] ^= 1
    wheel.write_bytes(data)
    refused(wheel, "CRC-32")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"<html>not found</html>")
    refused(wheel, "not a zip")


def test_a_wheel_with_a_name_that_says_nothing_is_refused(tmp_path: Path, make_wheel: Make) -> None:
    refused(make_wheel(tmp_path, {}).rename(tmp_path / "demo.whl"), "wheel filename")


def test_an_archive_that_was_cut_is_refused(tmp_path: Path, make_wheel: Make) -> None:
    wheel = make_wheel(tmp_path, {"a.bin": NOISE})
    wheel.write_bytes(wheel.read_bytes()[: len(NOISE)])
    refused(wheel, "not a zip")


def refused(wheel: Path, message: str) -> None:
    out = wheel.parent / "out"
    with pytest.raises(WheelError, match=message) as caught:
        write_wheels([wheel], out, SCHEME)
    assert caught.value.place == wheel.name
    assert caught.value.message
    assert not out.exists()


def test_a_full_disk_is_no_fault_of_the_wheel(tmp_path: Path, make_wheel: Make) -> None:
    wheel = make_wheel(tmp_path, {f"{n}.bin": NOISE for n in range(30)})
    (tmp_path / "out").symlink_to("/dev/full")
    with pytest.raises(DiskFullError):
        write_wheels([wheel], tmp_path / "out", SCHEME)


def test_only_different_content_under_one_path_is_a_clash(tmp_path: Path, make_wheel: Make) -> None:
    points = {"{}-1.dist-info/entry_points.txt": "[console_scripts]\nrun = {}:main\n"}
    wheels = {}
    for name in ("one", "two", "six"):
        files = {"ns/__init__.py": b"", "ns/own.py": name.encode(), f"{name}.py": b""}
        if name != "six":
            files |= {k.format(name): v.format(name).encode() for k, v in points.items()}
        wheels[name] = make_wheel(tmp_path, files, name=f"{name}-1-py3-none-any.whl")
    assert overlapping(wheels, SCHEME) == (
        ("/opt/venv/bin/run", ("one", "two")),
        (f"{SITE}/ns/own.py", ("one", "two", "six")),
    )
    assert overlapping({"one": wheels["one"]}, SCHEME) == ()


def test_a_file_that_two_wheels_share_is_written_once_and_else_the_later_one_wins(
    tmp_path: Path, make_wheel: Make, entries: Callable, files_of: Read
) -> None:
    wheels = [
        make_wheel(tmp_path, {"same.py": b"x", "own.py": n.encode()}, name=f"{n}-1-py3-none-any.whl")
        for n in ("one", "two")
    ]
    write_wheels(wheels, tmp_path / "out", SCHEME)
    names = [info.name for info, _ in entries(tmp_path / "out")]
    assert len(set(names)) == len(names), "image storages refuse a layer that has a path twice"
    assert files_of(tmp_path / "out")[f"{SITE}/own.py"][1] == b"two"


def test_modules_are_the_python_files_below_site_packages(tmp_path: Path, make_wheel: Make) -> None:
    names = ("b.py", "a/c.py", "a/d.so", "e.pyi", "demo-1.0.data/scripts/run.py", "demo-1.0.data/data/x.py")
    wheel = make_wheel(tmp_path, dict.fromkeys((*names, "demo-1.0.data/platlib/f.py"), b""))
    assert modules(wheel, SCHEME) == (
        ("a/c.py", f"{SITE}/a/c.py"),
        ("b.py", f"{SITE}/b.py"),
        ("demo-1.0.data/platlib/f.py", f"{SITE}/f.py"),
    )


@pytest.mark.parametrize(
    "prefix", ["opt/venv", "/opt/my venv", "/opt/../etc", "/opt//venv", "/", "/opt/venv/", "/" + "x" * 100]
)
def test_a_prefix_that_shebang_lines_or_layers_cannot_name_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="prefix"):
        Scheme(prefix=prefix, python="3.11")


CLASSIC = scheme_of("2.7", "/usr/bin/python2.7")


def test_a_wheel_of_python_2_goes_where_its_own_pip_puts_it(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    points = b"[console_scripts]\nrun = demo:main\n"
    files = {"demo.py": b"", "demo-1.0.data/data/share/x": b"", "demo-1.0.data/headers/x.h": b""}
    wheel = make_wheel(tmp_path, files | {"demo-1.0.dist-info/entry_points.txt": points})
    write_wheels([wheel], tmp_path / "out", CLASSIC)
    found = files_of(tmp_path / "out")
    assert {path for path in found if ".dist-info" not in path} == {
        "/usr/local/lib/python2.7/dist-packages/demo.py",
        "/usr/local/share/x",
        "/usr/local/include/python2.7/demo/x.h",
        "/usr/local/bin/run",
    }
    assert found["/usr/local/bin/run"][1].startswith(b"#!/usr/local/bin/python\n")


def test_the_installers_commands_carry_the_targets_version(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    points = b"[console_scripts]\npip = a:b\npip3.8 = a:b\neasy_install = a:c\neasy_install-3.8 = a:c\n"
    wheel = make_wheel(tmp_path, {"demo-1.0.dist-info/entry_points.txt": points})
    write_wheels([wheel], tmp_path / "out", CLASSIC)
    commands = {path.rpartition("/")[2] for path in files_of(tmp_path / "out") if "/bin/" in path}
    assert commands == {"pip", "pip2", "pip2.7", "easy_install", "easy_install-2.7"}


def test_where_packages_go_depends_on_whose_python_it_is() -> None:
    assert scheme_of("3.5", "/usr/bin/python3.5").purelib == "/opt/venv/lib/python3.5/site-packages"
    assert scheme_of("2.7", "/usr/local/bin/python2.7").purelib == "/usr/local/lib/python2.7/site-packages"
    assert CLASSIC.purelib == CLASSIC.platlib == "/usr/local/lib/python2.7/dist-packages"
    assert Scheme(python="3.11").identity == {"prefix": "/opt/venv", "python": "3.11"}


@pytest.mark.parametrize("python", ["3", "2.6", "3.11.4", "3.x"])
def test_a_python_that_is_no_minor_version_is_refused(python: str) -> None:
    with pytest.raises(ValidationError, match="python"):
        Scheme(python=python)
