from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from avabuild.common.errors import HostError, ImageError, StepError
from avabuild.engine.feed import RECORD
from avabuild.engine.stages.workshop import built_record
from avabuild.images.leftovers import DAY, leftovers, sweep_builds
from avabuild.images.prune import Wish, choose, planned, prune
from avabuild.images.remove import remove
from avabuild.images.usage import items, needs_of, storage_usage, usage
from avabuild.resolve.lock import Package
from avabuild.store import Scratch, Store

from .conftest import LOCK

NAME = "localhost/ava-demo:py311-cuda90-cudnn7"
LONG_AGO = 1_000_000_000 * 10**9  # in nanoseconds


@pytest.fixture
def files(store):
    """Files of every kind: `six` and `tree` are what the image of `make_image` needs."""
    made = {
        "blob": store.blobs / ("f" * 64),
        "six": store.root / "wheels" / "55" / ("5" * 64) / "six-1.17.0-py3-none-any.whl",
        "wheel": store.root / "wheels" / "99" / ("9" * 64) / "old-1-py3-none-any.whl",
        "built": store.root / "built" / ("8" * 64) / "old-1-py3-none-any.whl",
        "pyc": store.root / "pyc" / "1.zip",
        "tree": store.root / "debs" / "tree_2.1.0-1_amd64.deb",
        "deb": store.root / "debs" / "old_1_amd64.deb",
        "lists": store.root / "apt-lists" / "base" / "lists" / "x",
        "names": store.root / "apt-names" / "x.json",
        "pip": store.root / "pip-cache" / "x",
        "log": store.root / "logs" / "1.log",
    }
    for path in made.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5000)
    return made


def age(store, when=LONG_AGO):
    """Make everything as if it was last used long ago."""
    for path in store.root.rglob("*"):
        if "leases" not in path.parts:
            os.utime(path, ns=(when, when))
    for kind, name in (("debs", "tree_2.1.0-1_amd64.deb"), ("debs", "old_1_amd64.deb"), ("built", "8" * 64)):
        mark = store.use_mark(kind, name)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        os.utime(mark, ns=(when, when))


def test_what_no_image_needs_is_removed_and_what_one_needs_stays(store, storage, make_image, files):
    composed = make_image()
    storage.add(composed, store, NAME)
    age(store)
    gone = {one.kind for one in prune(store, storage, choose(store, storage, Wish()))}
    assert gone == {"layers", "wheels", "bytecode", "Debian packages", "package lists", "downloads", "logs"}
    assert {name for name, path in files.items() if path.exists()} == {"six", "tree"}
    assert all(store.has(blob.digest, blob.size) for blob in composed.blobs)
    assert store.has(composed.digest)
    assert store.has(composed.config)
    assert not files["wheel"].parent.exists()


def test_an_image_whose_manifest_is_not_in_the_cache_keeps_its_layers(store, storage, make_image):
    composed = make_image()
    storage.add(composed, store, NAME)
    store.record("manifest", composed.config, "")
    age(store)
    prune(store, storage, choose(store, storage, Wish()))
    assert all(store.has(blob.digest) for blob in composed.blobs)
    assert not store.has(composed.digest)


def test_without_images_everything_goes(store, storage, make_image, files):
    make_image()
    age(store)
    prune(store, storage, choose(store, storage, Wish()))
    assert list(store.blobs.iterdir()) == []
    assert store.put(b"again"), "the cache is still one"
    assert not any(path.exists() for path in files.values())


def test_a_dry_run_tells_and_removes_nothing(store, storage, files):
    age(store)
    told = planned(choose(store, storage, Wish()), store)
    assert all(path.exists() for path in files.values())
    done = prune(store, storage, choose(store, storage, Wish()))
    assert sorted(told, key=lambda one: one.kind) == sorted(done, key=lambda one: one.kind)


def test_only_what_was_not_used_for_so_long(store, storage, files):
    age(store)
    recent = time.time_ns() - 3600 * 10**9
    os.utime(files["blob"], ns=(recent, recent))
    prune(store, storage, choose(store, storage, Wish(older_than=7200)))
    assert [name for name, path in files.items() if path.exists()] == ["blob"]


