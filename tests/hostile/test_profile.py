"""The filter of steps beside the profile that containers-common has on this host: it may refuse more, never less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avabuild.tools.inside.refusals import ARM, GENERIC, I386, JUDGED, X86_64
from avabuild.tools.inside.runner import CAPABILITIES

pytestmark = pytest.mark.build

PROFILE = Path("/usr/share/containers/seccomp.json")
LET_THROUGH = {
    # newer ways to do what is allowed, which some of its releases don't know
    "io_pgetevents", "io_pgetevents_time64", "cachestat", "map_shadow_stack", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
    # what kernels of these machines don't have, and what asks for no more than they tell anybody
    "nice", "oldfstat", "oldlstat", "oldolduname", "oldstat", "olduname", "sgetmask", "ssetmask", "syscall", "swapcontext", "pciconfig_iobase", "pciconfig_read", "pciconfig_write",
}  # fmt: skip


def test_whatever_the_profile_refuses_a_step_is_refused() -> None:
    ours = {name.lower() for name in CAPABILITIES}
    profile = json.loads(PROFILE.read_text())
    refused = set()
    for rule in profile["syscalls"]:
        held = {
            name.removeprefix("CAP_").lower() for name in (rule.get("excludes") or {}).get("caps") or []
        } & ours
        if rule["action"] == "SCMP_ACT_ERRNO" and not held and not rule.get("args"):
            refused |= set(rule["names"])
    known = {*X86_64, *I386, *GENERIC, *ARM}
    assert len(refused) > 40
    assert refused - known - LET_THROUGH == set()
    assert {"clone", "unshare", "socket", "personality"} <= set(JUDGED)
