from __future__ import annotations

import pytest
from pydantic import ValidationError

from avabuild.common.value import Value, canonical, digest_of


class Point(Value):
    x: int
    y: int = 0


def test_a_value_is_frozen_and_refuses_keys_that_it_does_not_know():
    with pytest.raises(ValidationError, match="frozen"):
        Point(x=1).x = 2
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Point.model_validate({"x": 1, "z": 2})


def test_equal_values_are_one_key_of_a_dictionary():
    assert {Point(x=1): "here"}[Point(x=1, y=0)] == "here"


def test_the_canonical_form_does_not_depend_on_the_order_of_keys():
    assert canonical({"b": 1, "a": ["é", None]}) == '{"a":["é",null],"b":1}'.encode()
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


@pytest.mark.parametrize("other", [[1, 2], ["1"], [1.5], [[1]], [None], {"1": 1}, "1", 1])
def test_different_data_has_different_digests(other):
    assert digest_of(other) != digest_of([1])


def test_a_file_name_that_is_no_utf_8_has_a_digest_too():
    name = b"caf\xe9".decode(errors="surrogateescape")
    assert digest_of([name]) != digest_of(["caf\N{REPLACEMENT CHARACTER}"])
