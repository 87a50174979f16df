"""Values of layers refuse what can't be meant."""

from __future__ import annotations

import pytest

from avabuild.plugins.kinds import Compile, Repository, Run
from avabuild.plugins.sources import Download

FINGERPRINT = "A" * 40


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"uri": "https://x"}, "needs the key"),
        ({"key": "a.asc"}, "needs a uri"),
        ({"suite": "/"}, "flat"),
        ({"components": ()}, "needs its components"),
        ({"uri": "ftp://x", "key": "k"}, "uri"),
        ({"name": "Mine Own"}, "name"),
        ({"suite": "a b"}, "suite"),
        ({"suite": "a\nTrusted: yes"}, "suite"),
        ({"components": ("main\nTrusted: yes",)}, "components"),
        ({"uri": "https://x\nTrusted: yes", "key": "k"}, "uri"),
        ({"fingerprint": "abc"}, "fingerprint"),
    ],
)
def test_a_repository_that_makes_no_sense_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Repository(**{"name": "mine", "suite": "stable", **fields})


def test_what_identifies_a_repository_is_no_host():
    one = Repository(
        name="mine", suite="s", components=("b", "a"), uri="https://x", key="k", fingerprint=FINGERPRINT
    )
    assert one.identity == f"mine s a b ({FINGERPRINT})"
    assert one.identity == one.model_copy(update={"uri": "file:/y", "key": "other"}).identity
    assert Repository(name="non-free", suite="s").identity == "non-free s main (the distribution's own key)"


@pytest.mark.parametrize(
    "make",
    [
        lambda url: Repository(name="r", suite="s", uri=url, key="k"),
        lambda url: Download(url=f"{url}/x.tar.gz", sha256="a" * 64),
        lambda url: Run(shell=f"curl {url}"),
        lambda url: Compile(name="x", shell=f"curl {url}"),
    ],
)
def test_no_layer_takes_an_address_with_a_login(make):
    with pytest.raises(ValueError, match="has a login"):
        make("https://me:secret@h.invalid")
    make("https://h.invalid")