class Blind:
    """Tools of a host where there may be images that nothing can look into."""

    def __init__(self, mode):
        self.mode = mode

    @property
    def storage(self):
        raise HostError("buildah is not on PATH")


def test_nothing_is_removed_where_nobody_can_tell_which_images_there_are(store, make_image, files):
    make_image()
    age(store)
    with pytest.raises(HostError, match="buildah is not on PATH"):
        choose(store, Blind("subuid"), Wish())
    assert choose(store, Blind("none"), Wish()).items, "who can have no storage has no images"


def test_the_least_recently_used_goes_first_until_the_cache_is_small_enough(store, storage, files):
    age(store)
    order = list(files)
    for number, name in enumerate(order):
        path = files[name]
        mark = {"tree": store.use_mark("debs", path.name), "deb": store.use_mark("debs", path.name)}.get(
            name, path
        )
        mark = store.use_mark("built", "8" * 64) if name == "built" else mark
        for one in (mark, path.parent.parent if name == "lists" else path):
            os.utime(one, ns=(LONG_AGO + number, LONG_AGO + number))
    chosen = choose(store, storage, Wish(keep_size=0))
    total = chosen.size
    half = total - sum(item.size for item in chosen.items[:4])
    prune(store, storage, choose(store, storage, Wish(keep_size=half)))
    assert [name for name in order if not files[name].exists()] == order[:4]


def test_a_cache_that_is_small_enough_keeps_everything(store, storage, files):
    age(store)
    assert choose(store, storage, Wish(keep_size=10**9)).items == ()


def test_what_a_running_build_has_looked_at_stays(store, storage, make_image, files):
    """The build's store is another one on the same directory, as another process would have."""
    composed = make_image()
    age(store)
    build = Store(store.root)
    assert build.layer("wheels of packages")
    build.uses.use(files["pyc"])
    prune(store, storage, choose(store, storage, Wish()))
    assert build.has(composed.blobs[1].digest)
    assert files["pyc"].exists()
    assert files["pip"].exists(), "what builds share without a name waits until none runs"
    assert not files["blob"].exists()


def test_what_a_build_looks_at_after_the_choice_stays(store, storage, make_image, files):
    make_image()
    age(store)
    chosen = choose(store, storage, Wish())
    build = Store(store.root)
    blob = build.layer("wheels of packages")
    prune(store, storage, chosen)
    assert build.has(blob.digest)
    assert not files["blob"].exists()


def test_builds_and_prunes_at_once_never_lose_a_layer_that_was_seen(store, storage, keep_layer):
    """Whatever a build was told to be there is there for as long as it runs."""
    lost: list[str] = []
    stop = threading.Event()
    for lease in (store.root / "leases").glob("[0-9]*"):
        lease.unlink()  # the fixture's own, which would keep everything

    def build() -> None:
        while not stop.is_set():
            mine = Store(store.root)
            seen = [blob for name in ("a", "b", "c") if (blob := mine.layer(name))]
            for name in ("a", "b", "c"):
                mine.record("layer", name, keep_layer({name: b"x"}).model_dump())
            time.sleep(0.002)
            lost.extend(blob.digest for blob in seen if not mine.blob_path(blob.digest).exists())
            del mine
            time.sleep(0.005)  # nobody builds: all may go

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    removed, until = 0, time.monotonic() + 2
    while time.monotonic() < until:
        time.sleep(0.001)
        pruning = Store(store.root)  # with a lease of its own, which protects nothing from itself
        removed += sum(one.count for one in prune(pruning, storage, choose(pruning, storage, Wish())))
    stop.set()
    for thread in threads:
        thread.join()
    assert lost == []
    assert removed > 0


def test_archives_stay_while_an_apt_step_runs(store, storage, files):
    age(store)
    with store.lock("apt", "archives"):
        prune(store, storage, choose(store, storage, Wish()))
        assert files["deb"].exists()
        assert files["lists"].exists()
        assert not files["blob"].exists()


