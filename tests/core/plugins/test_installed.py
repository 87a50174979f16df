"""Telling what plugins declare without importing them here: once each, whatever they do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avabuild.plugins.installed import roster
from avabuild.plugins.provider import Provider, Trust, installed
from avabuild.run.stamp import installed_digest
from avabuild.store import Store

GOOD = """
from typing import Literal
from pydantic import Field
from avabuild.api import BaseOptions, Framework, OfferedBase, Options, Policy, Release, hookimpl

print("noise on the standard output")

class Own(Options):
    level: int = Field(default=1, description="How much")

class Ubuntu(BaseOptions):
    ubuntu: Literal["22.04"]

@hookimpl
def avabuild_frameworks():
    rows = (Release(version="2", pythons=("3.11", "3.9")), Release(version="1", pythons=("3.9",), devices=("any",)))
    yield Framework(name="good", summary="fine", releases=rows, layers=list, check=str, options=Own)

@hookimpl
def avabuild_policies():
    yield Policy(name="good", summary="a rule", amend=list)

@hookimpl
def avabuild_bases():
    yield OfferedBase(name="ubuntu", summary="a base", options=Ubuntu, resolve=dict)
"""
COUNTED = "from pathlib import Path\nwith Path(__file__).with_suffix('.count').open('a') as f: f.write('x')\n"


@pytest.fixture
def plug(tmp_path, monkeypatch) -> Callable[..., Provider]:
    """Put a module where children of this process find it, too, and return its provider."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, text: str, kind: str = "framework", module: str = "") -> Provider:
        module = module or f"roster_{name}"
        (tmp_path / f"{module}.py").write_text(text)
        return Provider(name, module, f"avabuild-{name}", "1.0", kind)

    return make


def test_what_each_kind_declares_is_told(plug, store):
    good = plug("good", GOOD)
    others = [plug("good", GOOD, "policy"), plug("ubuntu", GOOD, "base", "roster_good")]
    framework, policy, base = roster([good, *others], Trust(), store, installed_digest)
    assert framework == {
        "summary": "fine",
        "options": [
            {"name": "version", "type": "string", "default": "*",
             "description": "PEP 440 specifier of the framework's version, or *"},
            {"name": "level", "type": "number", "default": 1, "description": "How much"},
        ],
        "series": ["2", "1"],
        "pythons": ["3.9", "3.11"],
        "devices": ["any", "cpu"],
    }  # fmt: skip
    assert policy == {"summary": "a rule"}
    assert (base["summary"], [option["name"] for option in base["options"]]) == ("a base", ["ubuntu"])
    assert "roster_good" not in sys.modules


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import no_such_module", "can't be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import os\nos._exit(3)", "can't be imported: it ends the process with status 3"),
        ("import os\nos.kill(os.getpid(), 11)", "can't be imported: it ends the process by SIGSEGV"),
        ("while True: pass", "can't be imported: it takes longer than 3 s"),
        ("AVABUILD_CONTRACT = 99\n1 / 0", "is written for contract 99, and this avabuild"),
        ("", 'declares no framework, not "bad"'),
        (
            GOOD.replace('"good"', '"bad"').replace('summary="fine"', "summary=3"),
            "summary must be a str, not 3",
        ),
    ],
)
def test_a_plugin_that_is_broken_harms_no_other(plug, store, text, problem):
    bad, good = plug("bad", text), plug("good", GOOD)
    first, second = roster([bad, good], Trust(patience=3), store, installed_digest)
    assert second["summary"] == "fine"
    assert problem in first["problem"]


def test_a_plugin_is_imported_once_until_it_changes(plug, store, tmp_path):
    count = tmp_path / "roster_good.count"
    good = plug("good", GOOD + COUNTED)
    assert roster([good], Trust(), store, installed_digest) == roster(
        [good], Trust(), store, installed_digest
    )
    assert count.read_text() == "x"
    plug("good", GOOD.replace('"fine"', '"better"') + COUNTED)
    assert roster([good], Trust(), store, installed_digest)[0]["summary"] == "better"
    assert count.read_text() == "xx"


def test_a_broken_plugin_is_asked_again_when_something_else_is_installed(plug, store, tmp_path):
    bad = plug("bad", "import roster_helper\n" + GOOD.replace('name="good"', 'name="bad"') + COUNTED)
    assert "roster_helper" in roster([bad], Trust(), store, installed_digest)[0]["problem"]
    (tmp_path / "roster_helper.py").write_text("")
    assert "problem" in roster([bad], Trust(), store, installed_digest)[0]
    (tmp_path / "helper-1.0.dist-info").mkdir()
    assert roster([bad], Trust(), store, installed_digest)[0]["summary"] == "fine"


def test_a_plugin_that_is_not_allowed_is_not_imported(plug, store, tmp_path):
    good = plug("good", GOOD + COUNTED)
    (told,) = roster([good], Trust(("other",), "AVABUILD_PLUGINS"), store, installed_digest)
    assert told == {"problem": "AVABUILD_PLUGINS does not allow avabuild-good"}
    assert not (tmp_path / "roster_good.count").exists()


def test_a_damaged_entry_of_the_cache_is_made_anew(plug, store):
    good = plug("good", GOOD)
    first = roster([good], Trust(), store, installed_digest)
    for path in (store.root / "index" / "plugin").iterdir():
        path.write_text("[")
    assert roster([good], Trust(), store, installed_digest) == first


def test_all_of_avabuilds_own_are_told_and_none_is_imported(tmp_path):
    program = (
        "import json, sys; from pathlib import Path; from avabuild.plugins.provider import installed, Trust;"
        "from avabuild.plugins.installed import roster; from avabuild.store import Store;"
        f"told = roster(installed(), Trust(), Store(Path({str(tmp_path)!r})), str);"
        "print(json.dumps([told, [m for m in sys.modules if m.startswith('avabuild_plugins')]]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    told, imported = json.loads(done.stdout)
    assert imported == []
    assert len(told) == len(installed())
    assert not [one for one in told if "problem" in one]


def test_nobody_is_asked_for_nothing(tmp_path: Path):
    assert roster([], Trust(), Store(tmp_path), installed_digest) == ()
