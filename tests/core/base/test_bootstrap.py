"""Which way a Debian is bootstrapped, by what the user may do and which programs there are."""

from __future__ import annotations

import pytest

from avabuild.base.bootstrap import PROGRAMS, Way, way_of
from avabuild.errors import HostError


@pytest.mark.parametrize(
    ("mode", "programs", "expected"),
    [
        ("root", (), Way(mode="root")),
        ("root", PROGRAMS, Way(mode="root")),
        ("subuid", (), Way(mode="unshare")),
        ("subuid", PROGRAMS, Way(mode="unshare")),
        ("single", PROGRAMS, Way(mode="fakechroot")),
        ("none", PROGRAMS, Way(mode="fakechroot")),
        ("single", (), Way(mode="root", inside=True)),
        ("single", ("fakeroot",), Way(mode="root", inside=True)),
    ],
)
def test_owners_are_kept_wherever_that_is_possible(mode, programs, expected):
    assert way_of(mode, programs) == expected


@pytest.mark.parametrize(
    ("programs", "words"),
    [((), "needs fakechroot and fakeroot where"), (("fakechroot",), "needs fakeroot where")],
)
def test_where_there_is_no_way_it_is_said_what_would_make_one(programs, words):
    with pytest.raises(HostError, match=words) as caught:
        way_of("none", programs)
    assert "apt-get install" in caught.value.hint
    assert "AVABUILD_SHARED_CACHE" in caught.value.hint
