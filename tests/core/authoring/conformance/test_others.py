"""The kit on policies and offered bases."""

from __future__ import annotations

import pytest

from avabuild.authoring.conformance.check import held, judged
from avabuild.authoring.conformance.subject import opened

POLICY = """
from avabuild.api import Label, Policy, hookimpl

def amend(draft):
    yield Label(name="team", value="ml")

@hookimpl
def avabuild_policies():
    return [Policy(name="house", summary="the house's", amend=amend)]
"""
BASE = """
from typing import Literal
from pydantic import Field
from avabuild.api import BaseOptions, OfferedBase, hookimpl

class Ubuntu(BaseOptions):
    ubuntu: Literal["22.04", "24.04"] = Field(description="The release")

def resolve(options):
    return {"image": f"registry.example/ubuntu:{options.ubuntu}"}

@hookimpl
def avabuild_bases():
    return [OfferedBase(name="ubuntu", summary="Ubuntu", options=Ubuntu, resolve=resolve)]
"""


def findings(path, text, hold):
    path.write_text(text)
    with opened(str(path)) as subject:
        return [(finding.rule, str(finding)) for verdict in hold(subject) for finding in verdict.findings]


@pytest.mark.parametrize("text", [POLICY, BASE], ids=["policy", "base"])
def test_a_sound_one_has_no_findings(tmp_path, text):
    assert findings(tmp_path / "sound_plugin.py", text, held) == []


CASES = {
    "a policy that reads the clock": ("pure", "reads the clock", POLICY, "yield Label", "import time; time.time()\n    yield Label"),
    "a policy that takes an image for granted": ("targets", "KeyError", POLICY, "yield Label", "draft.base['image']\n    yield Label"),
    "a policy by chance": ("order", "two answers", POLICY, 'value="ml"', 'value="".join(set("abcdefg"))'),
    "a base that is none": ("targets", "is no base", BASE, '{"image": f"', '{"image": f"!'),
    "a base in the dark": ("options", "no description", BASE, '(description="The release")', "()"),
    "a base that may be anything": ("targets", "nobody can tell what it may be", BASE, 'Literal["22.04", "24.04"]', "str"),
    "a base that reads a file": ("pure", "opens a file", BASE, "    return {", "    open('/etc/hostname')\n    return {"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_broken_is_found(tmp_path, case):
    rule, what, text, old, new = CASES[case]
    assert old in text
    found = findings(
        tmp_path / "broken_plugin.py", text.replace(old, new), held if rule == "order" else judged
    )
    assert [one for one in found if one[0] == rule and what in one[1]], found
