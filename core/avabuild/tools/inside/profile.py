"""The refusals as a profile, for `buildah run`: what of our filter can be said by the names of calls.

Source: containers-common, seccomp.json(5); libseccomp's names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from errno import EINVAL, ENOSYS, EPERM
from typing import Any

from avabuild.tools.inside.refusals import ARM, GENERIC, I386, JUDGED, UNKNOWN, X86_64

_NEW = (
    0x80,
    *(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)),
)  # CLONE_NEW...: time, mount, cgroup, and so on
_SIGNALS = 0xFF  # of clone's flags, among them what means a namespace of times to unshare
_ARCHITECTURES = [
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
]


def profile() -> str:
    """Return the profile's text."""
    names = {*X86_64, *I386, *GENERIC, *ARM} - {*JUDGED}
    rules = [_rule(sorted(names - {*UNKNOWN}), EPERM), _rule(sorted(UNKNOWN), ENOSYS), *_judged()]
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "archMap": _ARCHITECTURES, "syscalls": rules})


def _judged() -> Iterator[dict[str, Any]]:
    for bit in _NEW:
        for name in ("unshare",) if bit & _SIGNALS else ("clone", "unshare"):
            yield _rule([name], EPERM, (0, bit, bit, "MASKED_EQ"))
    yield _rule(["socket"], EPERM, (0, 40, 0, "EQ"))
    yield _rule(["socket"], EINVAL, (0, 16, 0, "EQ"), (2, 9, 0, "EQ"))
    for request in (0x5412, 0x541C):
        yield _rule(["ioctl"], EPERM, (1, 0xFFFF_FFFF, request, "MASKED_EQ"))


def _rule(names: list[str], error: int, *arguments: tuple[int, int, int, str]) -> dict[str, Any]:
    found = [
        {"index": index, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{how}"}
        for index, value, two, how in arguments
    ]
    return {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error, "args": found}
