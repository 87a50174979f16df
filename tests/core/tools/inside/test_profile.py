"""The filter as a profile of containers-common's, for `buildah run`."""

from __future__ import annotations

import json

from avabuild.tools.inside.profile import profile
from avabuild.tools.inside.refusals import ARM, GENERIC, I386, JUDGED, X86_64


def test_the_profile_names_every_call_that_the_filter_refuses():
    rules = json.loads(profile())["syscalls"]
    plain = {name: rule["errnoRet"] for rule in rules if not rule["args"] for name in rule["names"]}
    assert set(plain) == {*X86_64, *I386, *GENERIC, *ARM} - {*JUDGED}
    assert (plain["mount"], plain["clone3"]) == (1, 38)
    bits = {
        name: [r["args"][0]["value"] for r in rules if r["names"] == [name]] for name in ("clone", "unshare")
    }
    assert sum(bits["clone"]) == 0x7E02_0000
    assert sum(bits["unshare"]) == 0x7E02_0080
