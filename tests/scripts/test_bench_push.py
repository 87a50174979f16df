"""The benchmark of pushing: both ways ask for the same, and a missed promise is marked."""

from __future__ import annotations

import tomllib

from bench.measure import Cost
from bench.push import LIMITS, OURS, SECOND, THEIRS, Published, second_recipe, site, table
from bench.variant import requirements


def test_the_second_image_is_the_same_for_both_and_shares_tensorflow():
    read = tomllib.loads(second_recipe())
    assert (read["name"], list(read["frameworks"])) == ("second", ["tensorflow", "jupyterlab"])
    asked = requirements(SECOND).splitlines()
    assert asked == ["tensorflow-cpu==2.19.*", "jupyterlab", *read["packages"]["pip"]]


def test_the_promises_are_the_ones_that_were_made():
    assert LIMITS == {"cold": 0.4, "second": 0.1}


def test_the_table_marks_what_was_missed():
    found = {
        OURS: {"cold": Published(Cost(30, 1), 0, 5_000_000), "second": Published(Cost(11, 1), 0, 1_000_000)},
        THEIRS: {"cold": Published(Cost(100, 1), 40, 6_000_000), "second": Published(Cost(100, 1), 40, 9)},
    }
    rows = [line.strip("| ").split(" | ") for line in table(found).splitlines()[2:]]
    assert [row[3] for row in rows] == ["0.30", "0.11 (missed)"]
    assert rows[0][1:3] == ["30.00 s; 5.0 MB", "100.00 s, 40.0 s of it the push; 6.0 MB"]


def test_the_registry_of_a_benchmark_begins_empty(tmp_path):
    with site(tmp_path / "registry") as registry:
        assert registry.size == 0