def test_leftovers_of_killed_builds_go_and_those_of_running_ones_stay(store, storage, make_image):
    killed, running = Scratch(store), Scratch(store)
    for scratch in (killed, running):
        scratch.__enter__()
        (scratch.path / "layer-1").write_bytes(b"x" * 5000)
    killed._lock.release()
    storage.add(make_image(), store, f"localhost/avabuild-{killed.build}-1:latest")
    storage.add(make_image(more={"x": b"x"}), store, f"localhost/avabuild-{running.build}-1:latest", came=5.0)
    chosen = choose(store, storage, Wish())
    assert chosen.dead == (killed.build,)
    gone = {one.kind: one.count for one in prune(store, storage, chosen)}
    assert gone["scratch"] == 1
    assert storage.removed == [f"localhost/avabuild-{killed.build}-1:latest"] * len(storage.removed)
    assert storage.removed
    assert not killed.path.exists()
    assert running.path.exists()
    running.__exit__(None, None, None)


def test_layers_that_a_killed_build_had_fed_go_with_it_but_those_below_an_image(store, storage, make_image):
    storage.add(make_image(), store, "localhost/kept:1")
    kept = [one["id"] for one in storage.layers]
    storage.layers += [
        {"id": "fed", "parent": kept[-1], "diff-digest": "f"},
        {"id": "other", "diff-digest": "o"},
    ]
    storage.write()
    killed = Scratch(store)
    killed.__enter__()
    (killed.path / RECORD).write_text("".join(f"{layer}\n" for layer in (*kept, "fed")))
    killed._lock.release()
    prune(store, storage, choose(store, storage, Wish()))
    assert [one["id"] for one in storage.layers] == [*kept, "other"]
    assert not killed.path.exists()


def test_the_scratch_of_a_killed_build_goes_first_whatever_the_storage_answers(store, storage, make_image):
    """A full disk may stop every tool: what fills it must be gone before one is asked."""
    killed = Scratch(store)
    killed.__enter__()
    (killed.path / RECORD).write_text("fed\n")
    killed._lock.release()

    def fail() -> tuple[str, ...]:
        raise StepError("no space left")

    storage.container_names = fail
    with pytest.raises(StepError):
        sweep_builds(store, lambda: storage)
    assert not killed.path.exists()


def test_what_was_on_its_way_when_its_writer_was_killed_goes_after_a_day(store, storage):
    tmp = store.root / "tmp"
    names = ("file-old", "file-new", "tmpold", "tmpnew")
    for name in names:
        path = tmp / name / "taken" if name.startswith("tmp") else tmp / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 5000)
    running = Scratch(store)
    with running:
        for path in (tmp / "file-old", tmp / "tmpold", running.path, tmp / f"{running.build}.lock"):
            os.utime(path, (time.time() - 2 * DAY,) * 2)
        chosen = choose(store, storage, Wish())
        told = planned(chosen, store)
        assert told == prune(store, storage, chosen)
        assert [(one.kind, one.count, one.size >= 10_000) for one in told] == [("scratch", 2, True)]
        left = {path.name for path in tmp.iterdir()}
    assert left == {"file-new", "tmpnew", running.build, f"{running.build}.lock"}


def test_what_could_not_be_removed_is_not_told_as_freed(store, storage, files, monkeypatch):
    """As in a directory of a cache that others share, where only the owner may remove."""
    age(store)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    assert prune(store, storage, choose(store, storage, Wish())) == ()
    monkeypatch.undo()
    assert prune(store, storage, choose(store, storage, Wish()))


