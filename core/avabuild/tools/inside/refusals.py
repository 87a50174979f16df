"""The refusals: the filter of system calls that every step is under, whoever starts it and on whatever host.

A step may do what a program does; it is refused what reaches the machine below it, even as root: namespaces,
mounts, keyrings, modules, clocks, the memory of others, tracing, io_uring. Calls of newer kernels, beyond the
last one that is known here, are not there for a step. The list is that of containers-common's profile for the
capabilities of a step (runner.CAPABILITIES), and with it what that profile leaves to the capabilities that a
user namespace gives. It is written down here, so that a step meets the same calls on every host; decision 25
says where it differs.

Source: containers-common, seccomp.json; numbers from the kernel's tables, as in `fake_root`; clone(2),
unshare(2), personality(2), socket(2), ioctl_tty(2).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from errno import EINVAL, ENOSYS, EPERM
from functools import cache

from avabuild.common.errors import HostError
from avabuild.tools.inside.bpf import (
    ALLOW,
    ARCHITECTURE,
    IF,
    IF_ANY,
    IF_MORE,
    JUMP,
    LOAD,
    NUMBER,
    RETURN,
    Filter,
    argument,
    fail,
    instruction,
)

NAMESPACES = (
    "mount", "umount", "umount2", "pivot_root", "setns", "sethostname", "setdomainname", "move_mount",
    "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
)  # fmt: skip
"""What a step with a namespace of its own may do in it, and no other step."""
UNKNOWN = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""What is said not to be there, so that programs take the older way: clone3's flags are out of reach."""
JUDGED = ("clone", "unshare", "personality", "socket", "socketcall", "ioctl")
"""What depends on the arguments; all others of the tables are refused."""
LAST = 469  # file_setattr, of Linux 6.17: later calls are not known here

X86_64: Mapping[str, int] = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "setns": 308, "sethostname": 170,
    "setdomainname": 171, "move_mount": 429, "open_tree": 428, "open_tree_attr": 467, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321, "perf_event_open": 298,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "process_madvise": 440,
    "pidfd_getfd": 438, "userfaultfd": 323, "open_by_handle_at": 304, "lookup_dcookie": 212,
    "fanotify_init": 300, "quotactl": 179, "quotactl_fd": 443, "acct": 163, "swapon": 167,
    "swapoff": 168, "reboot": 169, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "create_module": 174, "query_module": 178,
    "get_kernel_syms": 177, "iopl": 172, "ioperm": 173, "settimeofday": 164, "clock_settime": 227,
    "vhangup": 153, "syslog": 103, "nfsservctl": 180, "uselib": 134, "ustat": 136, "sysfs": 139,
    "_sysctl": 156, "migrate_pages": 256, "move_pages": 279, "vmsplice": 278,
    "clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "clone": 56, "unshare": 272, "personality": 135, "socket": 41, "ioctl": 16,
}  # fmt: skip
I386: Mapping[str, int] = {
    "mount": 21, "umount": 22, "umount2": 52, "pivot_root": 217, "setns": 346, "sethostname": 74,
    "setdomainname": 121, "move_mount": 429, "open_tree": 428, "open_tree_attr": 467, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "keyctl": 288, "add_key": 286, "request_key": 287, "bpf": 357, "perf_event_open": 336,
    "process_vm_readv": 347, "process_vm_writev": 348, "kcmp": 349, "process_madvise": 440,
    "pidfd_getfd": 438, "userfaultfd": 374, "open_by_handle_at": 342, "lookup_dcookie": 253,
    "fanotify_init": 338, "quotactl": 131, "quotactl_fd": 443, "acct": 51, "swapon": 87, "swapoff": 115,
    "reboot": 88, "kexec_load": 283, "init_module": 128, "finit_module": 350, "delete_module": 129,
    "create_module": 127, "query_module": 167, "get_kernel_syms": 130, "iopl": 110, "ioperm": 101,
    "settimeofday": 79, "clock_settime": 264, "clock_settime64": 404, "stime": 25, "vhangup": 111,
    "syslog": 103, "nfsservctl": 169, "uselib": 86, "ustat": 62, "sysfs": 135, "_sysctl": 149,
    "bdflush": 134, "migrate_pages": 294, "move_pages": 317, "vmsplice": 316, "vm86": 166,
    "vm86old": 113,
    "clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "clone": 120, "unshare": 310, "personality": 136, "socket": 359, "socketcall": 102, "ioctl": 54,
}  # fmt: skip
GENERIC: Mapping[str, int] = {
    "mount": 40, "umount2": 39, "pivot_root": 41, "setns": 268, "sethostname": 161,
    "setdomainname": 162, "move_mount": 429, "open_tree": 428, "open_tree_attr": 467, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280, "perf_event_open": 241,
    "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "process_madvise": 440,
    "pidfd_getfd": 438, "userfaultfd": 282, "open_by_handle_at": 265, "lookup_dcookie": 18,
    "fanotify_init": 262, "quotactl": 60, "quotactl_fd": 443, "acct": 89, "swapon": 224, "swapoff": 225,
    "reboot": 142, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273,
    "delete_module": 106, "settimeofday": 170, "clock_settime": 112, "vhangup": 58, "syslog": 116,
    "nfsservctl": 42, "migrate_pages": 238, "move_pages": 239, "vmsplice": 75,
    "clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "clone": 220, "unshare": 97, "personality": 92, "socket": 198, "ioctl": 29,
}  # fmt: skip
ARM: Mapping[str, int] = {
    "mount": 21, "umount2": 52, "pivot_root": 218, "setns": 375, "sethostname": 74,
    "setdomainname": 121, "move_mount": 429, "open_tree": 428, "open_tree_attr": 467, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "keyctl": 311, "add_key": 309, "request_key": 310, "bpf": 386, "perf_event_open": 364,
    "process_vm_readv": 376, "process_vm_writev": 377, "kcmp": 378, "process_madvise": 440,
    "pidfd_getfd": 438, "userfaultfd": 388, "open_by_handle_at": 371, "lookup_dcookie": 249,
    "fanotify_init": 367, "quotactl": 131, "quotactl_fd": 443, "acct": 51, "swapon": 87, "swapoff": 115,
    "reboot": 88, "kexec_load": 347, "kexec_file_load": 401, "init_module": 128, "finit_module": 379,
    "delete_module": 129, "settimeofday": 79, "clock_settime": 262, "clock_settime64": 404,
    "vhangup": 111, "syslog": 103, "nfsservctl": 169, "uselib": 86, "ustat": 62, "sysfs": 135,
    "_sysctl": 149, "bdflush": 134, "migrate_pages": 400, "move_pages": 344, "vmsplice": 343,
    "clone3": 435, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "clone": 120, "unshare": 337, "personality": 136, "socket": 281, "ioctl": 54,
}  # fmt: skip
# By machine: the audit architecture of each kind of program that it runs (linux/audit.h), and its numbers.
TABLES: Mapping[str, tuple[tuple[int, Mapping[str, int]], ...]] = {
    "x86_64": ((0xC000_003E, X86_64), (0x4000_0003, I386)),
    "aarch64": ((0xC000_00B7, GENERIC), (0x4000_0028, ARM)),
    "riscv64": ((0xC000_00F3, GENERIC),),
}

