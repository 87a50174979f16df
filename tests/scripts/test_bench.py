"""The benchmark's pure parts: what is built, what is compared, how a command is measured."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import Cost, middle, run
from bench.table import OURS, ratio, table
from bench.variant import EDITS, SCENARIOS, START, base_recipe, containerfile, recipe, requirements
from bench.ways import WAYS, host_settings


def test_the_recipe_and_the_requirements_ask_for_the_same() -> None:
    variant = replace(START, tensorflow="2.18", pip=("requests", "scikit-learn"), apt=("tree",))
    read = tomllib.loads(recipe(variant))
    assert read["frameworks"] == {"tensorflow": "2.18", "jupyterlab": "*"}
    assert read["packages"] == {"pip": ["requests", "scikit-learn"], "apt": ["tree"]}
    assert requirements(variant).split() == [
        "tensorflow-cpu==2.18.*",
        "jupyterlab",
        "requests",
        "scikit-learn",
    ]


def test_the_base_alone_is_the_same_base() -> None:
    assert tomllib.loads(base_recipe())["base"] == tomllib.loads(recipe(START))["base"]
    assert "frameworks" not in tomllib.loads(base_recipe())


def test_every_edit_but_the_no_op_changes_the_recipe() -> None:
    changed = {key for key, scenario in EDITS.items() if recipe(scenario.variant) != recipe(START)}
    assert changed == set(EDITS) - {"no-op"}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_containerfile_keeps_downloads_in_a_cache_mount_and_puts_apt_last(installer: str) -> None:
    text = containerfile(installer, EDITS["apt"].variant)
    steps = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    assert [step for step in steps if step != "ARG"] == ["FROM", "ENV", "COPY", "RUN", "RUN"]
    assert f"--mount=type=cache,target=/root/.cache/{installer}" in text
    assert text.index(f"{installer} ") < text.index("install -y --no-install-recommends tree")


def test_a_containerfile_says_no_apt_when_none_is_asked_for() -> None:
    assert "apt-get" not in containerfile("uv", START)


def test_the_containerfile_of_uv_compiles_bytecode_as_avabuild_does() -> None:
    assert "--compile-bytecode" in containerfile("uv", START)


def test_steps_are_given_the_hosts_certificates_and_indexes_and_nothing_else() -> None:
    flags = host_settings(
        {"PIP_CERT": "/ca.pem", "UV_INDEX": "http://127.0.0.1/", "HOME": "/root", "SSL_CERT_FILE": ""}
    )
    assert flags[:2] == ["--volume", "/ca.pem:/run/bench-ca.pem:ro"]
    assert set(flags[3::2]) == {
        "PIP_CERT=/run/bench-ca.pem",
        "SSL_CERT_FILE=/run/bench-ca.pem",
        "UV_INDEX=http://127.0.0.1/",
    }
    assert host_settings({"HOME": "/root"}) == []


def test_the_ratio_is_to_the_fastest_containerfile() -> None:
    assert ratio({OURS: Cost(10, 1), "pip": Cost(80, 1), "uv": Cost(40, 1)}) == pytest.approx(0.25)


@pytest.mark.parametrize("way", WAYS)
def test_one_way_alone_has_no_ratio(way: str) -> None:
    costs = {way: Cost(10, 1)}
    assert ratio(costs) is None
    assert len(table({"cold": costs}, (way,)).splitlines()) == 3


def test_the_table_marks_a_ratio_above_what_was_promised() -> None:
    results = {
        "cold": {OURS: Cost(20, 250), "uv": Cost(50, 90)},
        "oci": {OURS: Cost(20, 250), "uv": Cost(50, 90)},
        "framework": {OURS: Cost(20, 250), "uv": Cost(10, 90)},
    }
    head, rule, *rows = table(results, (OURS, "uv")).splitlines()
    assert head == "| scenario | avabuild | Containerfile, uv | avabuild / best | at most |"
    assert rule == "| --- | ---: | ---: | ---: | ---: |"
    assert rows == [
        "| cold to local store | 20.00 s (250 MB) | 50.00 s (90 MB) | 0.40 | 0.6 |",
        "| cold to an OCI layout, compressed | 20.00 s (250 MB) | 50.00 s (90 MB) | 0.40 (missed) | 0.25 |",
        "| framework version changed | 20.00 s (250 MB) | 10.00 s (90 MB) | 2.00 |  |",
    ]


def test_the_promises_are_the_ones_that_were_made() -> None:
    assert {key: scenario.limit for key, scenario in SCENARIOS.items()} == {
        "cold": 0.6, "oci": 0.25, "no-op": 2.0, "pip": 0.15, "apt": 0.5, "apt again": None, "framework": None
    }  # fmt: skip


def test_costs_add_seconds_and_keep_the_larger_peak() -> None:
    assert Cost(1, 300) + Cost(2, 100) == Cost(3, 300)


def test_the_middle_of_three_runs_is_not_moved_by_a_slow_one() -> None:
    assert middle([Cost(1, 10), Cost(100, 30), Cost(2, 20)]) == Cost(2, 20)


def test_a_command_is_measured_and_its_output_logged(tmp_path: Path) -> None:
    cost = run(["sh", "-c", "sleep 0.05; echo $WORD"], tmp_path / "log", {"WORD": "said"}, tmp_path)
    assert cost.seconds >= 0.05
    assert cost.peak > 0
    assert (tmp_path / "log").read_text().endswith("\nsaid\n")


def test_a_failed_command_ends_the_benchmark_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)no luck\n.*exit 3"):
        run(["sh", "-c", "echo no luck; exit 3"], tmp_path / "log")
