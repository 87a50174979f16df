"""How events look: plain, live, as JSON, and quiet."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from avabuild.cli.console import PlainConsole, QuietConsole
from avabuild.cli.events import JsonConsole
from avabuild.cli.live import LiveConsole
from avabuild.cli.recipe import console_for
from avabuild.cli.table import Row, lines_of, unchanged
from avabuild.cli.units import human
from avabuild.common.errors import StepError
from avabuild.tools.events import Event

WHEEL = "tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl"
EVENTS = (
    Event("start", "layer numpy"),
    Event("output", "buildah", "pulling"),
    Event("progress", "six-1.0-py3-none-any.whl", done=9000, total=9000),
    Event("progress", WHEEL, done=1_000_000, total=273_800_000),
    Event("progress", WHEEL, done=273_800_000, total=273_800_000),
    Event("finish", "layer numpy", "17.1 MB", seconds=1.234),
    Event("fail", "check keras", seconds=2),
    Event("note", text="resolving in a container"),
    Event("warn", text="a and b both install x"),
)
SECONDS = {"layers": 3.0, "import": 9.5, "resolve": 0.01}
IMAGE = {
    "reference": "localhost/mine:py311-cpu",
    "digest": "sha256:" + "a" * 64,
    "size": 82_400_000,
    "layers": 3,
}
HELD = {
    "python": "3.11",
    "sdk": "-",
    "jupyterlab": "4.6.6",
    "device": "cpu",
    "framework": "tensorflow 2.21, keras 3.15",
}
OF_TWO = (
    Event("start", "layer numpy", image="localhost/one:py311-cpu"),
    Event("start", "layer numpy", image="localhost/two:py311-cpu"),
    Event("finish", "layer numpy", "17.1 MB", seconds=1.2, image="localhost/two:py311-cpu"),
    Event("warn", text="careful", image="localhost/one:py311-cpu"),
    Event("note", text="of neither"),
)


def feed(console):
    with console:
        for event in EVENTS:
            console.take(event)
    return console


def test_a_log_gets_a_line_a_step(capsys, done):
    feed(PlainConsole()).image(done, SECONDS)
    said = capsys.readouterr()
    assert said.out == "localhost/mine:py311-cpu\n"
    assert said.err.splitlines() == [
        f"download {WHEEL}: 273.8 MB",
        "layer numpy: 17.1 MB (1.2 s)",
        "check keras: failed (2.0 s)",
        "resolving in a container",
        "warning: a and b both install x",
        f"  digest   sha256:{'a' * 64}",
        "  size     82.4 MB in 3 layers",
        "  layers   1 built, 1 reused",
        "  seconds  12.3 (import 9.5, layers 3.0; phases overlap)",
    ]


def test_verbose_adds_what_the_tools_print(capsys):
    feed(PlainConsole(verbose=True))
    assert "  buildah| pulling" in capsys.readouterr().err.splitlines()


def test_quiet_keeps_warnings_and_references(capsys, done):
    feed(QuietConsole()).image(done, SECONDS)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("localhost/mine:py311-cpu\n", "warning: a and b both install x\n")


def test_json_is_an_object_a_line(capsys, done):
    feed(JsonConsole()).image(done, SECONDS)
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert said.err == ""
    assert [event["event"] for event in events] == [
        *("start", "progress", "progress", "progress", "finish", "fail", "note", "warn", "image")
    ]
    assert events[4] == {"event": "finish", "step": "layer numpy", "text": "17.1 MB", "seconds": 1.234}
    made = {"made": ["wheels"], "reused": ["venv"], "seconds": 12.34, "phases": SECONDS}
    assert events[-1] == {"event": "image", **IMAGE, **HELD, **made}


def test_json_tells_the_error(capsys):
    JsonConsole().failed(StepError("it failed", hint="look"))
    assert json.loads(capsys.readouterr().out) == {
        "event": "error", "class": "StepError", "exit_code": 5, "text": "it failed\n  look",
    }  # fmt: skip


def test_events_say_which_image_they_belong_to(capsys):
    console = JsonConsole()
    for event in OF_TWO:
        console.take(event)
    images = [json.loads(line).get("image") for line in capsys.readouterr().out.splitlines()]
    assert images == [*(f"localhost/{name}:py311-cpu" for name in ("one", "two", "two", "one")), None]


def test_the_lines_of_several_images_say_which_they_are_of(capsys, done):
    console = PlainConsole()
    console.several = True
    for event in OF_TWO:
        console.take(event)
    console.image(done, SECONDS)
    console.failed(StepError("it failed", hint="look"), "localhost/one:py311-cpu")
    console.skipped("localhost/three:cpu", "it needs localhost/one:py311-cpu")
    said = capsys.readouterr()
    assert said.out == "localhost/mine:py311-cpu\n"
    assert said.err.splitlines() == [
        "[two:py311-cpu] layer numpy: 17.1 MB (1.2 s)",
        "[one:py311-cpu] warning: careful",
        "of neither",
        "[mine:py311-cpu] built in 12.3 s: 82.4 MB, layers 1 built, 1 reused",
        "[one:py311-cpu] failed: it failed",
        "[three:cpu] skipped: it needs localhost/one:py311-cpu",
    ]


def test_quiet_says_of_which_image_a_warning_is(capsys):
    console = QuietConsole()
    console.several = True
    for event in OF_TWO:
        console.take(event)
    assert capsys.readouterr().err == "[one:py311-cpu] warning: careful\n"


def test_json_tells_errors_and_skipped_images_by_name(capsys):
    console = JsonConsole()
    console.failed(StepError("it failed"), "localhost/one:cpu")
    console.skipped("localhost/two:cpu", "it needs localhost/one:cpu")
    error, skip = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (error["event"], error["image"], error["exit_code"]) == ("error", "localhost/one:cpu", 5)
    assert skip == {"event": "skip", "image": "localhost/two:cpu", "text": "it needs localhost/one:cpu"}


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, highlight=False)


def text_of(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_terminal_shows_what_runs_and_what_is_downloaded(screen):
    console = LiveConsole(screen)
    with console:
        for event in EVENTS[:4]:
            console.take(event)
        console._live.refresh()
        shown = text_of(screen)
    assert "layer numpy" in shown
    assert "tensorflow_cpu" in shown
    assert "1.0/273.8 MB" in shown
    assert "downloads" in shown


def test_a_terminal_keeps_the_lines_of_finished_steps(screen):
    feed(LiveConsole(screen))
    said = text_of(screen)
    assert "layer numpy: 17.1 MB (1.2 s)" in said
    assert "warning: a and b both install x" in said
    assert "pulling" not in said


def test_the_reference_goes_to_the_standard_output_though_a_terminal_is_drawn_on(screen, capsys, done):
    with LiveConsole(screen) as console:
        console.image(done, SECONDS)
    assert capsys.readouterr().out == "localhost/mine:py311-cpu\n"
    assert "82.4 MB in 3 layers" in text_of(screen)


def test_markup_of_rich_in_a_step_s_name_is_only_text(screen):
    console = LiveConsole(screen)
    with console:
        console.take(Event("start", "run [bold]x[/nope]"))
        console._live.refresh()
        console.take(Event("finish", "run [bold]x[/nope]", seconds=1))
    assert "run [bold]x[/nope] (1.0 s)" in text_of(screen)


def test_one_step_in_two_threads_is_shown_once_and_ends(screen):
    with LiveConsole(screen) as console:
        for kind in ("start", "start", "finish", "finish"):
            console.take(Event(kind, "layer numpy"))  # type: ignore[arg-type]
        assert not console._running


def test_one_step_of_two_images_is_shown_for_each(screen):
    with LiveConsole(screen) as console:
        console.several = True
        for event in OF_TWO[:2]:
            console.take(event)
        assert len(console._running) == 2
        console.take(OF_TWO[2])
        assert list(console._running) == ["[one:py311-cpu] layer numpy"]


def test_the_table_is_the_last_thing_on_a_terminal(screen):
    with LiveConsole(screen) as console:
        console.several = True
        console.take(OF_TWO[0])
        console.table([unchanged(IMAGE | HELD)])
    assert text_of(screen).splitlines()[-1].split() == [
        *("mine:py311-cpu", "3.11", "-", "4.6.6", "cpu", "tensorflow", "2.21,", "keras", "3.15"),
        *("82.4", "MB", "-", "unchanged"),
    ]


def test_a_download_of_unknown_size_has_no_bar_of_its_own(screen):
    with LiveConsole(screen) as console:
        console.take(Event("progress", "big.whl", done=50_000_000))
        console.take(Event("progress", "big.whl", done=60_000_000))
        assert not console._files


@pytest.mark.parametrize(
    ("console", "words"),
    [
        (QuietConsole(), "localhost/mine:py311-cpu\n"),
        (PlainConsole(), "localhost/mine:py311-cpu\n"),
        (JsonConsole(), '"up_to_date": true'),
    ],
    ids=["quiet", "plain", "json"],
)
def test_every_console_says_what_is_up_to_date(capsys, console, words):
    console.up_to_date(IMAGE, 0.01)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("console", "stream"), [(QuietConsole(), 1), (PlainConsole(), 1), (JsonConsole(), 0)]
)
def test_every_console_warns_again_of_what_holds_for_an_image_that_is_up_to_date(capsys, console, stream):
    console.up_to_date({**IMAGE, "warnings": ["two wheels have x.py", "it has 130 layers"]}, 0.01)
    said = capsys.readouterr()[stream]
    assert said.count("two wheels have x.py") >= 1
    assert "it has 130 layers" in said


def test_the_console_is_chosen_by_options_first_and_the_terminal_then(monkeypatch):
    assert type(console_for(as_json=True, quiet=True, verbose=False)) is JsonConsole
    assert type(console_for(as_json=False, quiet=True, verbose=True)) is QuietConsole
    assert type(console_for(as_json=False, quiet=False, verbose=False)) is PlainConsole
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert type(console_for(as_json=False, quiet=False, verbose=True)) is PlainConsole
    assert type(console_for(as_json=False, quiet=False, verbose=False)) is LiveConsole
    monkeypatch.setenv("TERM", "dumb")
    assert type(console_for(as_json=False, quiet=False, verbose=False)) is PlainConsole


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 kB"),
        (1, "1 kB"),
        (26_500, "27 kB"),
        (1_000_000, "1.0 MB"),
        (82_440_000, "82.4 MB"),
        (1.57e9, "1.57 GB"),
    ],
)
def test_sizes_are_decimal(size, text):
    assert human(size) == text


def test_the_table_is_laid_out_like_the_platforms_own():
    rows = [
        Row("ava-keras:py311-cpu", HELD, "built", 568_400_000, 14.52),
        Row("ava-caffe:py27-cpu", {"python": "2.7", "device": "cpu"}, "failed", seconds=301.0),
        Row("ava-mine:cpu", {}, "skipped"),
    ]
    assert list(lines_of(rows)) == [
        "image                Python  SDK  JupyterLab  device  framework                        size  seconds  state",
        "ava-keras:py311-cpu  3.11    -    4.6.6       cpu     tensorflow 2.21, keras 3.15  568.4 MB     14.5  built",
        "ava-caffe:py27-cpu   2.7     -    -           cpu     -                                   -    301.0  failed",
        "ava-mine:cpu         -       -    -           -       -                                   -        -  skipped",
    ]