def test_a_wheel_that_was_built_of_a_source_is_needed_by_an_image_of_it(store, storage, make_image, files):
    """Whether that is a file or a commit of a repository."""
    commit = Package(name="b", version="1", kind="git", url="https://git.example.invalid/b", commit="c" * 40)
    source = Package(name="a", version="1", kind="sdist", filename="a-1.tar.gz", sha256="a" * 64)
    wheels = {}
    for number, package in enumerate((source, commit, source.model_copy(update={"sha256": "e" * 64}))):
        path = store.root / "built" / (str(number) * 64) / "x-1-py3-none-any.whl"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 5000)
        wheels[package.source] = path
        store.record("built", f"key {number}", built_record(package, path, f"sha256:{path.parent.name}"))
    storage.add(make_image(lock=LOCK.model_copy(update={"python": (source, commit)})), store, NAME)
    age(store)
    for path in wheels.values():
        mark = store.use_mark("built", path.parent.name)
        mark.touch()
        os.utime(mark, ns=(LONG_AGO, LONG_AGO))
    prune(store, storage, choose(store, storage, Wish()))
    assert [path.exists() for path in wheels.values()] == [True, True, False]


def test_what_a_build_of_another_cache_may_use_stays_for_a_day(store, storage, make_image):
    fresh, stale = "localhost/avabuild-0123456789ab-1:latest", "localhost/avabuild-ba9876543210-2:latest"
    storage.add(make_image(), store, fresh)
    storage.add(make_image(more={"x": b"x"}), store, stale, came=time.time() - 2 * DAY)
    assert [one.name for one in leftovers(storage, store)] == [stale]


def test_images_of_ours_that_lost_their_name_go_and_those_of_others_stay(store, storage, make_image):
    mine = storage.add(make_image(more={"x": b"x"}), store)
    storage.add(make_image(own=False), store)
    found = leftovers(storage, store)
    assert [one.name for one in found] == [mine[:12]]
    assert 0 < found[0].size < sum(layer["diff-size"] for layer in storage.layers)


def test_usage_says_what_there_is_and_what_of_it_is_needed(store, storage, make_image, files):
    composed = make_image()
    storage.add(composed, store, NAME)
    from avabuild.images.prune import present

    found = {
        one.kind: one for one in usage(store, list(items(store, needs_of(store, present(storage, store)))))
    }
    assert found["bases"].count == 2
    assert found["bases"].needed == found["bases"].size
    assert found["layers"].count == 6
    assert 0 < found["layers"].needed < found["layers"].size
    assert found["wheels"].count == 3
    assert 0 < found["Debian packages"].needed < found["Debian packages"].size
    held = {one.kind: one for one in storage_usage(storage.storage, store)}
    assert held["images of avabuild"].size == sum(blob.unpacked for blob in composed.blobs)


def test_a_file_that_a_layout_has_too_frees_nothing(store, storage, tmp_path):
    digest = store.put(b"x" * 5000)
    os.link(store.blob_path(digest), tmp_path / "copy")
    age(store)
    assert [one.size for one in planned(choose(store, storage, Wish()), store)] == [0]


def test_removing_an_image_tells_what_is_free(store, storage, make_image):
    composed = make_image()
    identity = storage.add(composed, store, NAME)
    real = storage.remove_image

    def remove_image(name):
        storage.layers.clear()
        real(name)

    storage.remove_image = remove_image
    gone = remove("ava-demo:py311-cuda90-cudnn7", storage, store)
    assert gone.id == identity
    assert gone.freed == sum(blob.unpacked for blob in composed.blobs)
    assert gone.kept == ()


def test_an_image_that_a_container_uses_stays(store, storage, make_image):
    storage.add(make_image(), store, NAME)

    def refuse(name):
        raise StepError("buildah failed", tail="image used by 0123abcd: image is in use by a container")

    storage.remove_image = refuse
    with pytest.raises(ImageError, match="buildah rm 0123abcd"):
        remove(NAME, storage, store)


def test_an_image_of_another_tool_is_not_removed(store, storage, make_image):
    storage.add(make_image(own=False), store, "docker.example/other:1")
    with pytest.raises(ImageError, match="was not made by avabuild"):
        remove("docker.example/other:1", storage, store)
    with pytest.raises(ImageError, match="there is no image"):
        remove("nonsense", storage, store)
