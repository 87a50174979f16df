"""What keeps a step from the host where the kernel, or an engine around us, lacks a call: each is taken away for real."""

from __future__ import annotations

import os
import subprocess
import sys
from errno import ENOSYS
from pathlib import Path

import pytest

from avabuild.tools.inside.bpf import ALLOW, IF, LOAD, NUMBER, RETURN, fail, instruction

pytestmark = pytest.mark.build

MOUNT_SETATTR, KEYCTL = 442, {"x86_64": 250, "aarch64": 219}[os.uname().machine]
PROGRAM = """
import sys
from avabuild.tools.inside.bpf import Filter
from avabuild.tools.inside.runner import run
from avabuild.tools.inside.step import Step
Filter(bytes.fromhex(sys.argv[1])).load()
binds = [("/usr", "/usr", False), (sys.argv[3], "/data", False)]
raise SystemExit(run(Step(sys.argv[2], ["/bin/sh", "-c", sys.argv[4]], {"PATH": "/bin"}, binds=binds)))
"""


def without(*numbers: int) -> str:
    made = [instruction(LOAD, NUMBER)]
    for number in numbers:
        made += [instruction(IF, number, 0, 1), fail(ENOSYS)]
    return b"".join([*made, instruction(RETURN, ALLOW)]).hex()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a container that has the host's programs."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (tmp_path / "root").mkdir(exist_ok=True)
        (tmp_path / "root" / name).symlink_to(f"usr/{name}")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "numbers", [(), (MOUNT_SETATTR,), (MOUNT_SETATTR, KEYCTL)], ids=["all", "5.11", "no keys"]
)
def test_what_is_mounted_below_is_read_only_and_devices_do_nothing(
    root: Path, tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    data = tmp_path / "data"
    deep = data / "a b" / "deep"
    os.mknod(root / "tape", 0o666 | 0o020000, os.makedev(1, 5))
    attack = (
        "for f in /data/x '/data/a b/x' '/data/a b/deep/x' /sys/fs/cgroup/x; do ! echo x 2>/dev/null >\"$f\" || exit 1; done;"
        "ls /data/*/deep/there && ! head -c 1 /tape && ! chmod 667 /proc/keys && echo out >/dev/null && test ! -s /proc/kallsyms"
    )
    for place in (data / "a b", deep):
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    (deep / "there").touch()
    try:
        argv = [sys.executable, "-c", PROGRAM, without(*numbers), root, data, attack]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    finally:
        subprocess.run(["umount", "--lazy", "--recursive", data / "a b"], check=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(data.rglob("x"))
