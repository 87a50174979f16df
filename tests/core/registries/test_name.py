"""Names in registries."""

from __future__ import annotations

import pytest

from avabuild.registries.name import Remote

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.example.com/ava", ("registry.example.com", "ava", "", "")),
        ("127.0.0.1:5000/ava-public/ava-keras:py311-cpu", ("127.0.0.1:5000", "ava-public/ava-keras", "py311-cpu", "")),
        (f"localhost/a/b/c@{DIGEST}", ("localhost", "a/b/c", "", DIGEST)),
        (f"[::1]:5000/x:1@{DIGEST}", ("[::1]:5000", "x", "1", DIGEST)),
    ],
)  # fmt: skip
def test_a_name_is_taken_apart_and_put_together_again(text, parts):
    name = Remote.parse(text)
    assert (name.host, name.repository, name.tag, name.digest) == parts
    assert str(name) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ava-keras", "names no registry"),
        ("ava-public/ava-keras:1", "write it with one: registry.example.com/ava-public/ava-keras:1"),
        ("registry.example.com/Ava", "is no repository"),
        ("registry.example.com/", "is no repository"),
        ("registry.example.com/ava:a b", "is no tag"),
        ("registry.example.com/ava:" + "a" * 129, "is no tag"),
        ("registry.example.com/ava@sha256:12", "is no digest"),
        ("https://registry.example.com/ava", "names no registry"),
    ],
)
def test_what_is_no_name_is_refused_with_a_reason(text, why):
    with pytest.raises(ValueError, match=why):
        Remote.parse(text)
