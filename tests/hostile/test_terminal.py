"""Names and outputs that would move a terminal's cursor, hide what stands there, or turn it round."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from avabuild.cli.console import PlainConsole, QuietConsole
from avabuild.cli.events import JsonConsole
from avabuild.cli.live import LiveConsole
from avabuild.cli.shown import echo, escaped
from avabuild.tools.events import Event

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9b1A\x7f\u202egpj.exe\udcff\b"
COMMAND = Path(sys.executable).with_name("avabuild")


def is_tame(text: str) -> bool:
    return text.isprintable() or all(part.isprintable() or part in "\n\t" for part in text)


def test_what_people_can_read_stays_as_it_is():
    text = "Grüße,\n\t„漢字“ 🎉 עברית"
    assert escaped(text) == text
    assert escaped("\x1b[31m") == "\\u001b[31m"


EVENTS = [
    Event("start", EVIL),
    Event("output", EVIL, EVIL),
    Event("progress", EVIL, EVIL, done=10_000_000, total=10_000_000),
    Event("warn", text=EVIL),
    Event("note", text=EVIL),
    Event("fail", f"step\n{EVIL}"),
    Event("finish", f"step\nbuilt: everything is fine {EVIL}", EVIL),
]


@pytest.mark.parametrize("console", [QuietConsole(), PlainConsole(verbose=True)])
def test_logs_have_no_control_characters(console, capfd):
    for event in EVENTS:
        console.take(event)
    found = capfd.readouterr().err
    assert is_tame(found)
    assert "\\u001b[2J" in found
    assert "\nbuilt:" not in found


def test_a_terminal_gets_none_but_our_own():
    sink = io.StringIO()
    console = LiveConsole(Console(file=sink, force_terminal=False, width=300))
    for event in EVENTS:
        console.take(event)
    for task in (*console._steps.tasks, *console._bars.tasks):
        assert is_tame(task.description)
    assert is_tame(sink.getvalue())


def test_json_stays_json_and_says_what_was_there(capfd):
    JsonConsole().take(Event("warn", text=EVIL))
    echo(json.dumps({"name": EVIL}, ensure_ascii=False, indent=2))
    found = capfd.readouterr().out
    assert is_tame(found)
    first, _, rest = found.partition("\n")
    assert EVIL in json.loads(first).values()
    assert json.loads(rest) == {"name": EVIL}


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AVABUILD_CACHE": str(tmp_path / "cache")}
    return subprocess.run(
        [COMMAND, *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=100, check=False
    )


def test_a_plan_and_its_errors_show_names_escaped(tmp_path):
    text = (
        'name = "mine"\nbase = "scratch"\n[image.labels]\nx = "\\u001b[2Jz"\n[image.env]\nA = "\\u009b1A"\n'
    )
    (tmp_path / "mine.toml").write_text(text)
    for arguments in (("plan", "mine.toml"), ("plan", "mine.toml", "--json")):
        ended = run(tmp_path, *arguments)
        assert ended.returncode == 0, ended.stderr
        assert is_tame(ended.stdout.decode())
    (tmp_path / "mine.toml").write_text(
        f'{text}[[run]]\nshell = "true"\nstage = "\\u001b[2J"\n"a\\u001b[2J" = 1\n'
    )
    for name in ("mine.toml", "no\x1b[2J.toml"):
        ended = run(tmp_path, "plan", name)
        assert ended.returncode == 2
        assert is_tame(ended.stderr.decode())
        assert b"\\u001b[2J" in ended.stderr


def test_a_wheel_s_name_in_an_error_is_escaped(capfd, tmp_path):
    from avabuild.common.errors import WheelError
    from avabuild.layer.scheme import Scheme
    from avabuild.layer.wheel import modules

    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo\x1b[2J/.wh.\nx", b"")
    with pytest.raises(WheelError) as caught:
        modules(path, Scheme(python="3.11"))
    echo(f"avabuild: {caught.value}", err=True)
    assert is_tame(capfd.readouterr().err)
