"""avabuild's own plugins are held against the kit that strangers' are."""

from __future__ import annotations

import pytest

from avabuild.authoring.conformance.check import held
from avabuild.authoring.conformance.finding import RULES
from avabuild.authoring.conformance.subject import opened
from avabuild.plugins.provider import OWN, installed

NAMES = [one.name for one in installed() if one.distribution == OWN]


@pytest.fixture(scope="module")
def verdicts():
    with opened(OWN) as subject:
        return {verdict.name: verdict for verdict in held(subject)}


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_of_ours_keeps_the_contract(verdicts, name):
    assert [f"{finding.rule}: {finding}" for finding in verdicts[name].findings] == []
    assert set(verdicts[name].looked) == set(RULES)


def test_there_are_plugins_of_ours(verdicts):
    assert {"keras", "cuda", "caffe", "python"} < set(NAMES) == set(verdicts)
