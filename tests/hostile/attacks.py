"""What a hostile step tries, run in a container by any Python: it prints as JSON what it could do.

It imports the standard library alone, and each attack is tried in a process of its own. Its one argument is
JSON: what the host prepared (see `host.py`).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import stat
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (*[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
MACHINE = os.uname().machine
NUMBERS = {  # of calls that the C library has no function for
    "x86_64": {"add_key": 248, "keyctl": 250, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323},
    "aarch64": {"add_key": 217, "keyctl": 219, "perf_event_open": 241, "bpf": 280, "userfaultfd": 282},
}[MACHINE] | {"io_uring_setup": 425, "fsopen": 430}
CANARY = b"the host's own"
CAPABILITIES = 0x8004_05FB
NEWNS, NEWCGROUP, NEWUSER = 0x2_0000, 0x0200_0000, 0x1000_0000
told = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
ATTACKS: dict[str, Callable[[], object]] = {}


def attack(words: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def keep(function: Callable[[], object]) -> Callable[[], object]:
        ATTACKS[words] = function
        return function

    return keep


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(name: str, *arguments: object) -> int:
    return checked(libc.syscall(NUMBERS[name], *arguments))


# -- what a step is for ----------------------------------------------------------------------------------------


@attack("write the container's files")
def _() -> object:
    return Path("/written").write_text("x")


@attack("give them to other users")
def _() -> object:
    Path("/given").write_text("x")
    os.chown("/given", 1, 1)
    return Path("/given").stat().st_uid == 1


@attack("write to /dev/null, read /dev/urandom")
def _() -> object:
    Path("/dev/null").write_text("x")
    with Path("/dev/urandom").open("rb") as file:
        return file.read(4)


@attack("change its root directory")
def _() -> object:
    os.chroot("/tmp")
    return True


@attack("trace the processes that it starts")
def _() -> object:
    return checked(libc.ptrace(0, 0, 0, 0)) == 0  # PTRACE_TRACEME


@attack("use set-user-ID programs, where it is a recipe's or apt's")
def _() -> object:
    return "NoNewPrivs:\t0" in Path("/proc/self/status").read_text()


@attack("reach the host's network, and services that listen on its loopback device")
def _() -> object:
    return socket.create_connection(("127.0.0.1", told["port"]), timeout=5).recv(9) == b"the door\n"


@attack("reach sockets of the host in the abstract namespace")
def _() -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + told["abstract"])
        return client.recv(9) == b"the door\n"


@attack("read what the recipe mounts, with what is mounted below")
def _() -> object:
    return Path("/data/sub/file").read_text() == "of the host"


# -- what it must not ------------------------------------------------------------------------------------------


@attack("write there, where the mount is read-only")
def _() -> object:
    written = []
    for name in ("/data/new", "/data/sub/new", "/data/sub/file"):
        try:
            written.append(Path(name).write_text("of the step"))
        except OSError:
            continue
    return written


@attack("read or write a disk whose device node the base has")
def _() -> object:
    with Path("/disk").open("r+b", buffering=0) as disk:
        return disk.read(len(CANARY)) and disk.write(b"overwritten")


@attack("read another device whose node the base has")
def _() -> object:
    with Path("/tape").open("rb") as tape:
        return len(tape.read(4)) == 4


@attack("make device nodes")
def _() -> object:
    os.mknod("/node", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    return os.path.lexists("/node")


@attack("change the mode, owner or times of the host's /dev/null or /dev/full")
def _() -> object:
    for path in map(Path, ("/dev/null", "/dev/full", "/proc/self/fd/0", "/proc/kcore", "/proc/keys")):
        for change in (
            partial(path.chmod, 0o667),
            partial(os.utime, path, (1, 1)),
            partial(os.chown, path, 1, 1),
        ):
            with suppress(OSError):
                change()
    return False  # the host looks


@attack("find files of the host by leaving its root directory")
def _() -> object:
    top = os.open("/", os.O_RDONLY)
    Path("/escape").mkdir(exist_ok=True)
    os.chroot("/escape")
    os.fchdir(top)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    return Path(told["secret"]).read_bytes() == CANARY


@attack("find them by way of /proc")
def _() -> object:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "root" / told["secret"].lstrip("/")).read_bytes() == CANARY:
                return True
        except OSError:
            continue
    return False


@attack("see the host's processes")
def _() -> object:
    return "avabuild-sleeper" in Path(f"/proc/{told['sleeper']}/cmdline").read_text()


@attack("send them signals")
def _() -> object:
    os.kill(told["sleeper"], 0)
    return True


@attack("read the environment of the build")
def _() -> object:
    return CANARY in Path(f"/proc/{told['build']}/environ").read_bytes()


@attack("be in the host's namespace of cgroups")
def _() -> object:
    return str(Path("/proc/self/ns/cgroup").readlink()) == told["cgroup"]


@attack("change cgroups, /sys or /proc/sys")
def _() -> object:
    changed = []
    for path in (
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/ksm/run",
        "/proc/irq/default_smp_affinity",
    ):
        try:
            os.close(os.open(path, os.O_WRONLY))
            changed.append(path)
        except OSError:
            continue
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        place = Path(mount.split()[4])
        if place.is_relative_to("/sys/fs/cgroup"):
            try:
                (place / "avabuild-test").mkdir()
                (place / "avabuild-test").rmdir()
                changed.append(place)
            except OSError:
                continue
    return changed


@attack("read what tells of the machine's memory, firmware and interrupts")
def _() -> object:
    names = ("kcore", "kallsyms", "kpagecount", "kpageflags", "kpagecgroup", "slabinfo", "vmallocinfo",
             "pagetypeinfo", "timer_list", "sched_debug", "interrupts", "iomem", "keys", "kmsg")  # fmt: skip
    found = []
    for name in names:
        try:
            descriptor = os.open(f"/proc/{name}", os.O_RDONLY | os.O_NONBLOCK)
            found += [name] if os.read(descriptor, 8) else []
        except OSError:
            continue
    for name in (
        "/sys/firmware",
        "/proc/acpi",
        "/proc/scsi",
        "/sys/dev/block",
        "/sys/kernel/debug",
        "/sys/kernel/tracing",
    ):
        found += [name] if any(Path(name).glob("*")) else []
    return found


@attack("read the kernel's log")
def _() -> object:
    return checked(libc.klogctl(3, ctypes.create_string_buffer(64), 64)) >= 0


@attack("have more capabilities than containers have")
def _() -> object:
    sets = [
        line.split() for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Cap")
    ]
    return any(int(value, 16) & ~CAPABILITIES for _, value in sets)


@attack("open a user namespace")
def _() -> object:
    return checked(libc.unshare(NEWUSER)) == 0


@attack("open one of cgroups, and mount the host's")
def _() -> object:
    checked(libc.unshare(NEWUSER | NEWNS | NEWCGROUP))
    return checked(libc.mount(b"cgroup2", b"/tmp", b"cgroup2", 0, None)) == 0


@attack("mount a file system")
def _() -> object:
    return checked(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)) == 0


@attack("mount one by the newer calls")
def _() -> object:
    return call("fsopen", b"tmpfs", 0)


@attack("enter a namespace")
def _() -> object:
    return checked(libc.setns(os.open("/proc/self/ns/uts", os.O_RDONLY), 0)) == 0


@attack("read the keyring of whoever builds")
def _() -> object:
    key = call("keyctl", 10, -3, b"user", b"avabuild-canary", 0)  # KEYCTL_SEARCH in the session's
    return call("keyctl", 11, key, ctypes.create_string_buffer(64), 64)


@attack("put a key into a keyring")
def _() -> object:
    return call("add_key", b"user", b"avabuild-step", b"x", 1, -5)  # of the user's session


@attack("load a program into the kernel (bpf)")
def _() -> object:
    attributes = (ctypes.c_uint32 * 16)(2, 4, 8, 1)  # an array
    return call("bpf", 0, ctypes.byref(attributes), ctypes.sizeof(attributes))


@attack("count events of the processor (perf)")
def _() -> object:
    attributes = (ctypes.c_uint32 * 32)(1, 128)  # a clock of software
    return call("perf_event_open", ctypes.byref(attributes), 0, -1, -1, 0)


@attack("use io_uring")
def _() -> object:
    return call("io_uring_setup", 1, ctypes.byref((ctypes.c_uint32 * 30)()))


@attack("handle its own page faults (userfaultfd)")
def _() -> object:
    return call("userfaultfd", 1)


@attack("read the memory of processes (process_vm_readv)")
def _() -> object:
    buffer = ctypes.create_string_buffer(8)
    place = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    return checked(libc.process_vm_readv(os.getpid(), place, 1, place, 1, 0)) == 8


@attack("send packets of its own making")
def _() -> object:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack("reach the machine that the host is a guest of (vsock)")
def _() -> object:
    try:
        return socket.socket(40, socket.SOCK_STREAM)
    except OSError as error:
        return error.errno == errno.EAFNOSUPPORT  # nobody refuses it, but there is none


def tried(function: Callable[[], object]) -> bool | str:
    """Whether the attack succeeds; what went wrong where it is itself to blame."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            said = "yes" if function() else "no"
        except OSError:
            said = "no"
        except Exception:  # noqa: BLE001 - it is told
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    os.waitpid(child, 0)
    return {"yes": True, "no": False}.get(said, said)


if __name__ == "__main__":
    print(json.dumps({words: tried(function) for words, function in ATTACKS.items()}))
