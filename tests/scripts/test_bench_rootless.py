"""The benchmark of users without root: missed promises are marked, and the machine is left as it was."""

from __future__ import annotations

from bench.rootless import LIMITS, MODES, TITLES, report, write_ranges

QUICK = dict.fromkeys(("probe", "probe again", "enter", "step", "command"), 0.01)
EVEN = {mode: [2.0] for mode in MODES}


def rows(found, builds):
    lines = report(found, builds, 3).splitlines()
    return {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if line.startswith("| ")}


def test_what_is_within_its_limit_is_not_marked():
    text = report(dict.fromkeys(MODES, QUICK), EVEN, 3)
    assert "missed" not in text
    assert "takes 1.00 of the time" in text


def test_each_limit_that_was_missed_is_marked_where_it_was():
    slow = {**QUICK, "probe": 0.151, "enter": 0.4, "step": 0.05}
    found = rows({**dict.fromkeys(MODES, QUICK), "single": slow}, EVEN)
    for key in LIMITS:
        marked = ["(missed)" in cell for cell in found[TITLES[key]]]
        assert marked == [False, False, True, False], key
    assert not any("missed" in cell for cell in found[TITLES["step"]])


def test_a_user_with_one_id_who_waits_too_long_is_marked():
    builds = {"root": [1.0], "subuid": [1.0, 1.0], "single": [1.2, 1.0, 1.4]}
    assert "takes 1.20 of the time of one with a range (promised: 1.1, missed)" in report(
        dict.fromkeys(MODES, QUICK), builds, 3
    )


def test_ranges_of_others_stay_also_those_that_came_meanwhile(tmp_path):
    path = tmp_path / "subuid"
    path.write_text("ada:100000:65536\navabenchone:165536:65536\n")
    write_ranges(path, ["avabenchsub", "avabenchone"], "avabenchsub:300000:65536\n")
    assert path.read_text() == "ada:100000:65536\navabenchsub:300000:65536\n"
    with path.open("a") as file:
        file.write("bea:400000:65536\n")
    write_ranges(path, ["avabenchsub", "avabenchone"])
    assert path.read_text() == "ada:100000:65536\nbea:400000:65536\n"
