"""The layer cache in a registry: what one store made, another one gets; and a cache that is no help."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avabuild.registries.cache import Cache
from avabuild.registries.name import Remote
from avabuild.registries.push import send_blob
from avabuild.registries.repository import Repository
from avabuild.store import Kept, Store
from avabuild.store import oci as image
from avabuild.store.blob import Blob
from avabuild.tools.events import Event, Report

KEY, OTHER = ("sha256:" + digit * 64 for digit in "ab")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def cache_of(registries: Any, distribution: Any, events: list[Event], request: Any) -> Callable[..., Cache]:
    """Return a function that opens the cache of this test, as one run would."""
    name = f"cache/{abs(hash(request.node.nodeid))}"

    def make(registries: Any = registries, host: str = distribution.host) -> Cache:
        return Cache(registries, Remote(host=host, repository=name), Report(events.append))

    return make


def stored(path: Path, cache: Cache | None) -> Store:
    store = Store(path)
    store.elsewhere = cache
    return store


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if event.kind == "warn"]


def layer(data: bytes, calls: list[bytes]) -> Callable[[Path], Blob]:
    def make(out: Path) -> Blob:
        calls.append(data)
        out.write_bytes(data)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        return Blob(
            digest=digest, diff_id=digest, size=len(data), unpacked=len(data), media_type="x/tar+gzip"
        )

    return make


def make(store: Store, key: str, data: bytes, calls: list[bytes], **more: bool) -> Blob:
    return store.make_layer(key, store.root / "tmp", layer(data, calls), **more)[0]


def test_a_layer_is_made_once_for_all_stores(cache_of, tmp_path, events):
    calls: list[bytes] = []
    with cache_of() as cache:
        blob = make(stored(tmp_path / "one", cache), KEY, b"a layer", calls)
    with cache_of() as cache:
        second = stored(tmp_path / "two", cache)
        assert make(second, KEY, b"never made", calls) == blob
        assert second.blob_path(blob.digest).read_bytes() == b"a layer"
    assert calls == [b"a layer"]
    assert warnings(events) == []


def test_what_was_made_before_there_was_a_cache_is_kept_there_too(cache_of, tmp_path):
    calls: list[bytes] = []
    make(stored(tmp_path / "one", None), KEY, b"older", calls)
    with cache_of() as cache:
        assert stored(tmp_path / "one", cache).layer(KEY)
    with cache_of() as cache:
        assert stored(tmp_path / "two", cache).layer(KEY)


def test_what_is_known_of_a_layer_comes_with_it(cache_of, tmp_path):
    with cache_of() as cache:
        first = stored(tmp_path / "one", cache)
        blob = make(first, KEY, b"with facts", [])
        first.record("linkage", blob.digest, {"elves": ["x"]})
    with cache_of() as cache:
        second = stored(tmp_path / "two", cache)
        assert second.layer(KEY)
        assert second.recall("linkage", blob.digest) == {"elves": ["x"]}


def test_a_second_run_sends_nothing(cache_of, tmp_path, events):
    for _ in range(2):
        with cache_of() as cache:
            make(stored(tmp_path / "one", cache), KEY, b"once", [])
    assert [event.text for event in events if event.kind == "finish"] == ["1 new, 0.0 MB", "all were there"]


def test_a_record_without_blobs_and_one_with_two_are_kept(cache_of, tmp_path):
    with cache_of() as cache:
        first = stored(tmp_path / "one", cache)
        first.offer("compiled", KEY, "tools")
        digests = [first.put(data) for data in (b"one", b"two!")]
        first.offer(
            "whole-base",
            OTHER,
            {"n": 1},
            [Kept(digest=d, size=n) for d, n in zip(digests, (3, 4), strict=True)],
        )
    with cache_of() as cache:
        second = stored(tmp_path / "two", cache)
        assert second.known("compiled", KEY) == "tools"
        assert second.known("whole-base", OTHER) == {"n": 1}
        assert all(second.has(digest) for digest in digests)
        assert second.known("compiled", OTHER) is None


def test_a_name_that_means_something_else_now_is_renewed(cache_of, tmp_path):
    for value in ("sha256:old", "sha256:new"):
        with cache_of() as cache:
            stored(tmp_path / value[-3:], cache).offer("base-name", "debian:bookworm", value, anew=True)
    with cache_of() as cache:
        assert stored(tmp_path / "two", cache).known("base-name", "debian:bookworm") == "sha256:new"


def test_what_a_name_meant_once_does_not_come_back(cache_of, tmp_path):
    """A machine whose base is older than the cache's says so in vain."""
    for value, anew in (("sha256:new", True), ("sha256:old", False)):
        with cache_of() as cache:
            stored(tmp_path / value[-3:], cache).offer("base-name", "debian:bookworm", value, anew=anew)
    with cache_of() as cache:
        assert stored(tmp_path / "two", cache).known("base-name", "debian:bookworm") == "sha256:new"


def test_of_what_is_there_nothing_else_is_asked(cache_of, registries, distribution, tmp_path, monkeypatch):
    for name in ("one", "two"):
        with cache_of() as cache:
            make(stored(tmp_path / name, None), KEY, b"asked once", [])
            if name == "two":
                monkeypatch.setattr(Repository, "has", None)  # nobody looks for a blob of it
            assert stored(tmp_path / name, cache).layer(KEY)


