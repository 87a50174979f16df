from __future__ import annotations

import pytest
from avabuild_sample import SampleOptions

from avabuild.testing import Ask, conformance

test_it_keeps_the_contract = conformance("sample")


@pytest.mark.parametrize(("example", "kinds"), [(False, ["python"]), (True, ["python", "files"])])
def test_its_layers_follow_its_options(ask: Ask, example: bool, kinds: list[str]) -> None:
    answer = ask("sample", python="3.11", example=example)
    assert [layer.kind for layer in answer.layers] == kinds
    assert answer.requirements == ("micrograd==0.1.*",)


def test_the_example_is_left_out_unless_it_is_asked_for() -> None:
    assert SampleOptions().example is False
