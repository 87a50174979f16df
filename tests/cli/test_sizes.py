from __future__ import annotations

import pytest

from avabuild.cli.units import age, read_age, read_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * 10**9), ("800 mb", 800 * 10**6), ("2GiB", 2 << 30), ("1.5k", 1500), ("0", 0), ("7B", 7)],
)
def test_sizes_are_read(text, size):
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1ib", "1e9", "50 potatoes", "1,5GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size; write 50GB"):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2592000), ("12h", 43200), ("2w", 1209600), ("90 s", 90)]
)
def test_ages_are_read(text, seconds):
    assert read_age(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-3d", "3y", "soon"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(ValueError, match="is no age; write 30d"):
        read_age(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "now"), (59, "now"), (60, "1 minute"), (7300, "2 hours"), (86400 * 3, "3 days")],
)
def test_ages_are_told(seconds, words):
    assert age(seconds) == words