@pytest.mark.parametrize("facts", [b"no JSON", b"[1]", b"[" * 100_000])
def test_what_nobody_can_read_is_no_entry(cache_of, registries, distribution, tmp_path, events, facts):
    with cache_of() as cache:
        store = stored(tmp_path / "one", cache)
        make(store, KEY, b"a layer of mine", [])
    repository, tag = registries.repository(cache._name), f"layer-{'a' * 64}"
    entry = repository.manifest(tag).read()
    path = store.blob_path(store.put(facts))
    repository.upload(f"sha256:{path.name}", len(facts), path, lambda *_: None)
    entry["config"] |= {"digest": f"sha256:{path.name}", "size": len(facts)}
    repository.put_manifest(tag, image.encode(entry))
    with cache_of() as cache:
        assert stored(tmp_path / "two", cache).layer(KEY) is None
    assert warnings(events) == []


def test_a_blob_that_nobody_may_read_ends_the_keeping_and_no_build(cache_of, tmp_path, events, monkeypatch):
    monkeypatch.setattr(Path, "open", gone(Path.open))
    with cache_of() as cache:
        make(stored(tmp_path / "one", cache), KEY, os.urandom(100), [])
    (words,) = warnings(events)
    assert "nothing is kept in the cache" in words


def gone(opened: Callable[..., Any]) -> Callable[..., Any]:
    """A disk that gives no blob any more."""

    def fail(path: Path, *args: Any, **more: Any) -> Any:
        if "blobs" in path.parts and args[:1] == ("rb",):
            raise OSError(errno.EIO, "Input/output error")
        return opened(path, *args, **more)

    return fail


def test_a_full_disk_is_told_of_as_one_and_leaves_nothing(cache_of, tmp_path, events, monkeypatch):
    with cache_of() as cache:
        make(stored(tmp_path / "one", cache), KEY, b"too much", [])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Repository, "fetch", full)
    with cache_of() as cache:
        second = stored(tmp_path / "two", cache)
        assert second.layer(KEY) is None
    (words,) = warnings(events)
    assert "no space left" in words
    assert list((tmp_path / "two" / "tmp").iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_download_that_breaks_off_goes_on(fake, registries_of, tmp_path, ranges):
    blob = os.urandom(300_000)
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()

    def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        begun = int(path.partition("bytes=")[2].rstrip("-") or 0) if ranges else 0
        rest = blob[begun:]
        broken = len(registry.asked) == 1
        head = {"Content-Length": str(len(rest))}
        return 206 if begun else 200, head, rest[:100_000] if broken else rest

    registry = fake(answer)
    repository = registries_of({}, insecure=True).repository(Remote(host=registry.host, repository="ns/ava"))
    registry.asked.clear()
    repository.fetch(digest, len(blob), tmp_path / "out", lambda *_: None)
    assert (tmp_path / "out").read_bytes() == blob
    assert len(registry.asked) == 2


def test_what_is_not_to_be_shared_is_not(cache_of, tmp_path):
    with cache_of() as cache:
        make(stored(tmp_path / "one", cache), KEY, b"mine", [], private=True)
    with cache_of() as cache:
        assert stored(tmp_path / "two", cache).layer(KEY) is None


def test_a_blob_that_is_damaged_in_the_registry_is_not_taken(
    make_distribution, registries_of, cache_of, tmp_path, events
):
    registry = make_distribution()
    registry.start()
    opened = registries_of(registry.environment)
    calls: list[bytes] = []
    with cache_of(opened, registry.host) as cache:
        blob = make(stored(tmp_path / "one", cache), KEY, b"sound", calls)
    hexed = blob.digest.removeprefix("sha256:")
    (registry.storage / "docker/registry/v2/blobs/sha256" / hexed[:2] / hexed / "data").write_bytes(b"s0und")
    with cache_of(opened, registry.host) as cache:
        second = stored(tmp_path / "two", cache)
        assert make(second, KEY, b"sound", calls) == blob
        assert second.blob_path(blob.digest).read_bytes() == b"sound"
    assert len(calls) == 2
    assert len(warnings(events)) == 1


def test_a_cache_that_is_down_is_told_of_once_and_nothing_fails(cache_of, registries_of, tmp_path, events):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        with cache_of(registries_of({}), nobody) as cache:
            store = stored(tmp_path / "one", cache)
            for number in range(5):
                make(store, f"sha256:{number:064}", b"%d" % number, [])
    (words,) = warnings(events)
    assert nobody in words
    assert "left alone" in words


def test_a_cache_that_takes_nothing_still_gives(make_distribution, registries_of, cache_of, tmp_path, events):
    registry = make_distribution()
    registry.start()
    opened = registries_of(registry.environment)
    with cache_of(opened, registry.host) as cache:
        make(stored(tmp_path / "one", cache), KEY, b"given", [])
    registry.stop()
    registry.start(maintenance={"readonly": {"enabled": True}})
    calls: list[bytes] = []
    with cache_of(opened, registry.host) as cache:
        store = stored(tmp_path / "two", cache)
        make(store, OTHER, b"not taken", calls)
        make(store, KEY, b"given", calls)
    assert calls == [b"not taken"]
    assert ["nothing is kept in the cache" in words for words in warnings(events)] == [True]


def test_layers_of_the_cache_are_mounted_by_an_image_of_the_same_registry(
    cache_of, registries, distribution, tmp_path
):
    with cache_of() as cache:
        make(stored(tmp_path / "one", cache), KEY, os.urandom(100), [])
    with cache_of() as cache:
        second = stored(tmp_path / "two", cache)
        blob = second.layer(KEY)
        target = registries.repository(Remote(host=distribution.host, repository="mounted/from-cache"))
        assert blob
        assert send_blob(target, second, blob.digest, blob.size, lambda *_: None) == "mounted"
