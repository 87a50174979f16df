"""Which way a Debian is bootstrapped, by what the user may do and which programs there are."""

from __future__ import annotations

import pytest

from avabuild.common.errors import HostError
from avabuild.engine.bases import PROGRAMS, Way, is_older, way_of


@pytest.mark.parametrize(
    ("mode", "programs", "expected"),
    [
        ("root", (), Way(mode="root")),
        ("root", PROGRAMS, Way(mode="root")),
        ("subuid", (), Way(mode="unshare")),
        ("subuid", PROGRAMS, Way(mode="unshare")),
        ("single", PROGRAMS, Way(mode="fakechroot")),
        ("none", PROGRAMS, Way(mode="fakechroot")),
    ],
)
def test_owners_are_kept_wherever_that_is_possible(mode, programs, expected):
    assert way_of(mode, programs) == expected


@pytest.mark.parametrize("programs", [(), ("fakeroot",)])
def test_a_user_with_one_id_is_told_what_would_keep_owners(programs):
    way = way_of("single", programs)
    assert (way.mode, way.inside) == ("root", True)
    assert "fakechroot and fakeroot would keep owners" in way.warning


def test_a_release_with_an_older_c_library_is_beyond_fakechroot():
    inside = way_of("single", PROGRAMS, older=True)
    assert (inside.mode, inside.inside) == ("root", True)
    assert "a host that is no newer would keep owners" in inside.warning
    assert way_of("subuid", PROGRAMS, older=True) == Way(mode="unshare")
    with pytest.raises(HostError, match="older than this host") as caught:
        way_of("none", PROGRAMS, older=True)
    assert "AVABUILD_SHARED_CACHE" in caught.value.hint


@pytest.mark.parametrize(
    ("glibc", "host", "expected"),
    [("2.31", "glibc 2.36", True), ("2.36", "glibc 2.36", False), ("2.41", "glibc 2.5", False),
     ("2.9", "glibc 2.36", True)],
)  # fmt: skip
def test_c_libraries_are_compared_by_version(glibc, host, expected):
    assert is_older(glibc, host) is expected


@pytest.mark.parametrize(
    ("programs", "words"),
    [((), "needs fakechroot and fakeroot where"), (("fakechroot",), "needs fakeroot where")],
)
def test_where_there_is_no_way_it_is_said_what_would_make_one(programs, words):
    with pytest.raises(HostError, match=words) as caught:
        way_of("none", programs)
    assert "apt-get install" in caught.value.hint
    assert "AVABUILD_SHARED_CACHE" in caught.value.hint
