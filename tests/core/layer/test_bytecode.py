from __future__ import annotations

import importlib.util
import io
import json
import marshal
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.common.errors import DiskFullError, StepError, StoreError, WheelError
from avabuild.layer.bytecode import compile_wheels, write_bytecode
from avabuild.layer.wheel import Scheme, write_wheels

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = str(sys.implementation.cache_tag)
SCHEME = Scheme(python=PYTHON)
SITE = SCHEME.purelib
OURS = (sys.executable,)

Make = Callable[..., Path]
Read = Callable[[Path], dict[str, tuple[int, bytes]]]


def test_a_layer_holds_unchecked_bytecode_of_the_installed_paths(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    source = b'"""Say."""\nassert True\nX = {"a", "b"}\n'
    files = {"pkg/mod.py": source, "demo-1.0.data/platlib/top.py": source}
    wheel = make_wheel(tmp_path, files)
    compile_wheels({wheel: tmp_path / "pack"}, SCHEME, OURS)
    write_bytecode([tmp_path / "pack"], tmp_path / "layer", SCHEME)
    found = files_of(tmp_path / "layer")
    assert set(found) == {f"{SITE}/pkg/__pycache__/mod.{TAG}.pyc", f"{SITE}/__pycache__/top.{TAG}.pyc"}
    mode, pyc = found[f"{SITE}/pkg/__pycache__/mod.{TAG}.pyc"]
    code = marshal.loads(pyc[16:])
    assert mode == 0o644
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(pyc[4:8], "little") == 0b01  # hash-based, not checked against the source (PEP 552)
    assert pyc[8:16] == importlib.util.source_hash(source)
    assert code.co_filename == f"{SITE}/pkg/mod.py"
    assert code.co_consts[0] == "Say."  # neither docstrings nor asserts are optimised away


def test_python_takes_the_bytecode_and_does_not_look_at_the_source(tmp_path: Path, make_wheel: Make) -> None:
    scheme, root = Scheme(prefix="/opt/venv", python=PYTHON), tmp_path / "root"
    wheel = make_wheel(tmp_path, {"mod.py": b"print('compiled')\n"})
    compile_wheels({wheel: tmp_path / "pack"}, scheme, OURS)
    write_wheels([wheel], tmp_path / "wheels", scheme)
    write_bytecode([tmp_path / "pack"], tmp_path / "bytecode", scheme)
    for layer in ("wheels", "bytecode"):
        with tarfile.open(tmp_path / layer) as tar:
            tar.extractall(root, filter="tar")  # not to /, which a layer's own directories are those of
    place = Path(f"{root}{scheme.purelib}")
    (place / "mod.py").write_text("print('changed')\n")
    program = f"import sys; sys.path.insert(0, {str(place)!r}); import mod"
    done = subprocess.run([*OURS, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "compiled\n"


def many(count: int) -> dict[str, bytes]:
    """Modules whose bytes would depend on hash seeds, interned strings and who compiled before them."""
    text = "S = {{'a', 'b{0}', 'name'}}\ndef name{1}(value, path): return path in S, 'wait'\n"
    return {f"pkg/m{n}.py": text.format(n, n % 7).encode() for n in range(count)}


def test_packs_do_not_depend_on_jobs_company_order_or_hash_seed(
    tmp_path: Path, make_wheel: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = make_wheel(tmp_path, many(400), name="big-1-py3-none-any.whl")
    small = make_wheel(tmp_path, many(5), name="small-1-py3-none-any.whl")
    found = []
    for seed, jobs, wheels in (
        ("0", 1, [big]),
        ("1", 2, [big, small]),
        ("2", 7, [small, big]),
        ("3", 1, [small]),
    ):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        packs = {wheel: tmp_path / f"{wheel.name}.pack" for wheel in wheels}
        compile_wheels(packs, SCHEME, OURS, jobs=jobs)
        found += [(wheel.name, pack.read_bytes()) for wheel, pack in packs.items()]
    assert len(found) == 6
    assert len(set(found)) == 2
    with zipfile.ZipFile(io.BytesIO(dict(found)[big.name])) as pack:
        assert len(pack.namelist()) == 400


def test_modules_that_this_python_cannot_read_are_left_out(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    bad = {
        "old.py": b"print 'x'",
        "null.py": b"a\0b",
        "latin.py": b"x = '\xff'",
        "deep.py": b"(" * 1000 + b")" * 1000,
    }
    wheel = make_wheel(tmp_path, {**bad, "good.py": b"", "warns.py": b"'\\d' is 1\n"})
    compile_wheels({wheel: tmp_path / "pack"}, SCHEME, OURS)
    write_bytecode([tmp_path / "pack"], tmp_path / "layer", SCHEME)
    assert {Path(path).name for path in files_of(tmp_path / "layer")} == {
        f"good.{TAG}.pyc",
        f"warns.{TAG}.pyc",
    }


def test_a_wheel_without_modules_gives_an_empty_pack(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    wheel = make_wheel(tmp_path, {"demo-1.0.data/scripts/run.py": b"", "demo-1.0.data/data/share/x.py": b""})
    compile_wheels({wheel: tmp_path / "pack"}, SCHEME, OURS)
    write_bytecode([tmp_path / "pack"], tmp_path / "layer", SCHEME)
    assert files_of(tmp_path / "layer") == {}


def test_a_layer_of_several_packs_has_each_directory_once(
    tmp_path: Path, make_wheel: Make, entries: Callable
) -> None:
    packs = {}
    for name in ("one", "two"):
        wheel = make_wheel(tmp_path, {f"ns/{name}.py": b""}, name=f"{name}-1-py3-none-any.whl")
        packs[wheel] = tmp_path / name
    compile_wheels(packs, SCHEME, OURS)
    layers = [tmp_path / "layer", tmp_path / "again"]
    blobs = [write_bytecode(list(packs.values()), out, SCHEME) for out in layers]
    contents = [[(info.name, info.mode, data) for info, data in entries(out)] for out in layers]
    assert contents[0] == contents[1]
    assert layers[0].read_bytes() == layers[1].read_bytes()
    assert blobs[0].model_dump() == blobs[1].model_dump()
    names = [info.name for info, _ in entries(tmp_path / "layer")]
    assert names[:2] == ["opt", "opt/venv"]
    assert len(set(names)) == len(names)
    assert names[-3:] == [
        f"{SITE[1:]}/ns/__pycache__{end}" for end in ("", f"/one.{TAG}.pyc", f"/two.{TAG}.pyc")
    ]


def test_of_two_packs_with_one_path_the_later_ones_is_kept(
    tmp_path: Path, make_wheel: Make, entries: Callable
) -> None:
    packs = {}
    for name in ("one", "two"):
        wheel = make_wheel(
            tmp_path, {"ns/__init__.py": f"{name} = 1".encode()}, name=f"{name}-1-py3-none-any.whl"
        )
        packs[wheel] = tmp_path / name
    compile_wheels(packs, SCHEME, OURS)
    write_bytecode(list(packs.values()), tmp_path / "layer", SCHEME)
    found = [data for info, data in entries(tmp_path / "layer") if info.name.endswith(".pyc")]
    assert len(found) == 1
    assert b"two" in found[0]


@pytest.mark.parametrize(
    ("interpreter", "python", "message"),
    [
        (OURS, "3.99", f"this is {TAG}, not Python 3.99"),
        (("/nowhere/python3",), PYTHON, "can't be started"),
        (("/bin/sh", "-c", "echo of no use >&2; exit 3"), PYTHON, "of no use"),
        (("/bin/true",), PYTHON, "leaves no pack, not Python"),
    ],
)
def test_an_interpreter_that_is_of_no_use_is_named_and_leaves_no_pack(
    interpreter: tuple[str, ...], python: str, message: str, tmp_path: Path, make_wheel: Make
) -> None:
    wheel = make_wheel(tmp_path, {"a.py": b""})
    with pytest.raises(StepError, match=message) as caught:
        compile_wheels({wheel: tmp_path / "pack"}, Scheme(python=python), interpreter)
    assert caught.value.place == wheel.name
    assert caught.value.command.startswith(shlex.join(interpreter[:1]))
    assert not (tmp_path / "pack").exists()


def test_a_child_that_is_killed_fails_the_compilation(tmp_path: Path, make_wheel: Make) -> None:
    wheel = make_wheel(tmp_path, {"a.py": b"x = y + 1.5\n" * 500_000})
    limited = ("/bin/sh", "-c", 'ulimit -t 1; exec "$0" "$@"', *OURS)  # seconds of processor time
    with pytest.raises(StepError, match=r"killed by SIG(XCPU|KILL) while it compiled a\.py"):
        compile_wheels({wheel: tmp_path / "pack"}, SCHEME, limited)
    assert not (tmp_path / "pack").exists()


def test_a_module_that_memory_is_short_for_fails_the_compilation_and_is_named(
    tmp_path: Path, make_wheel: Make
) -> None:
    wheel = make_wheel(tmp_path, {"a.py": b"", "big.py": b"x = [" + b"(y + 1.5, z), " * 200_000 + b"]\n"})
    limited = ("/bin/sh", "-c", 'ulimit -v 120000; exec "$0" "$@"', *OURS)
    with pytest.raises(StepError, match=r"not enough memory to compile big\.py"):
        compile_wheels({wheel: tmp_path / "pack"}, SCHEME, limited)
    assert not (tmp_path / "pack").exists()


def test_what_is_nested_too_deeply_is_left_out_however_the_parser_puts_it(
    tmp_path: Path, make_wheel: Make, files_of: Read
) -> None:
    wheel = make_wheel(tmp_path, {"good.py": b"", "minus.py": b"x = " + b"-" * 100_000 + b"1\n"})
    compile_wheels({wheel: tmp_path / "pack"}, SCHEME, OURS)
    write_bytecode([tmp_path / "pack"], tmp_path / "layer", SCHEME)
    assert {Path(path).name for path in files_of(tmp_path / "layer")} == {f"good.{TAG}.pyc"}


def test_a_worker_that_is_killed_is_told_with_its_signal(tmp_path: Path, make_wheel: Make) -> None:
    with pytest.raises(StepError, match="killed by SIGKILL"):
        compile_wheels(
            {make_wheel(tmp_path, {"a.py": b""}): tmp_path / "pack"}, SCHEME, ("/bin/sh", "-c", "kill -9 $$")
        )


def test_a_damaged_wheel_is_refused_before_anything_runs(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no zip")
    with pytest.raises(WheelError):
        compile_wheels({wheel: tmp_path / "pack"}, SCHEME, ("/nowhere/python3",))


def test_a_full_disk_is_named(tmp_path: Path, make_wheel: Make) -> None:
    (tmp_path / "pack").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=str(tmp_path)):
        compile_wheels({make_wheel(tmp_path, many(300)): tmp_path / "pack"}, SCHEME, OURS)
    assert not (tmp_path / "pack").is_symlink()


def pack(path: Path, name: str = f"{SITE[1:]}/__pycache__/a.pyc", about: object = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x" * 100)
        archive.comment = json.dumps({"tag": TAG} if about is None else about).encode()
    return path


def test_a_pack_made_for_something_else_is_refused(tmp_path: Path) -> None:
    packs = {
        "cpython-27, not for": pack(tmp_path / "a", about={"tag": "cpython-27"}),
        "an unknown interpreter": pack(tmp_path / "b", about=[1]),
        "not below /opt/venv": pack(tmp_path / "c", "etc/passwd"),
        "not a plain path": pack(tmp_path / "d", "opt/venv/../../etc/passwd"),
    }
    for message, path in packs.items():
        with pytest.raises(StoreError, match=message) as caught:
            write_bytecode([path], tmp_path / "layer", SCHEME)
        assert caught.value.place == path.name
        assert not (tmp_path / "layer").exists()


@pytest.mark.parametrize("damage", ["no zip", "no comment", "flipped"])
def test_a_damaged_pack_is_refused(damage: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "a")
    data = bytearray(path.read_bytes())
    if damage == "no zip":
        data = data[:50]
    elif damage == "no comment":
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b""
        data = bytearray(path.read_bytes())
    else:
        data[data.index(b"xxxx") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="no pack of bytecode"):
        write_bytecode([path], tmp_path / "layer", SCHEME)
    assert not (tmp_path / "layer").exists()
