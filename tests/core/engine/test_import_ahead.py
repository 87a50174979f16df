from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from avabuild.common.errors import StepError
from avabuild.engine.import_ahead import Importer, import_image
from avabuild.engine.import_image import FED
from avabuild.engine.import_image import PULLED as HEAVY
from avabuild.engine.layout import compose_image
from avabuild.layer.base import Base
from avabuild.store.oci import Piece, Settings


@pytest.fixture
def piece(keep_blob) -> Callable[..., Piece]:
    def make(name: str, unpacked: int = HEAVY) -> Piece:
        return Piece(blob=keep_blob(name.encode(), unpacked), created_by=f"avabuild: {name}")

    return make


@pytest.fixture
def base(keep_blob) -> Base:
    return Base(digest="sha256:base", layers=(keep_blob(b"base"),))


def digests(*pieces: Piece) -> list[str]:
    return [piece.blob.digest for piece in pieces]


def wait(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


def test_a_heavy_prefix_is_imported_while_the_rest_is_made(context, base, tools, piece):
    low, heavy = piece("low", 10), piece("heavy")
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        importer.fill(1, heavy)
        importer.fill(0, low)
        wait(lambda: len(tools.pulled) == 1)
        importer.settle()
    assert tools.pulled == [[base.layers[0].digest, *digests(low, heavy)]]


def test_nothing_is_imported_before_the_lowest_piece_is_there(context, base, tools, piece):
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        for index in (1, 2, 3):
            importer.fill(index, piece(f"p{index}"))
        importer.settle()
    assert tools.pulled == []


def test_nothing_is_imported_while_all_is_light(context, base, tools, piece):
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        for index in range(3):
            importer.fill(index, piece(f"p{index}", HEAVY // 4))
        importer.settle()
    assert tools.pulled == []


def test_where_layers_are_fed_lighter_ones_go_ahead_too(context, base, tools, piece):
    tools.feeds = True
    ahead: list[list[str]] = []
    context.import_ahead = lambda composed: ahead.append([blob.digest for blob in composed.blobs[1:]])
    one, two = piece("one", FED), piece("two", FED - 1)
    with Importer(context, base, "amd64") as importer:
        importer.expect(3)
        importer.fill(0, one)
        wait(lambda: bool(ahead))
        importer.fill(1, two)
        importer.settle()
    assert ahead == [digests(one)]


def test_light_pieces_are_heavy_together(context, base, tools, piece):
    pieces = [piece(f"p{index}", HEAVY // 2) for index in range(2)]
    with Importer(context, base, "amd64") as importer:
        importer.expect(3)
        for index, one in enumerate(pieces):
            importer.fill(index, one)
        wait(lambda: bool(tools.pulled))
    assert tools.pulled[0][1:] == digests(*pieces)


def test_the_whole_image_is_left_to_the_build(context, base, tools, piece):
    with Importer(context, base, "amd64") as importer:
        importer.expect(1)
        importer.fill(0, piece("heavy"))
        importer.settle()
    assert tools.pulled == []


def test_each_import_stands_on_the_one_before_and_takes_what_became_ready(context, base, tools, piece):
    pieces = [piece(f"p{index}") for index in range(4)]
    gate = threading.Event()
    tools.before_pull = lambda: gate.wait(10)
    with Importer(context, base, "amd64") as importer:
        importer.expect(5)
        for index, one in enumerate(pieces):
            importer.fill(index, one)
        gate.set()
        wait(lambda: len(tools.pulled) == 2)
        importer.settle()
    assert [layers[1:] for layers in tools.pulled] == [digests(pieces[0]), digests(*pieces)]


def test_exec_layers_stand_below_and_a_piece_that_is_none_leaves_no_gap(context, base, tools, piece):
    apt, heavy = piece("apt", 5), piece("heavy")
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        importer.fill(1, None)
        importer.fill(2, heavy)
        assert tools.pulled == []
        importer.lower([apt])
        wait(lambda: bool(tools.pulled))
    assert tools.pulled == [[base.layers[0].digest, *digests(apt, heavy)]]


def test_the_base_alone_can_be_imported_first(context, base, tools, piece):
    heavy = piece("heavy")
    with Importer(context, base, "amd64") as importer:
        importer.begin()
        importer.expect(2)
        importer.fill(0, heavy)
        wait(lambda: len(tools.pulled) == 2)
        importer.settle()
    assert [layers[1:] for layers in tools.pulled] == [[], digests(heavy)]


def test_an_import_that_fails_fails_the_build_and_is_the_last(context, base, tools, piece):
    tools.failing = True
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        importer.fill(0, piece("heavy"))
        wait(lambda: bool(importer._running and importer._running.done()))
        tools.failing = False
        importer.fill(1, piece("next"))
        with pytest.raises(StepError, match="buildah failed"):
            importer.settle()
    assert tools.pulled == []


def test_a_later_import_that_fails_fails_the_build_too(context, base, tools, piece):
    entered, gates = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

    def pull() -> None:
        turn = sum(event.is_set() for event in entered)
        entered[turn].set()
        gates[turn].wait(10)
        tools.failing = turn == 1

    tools.before_pull = pull
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        importer.fill(0, piece("one"))
        importer.fill(1, piece("two"))
        gates[0].set()
        assert entered[1].wait(10)
        importer.fill(2, piece("three"))
        gates[1].set()
        with pytest.raises(StepError, match="buildah failed"):
            importer.settle()
    assert len(tools.pulled) == 1


def test_settling_waits_for_the_import_that_runs_and_starts_no_other(context, base, tools, piece):
    gate = threading.Event()
    tools.before_pull = lambda: gate.wait(10)
    with Importer(context, base, "amd64") as importer:
        importer.expect(4)
        importer.fill(0, piece("one"))
        importer.fill(1, piece("two"))
        threading.Timer(0.05, gate.set).start()
        importer.settle()
        assert len(tools.pulled) == 1
        importer.fill(2, piece("three"))
    assert len(tools.pulled) == 1


def test_a_build_that_fails_meanwhile_leaves_the_importer_without_another_error(context, base, tools, piece):
    importer = Importer(context, base, "amd64")
    with pytest.raises(KeyboardInterrupt), importer:
        raise KeyboardInterrupt
    importer.expect(3)
    importer.fill(0, piece("late"))
    assert tools.pulled == []


def test_names_given_for_imports_are_taken_away_at_the_end(context, base, tools, piece):
    with context.cleanup, Importer(context, base, "amd64") as importer:
        importer.expect(2)
        importer.fill(0, piece("heavy"))
        wait(lambda: bool(tools.pulled))
        importer.settle()
        composed = compose_image(context.store, base, [], Settings(), "amd64")
        assert import_image(context, composed) == "id-2"
        assert tools.untagged == []
    build = context.scratch.build
    assert sorted(tools.untagged) == [f"avabuild-{build}-1", f"avabuild-{build}-2"]


def test_an_import_is_shown_as_a_step(context, base, events, piece):
    import_image(context, compose_image(context.store, base, [piece("a")], Settings(), "amd64"))
    assert [(event.kind, event.step) for event in events] == [
        ("start", "import the image"),
        ("finish", "import the image"),
    ]