NEW_CGROUP = 0x0200_0000
NEW_ANY = 0x7E02_0000  # CLONE_NEW... of clone; unshare has CLONE_NEWTIME too
_NEW_TIME = 0x80
_PERSONALITIES = (0, 0x8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)  # Linux, 32 bits, UNAME26, both; which one it is
_VSOCK, _NETLINK, _AUDIT = 40, 16, 9
_SOCKET = 1  # of socketcall, whose arguments are out of reach: libraries then take the call itself
_PUSH_INPUT, _CONSOLE = 0x5412, 0x541C  # TIOCSTI, TIOCLINUX: words into the mouth of who is at the terminal
_ARM_OWN = range(0xF_0001, 0xF_0007)  # cacheflush and others, far beyond all numbers


def program(machine: str, *, namespaces: bool = False) -> bytes:
    """Return the filter for `machine` (`uname -m`), 8 bytes an instruction.

    `namespaces`: for a step that has user namespaces of its own and what can be done in them; never one of
    cgroups, in which root could mount the host's.

    Raises KeyError for a machine whose calls are not in the tables.
    """
    made = [instruction(LOAD, ARCHITECTURE)]
    for architecture, numbers in TABLES[machine]:
        block = list(_block(numbers, namespaces=namespaces))
        made += [instruction(IF, architecture, 1, 0), instruction(JUMP, len(block)), *block]
    return b"".join([*made, fail(ENOSYS)])


def _block(numbers: Mapping[str, int], *, namespaces: bool) -> Iterator[bytes]:
    """Yield what decides for one architecture; it always returns, so that what follows is not reached."""
    yield instruction(LOAD, NUMBER)
    for number in _ARM_OWN if numbers is ARM else ():
        yield from _if(number, instruction(RETURN, ALLOW))
    yield instruction(IF_MORE, LAST, 0, 1)
    yield fail(ENOSYS)
    for name, number in numbers.items():
        if name in JUDGED:
            yield from _if(number, *_judged(name, namespaces=namespaces))
        elif not (namespaces and name in NAMESPACES):
            yield from _if(number, fail(ENOSYS if name in UNKNOWN else EPERM))
    yield instruction(RETURN, ALLOW)


def _judged(name: str, *, namespaces: bool) -> Iterator[bytes]:
    match name:
        case "clone" | "unshare":
            wide = NEW_ANY | (_NEW_TIME if name == "unshare" else 0)
            yield argument(0)
            yield instruction(IF_ANY, NEW_CGROUP if namespaces else wide, 0, 1)
            yield fail(EPERM)
            yield instruction(RETURN, ALLOW)
        case "personality":
            yield argument(0)
            for value in _PERSONALITIES:
                yield from _if(value, instruction(RETURN, ALLOW))
            yield fail(EPERM)
        case "socket":
            yield argument(0)
            yield from _if(_VSOCK, fail(EPERM))
            yield from _if(_NETLINK, argument(2), *_if(_AUDIT, fail(EINVAL)))
            yield instruction(RETURN, ALLOW)
        case "socketcall":
            yield argument(0)
            yield from _if(_SOCKET, fail(ENOSYS))
            yield instruction(RETURN, ALLOW)
        case "ioctl":
            yield argument(1)
            for request in (_PUSH_INPUT, _CONSOLE):
                yield from _if(request, fail(EPERM))
            yield instruction(RETURN, ALLOW)


def _if(value: int, *then: bytes) -> Iterator[bytes]:
    """Yield what does `then` when the value was loaded, and goes on behind it when another was."""
    yield instruction(IF, value, 0, len(then))
    yield from then


@cache
def refusals(*, namespaces: bool) -> Filter:
    """Return the filter for this machine.

    Raises:
        HostError: its calls are not in the tables.
    """
    machine = platform.machine()
    if machine not in TABLES:
        raise HostError(
            f"avabuild has no filter of system calls for {machine}, and starts no step without one",
            hint=f"build on one of {', '.join(TABLES)}",
        )
    return Filter(program(machine, namespaces=namespaces))
