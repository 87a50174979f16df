import errno
import os
import random
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from avabuild.common.errors import DiskFullError, StoreError, UnavailableError, WheelError
from avabuild.resolve import download as transfer
from avabuild.resolve.fetch import Fetcher
from avabuild.resolve.indexes import Indexes
from avabuild.resolve.lock import Package
from avabuild.resolve.wanted import Policy

BODY = random.Random(7).randbytes(3 << 20)


def nowhere(packages):
    raise AssertionError(f"nobody should look for {packages}")


@pytest.fixture
def fetcher(tmp_path):
    def make(locate=nowhere, **options):
        settings = {"indexes": Indexes(), "policy": Policy(attempts=3, pause=0.01), **options}
        return Fetcher(tmp_path / "cache", locate=locate, **settings)

    return make


@pytest.fixture
def big(index, package_of):
    """A wheel of three MiB in the index: its bytes, its package and the URL by hash."""
    path = index.wheel("big", "1.0", body=BODY)
    package = package_of(path)
    return SimpleNamespace(
        bytes=path.read_bytes(), package=package, urls={package.sha256: index.file_url(path.name)}, path=path
    )


def whole(fetched, big):
    ((package, path),) = fetched
    return package == big.package and path.read_bytes() == big.bytes and path.name == big.package.filename


def left(fetcher):
    return sorted(
        path.name for path in fetcher.directory.rglob("*") if path.is_file() and path.name != ".lock"
    )


def test_files_come_with_their_packages_and_are_asked_for_once(index, fetcher, package_of):
    paths = [index.wheel(name, "1.0", body=name.encode() * 9) for name in ("a", "b", "c")]
    packages = [package_of(path) for path in paths]
    urls = {package.sha256: index.file_url(package.filename) for package in packages}
    first = {p.name: path.read_bytes() for p, path in fetcher().fetch(packages, urls)}
    assert first == {package.name: path.read_bytes() for package, path in zip(packages, paths, strict=True)}
    asked = len(index.requests)
    assert [p for p, _ in fetcher().fetch(packages, {})] == packages
    assert len(index.requests) == asked == 3


def test_git_packages_have_no_file(fetcher):
    assert list(fetcher().fetch([Package(name="g", version="1", kind="git", url="u", commit="c")], {})) == []


def test_urls_that_are_not_known_are_looked_up_together(index, fetcher, package_of):
    packages = [package_of(index.wheel(name, "1.0", body=name.encode())) for name in ("a", "b", "c")]
    urls = {package.sha256: index.file_url(package.filename) for package in packages}
    asked = []

    def locate(missing):
        asked.append({package.name for package in missing})
        return urls

    fetched = list(fetcher(locate).fetch(packages, {packages[0].sha256: urls[packages[0].sha256]}))
    assert len(fetched) == 3
    assert asked == [{"b", "c"}]


def test_another_hash_is_refused_and_nothing_is_kept(index, fetcher, big):
    index.wheel("big", "1.0", body=BODY[::-1])
    with pytest.raises(WheelError) as caught:
        list(fetcher().fetch([big.package], big.urls))
    text = str(caught.value)
    assert big.package.filename in text
    assert big.package.sha256 in text
    assert "got" in text
    assert left(fetcher()) == []


def test_a_cut_connection_is_resumed_where_it_ended(index, fetcher, big):
    index.faults[big.path.name] += ["cut", "cut"]
    assert whole(fetcher().fetch([big.package], big.urls), big)
    first, second, third = index.requests_for(big.path.name)
    assert first == ""
    half = len(big.bytes) // 2
    assert second == f"bytes={half}-"
    assert third == f"bytes={half + (len(big.bytes) - half) // 2}-"


def test_a_cut_is_seen_when_the_server_gave_no_length(index, fetcher, big):
    index.faults[big.path.name] += ["cut without a length"]
    assert whole(fetcher().fetch([big.package], big.urls), big)
    assert index.requests_for(big.path.name)[1:] == [f"bytes={len(big.bytes) // 2}-"]


def test_many_cuts_are_no_failure_while_each_attempt_brings_something(index, fetcher, big):
    index.faults[big.path.name] += ["cut"] * 8
    assert whole(fetcher().fetch([big.package], big.urls), big)
    assert len(index.requests_for(big.path.name)) == 9


def test_a_server_that_ignores_ranges_is_read_from_the_start(index, fetcher, big):
    index.faults[big.path.name] += ["cut", "no range"]
    assert whole(fetcher().fetch([big.package], big.urls), big)


def test_what_an_earlier_run_left_is_used(index, fetcher, big):
    part = fetcher().path(big.package).with_name(".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(big.bytes[:1000])
    assert whole(fetcher().fetch([big.package], big.urls), big)
    assert index.requests_for(big.path.name) == ["bytes=1000-"]
    assert left(fetcher()) == [big.package.filename]


@pytest.mark.parametrize("junk", [b"junk" * 100, b"junk" * (1 << 20)])
@pytest.mark.parametrize("size_known", [True, False])
def test_junk_that_an_earlier_run_left_is_thrown_away(fetcher, big, junk, size_known):
    big.package = big.package if size_known else big.package.model_copy(update={"size": 0})
    part = fetcher().path(big.package).with_name(".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(junk)
    assert whole(fetcher().fetch([big.package], big.urls), big)


def test_a_busy_server_is_asked_again(index, fetcher, big):
    index.faults[big.path.name] += ["503", "429"]
    assert whole(fetcher().fetch([big.package], big.urls), big)


def test_a_server_that_stays_busy_is_unavailable(index, fetcher, big):
    index.faults[big.path.name] += ["503"] * 9
    with pytest.raises(UnavailableError, match="503") as caught:
        list(fetcher().fetch([big.package], big.urls))
    assert caught.value.exit_code == 75
    assert len(index.requests_for(big.path.name)) == 3


@pytest.mark.parametrize("status", ["403", "404"])
def test_a_refusal_is_not_asked_again(index, fetcher, big, status):
    index.faults[big.path.name] += [status] * 9
    with pytest.raises(UnavailableError, match=status):
        list(fetcher().fetch([big.package], big.urls))
    assert len(index.requests_for(big.path.name)) == 1


def test_a_dead_server_is_named_without_its_password(fetcher, big):
    urls = {big.package.sha256: "http://me:secret@127.0.0.1:1/big.whl"}
    with pytest.raises(UnavailableError) as caught:
        list(fetcher().fetch([big.package], urls))
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_credentials_of_the_index_open_its_files(index, fetcher, big):
    index.login = "Basic bWU6c2VjcmV0"
    own = Indexes(index=index.url.replace("://", "://me:secret@"))
    assert whole(fetcher(indexes=own).fetch([big.package], big.urls), big)
    shutil.rmtree(fetcher().directory)
    with pytest.raises(UnavailableError, match="401"):
        list(fetcher().fetch([big.package], big.urls))


def test_two_fetchers_at_once_download_a_file_once(index, fetcher, big):
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(lambda: list(fetcher().fetch([big.package], big.urls))) for _ in range(4)]
        assert all(whole(run.result(), big) for run in runs)
    assert len(index.requests_for(big.path.name)) == 1


def test_one_file_for_two_packages_is_downloaded_once(index, fetcher, big):
    other = big.package.model_copy(update={"by": ("other",)})
    fetched = dict(fetcher().fetch([big.package, other], big.urls))
    assert set(fetched) == {big.package, other}
    assert len(index.requests_for(big.path.name)) == 1


def test_local_files_are_copied_so_that_later_changes_do_not_reach_the_cache(fetcher, big):
    urls = {big.package.sha256: big.path.as_uri()}
    ((_, path),) = fetcher().fetch([big.package], urls)
    big.path.write_bytes(b"changed")
    assert path.read_bytes() == big.bytes


def test_a_local_file_that_changed_or_went_is_refused(fetcher, big):
    urls = {big.package.sha256: big.path.as_uri()}
    big.path.write_bytes(b"changed")
    with pytest.raises(WheelError, match="another hash"):
        list(fetcher().fetch([big.package], urls))
    big.path.unlink()
    with pytest.raises(WheelError, match="can't be read"):
        list(fetcher().fetch([big.package], urls))


def test_progress_grows_to_the_whole_file(fetcher, big):
    seen = []
    list(fetcher(progress=seen.append).fetch([big.package], big.urls))
    assert [report.done for report in seen] == sorted({report.done for report in seen})
    assert len(seen) <= 5
    assert (seen[-1].filename, seen[-1].done, seen[-1].total) == (
        big.package.filename,
        len(big.bytes),
        len(big.bytes),
    )


@pytest.mark.parametrize("changes", [{"filename": "../../x.whl"}, {"sha256": "../x"}, {"filename": ""}])
def test_names_that_leave_the_cache_are_refused(fetcher, big, changes):
    with pytest.raises(WheelError, match="no usable file name"):
        list(fetcher().fetch([big.package.model_copy(update=changes)], big.urls))


def test_files_that_cannot_fit_are_not_begun(index, fetcher, big):
    huge = big.package.model_copy(update={"size": 1 << 60})
    with pytest.raises(DiskFullError, match=str(1 << 60)):
        list(fetcher().fetch([huge], big.urls))
    assert index.requests == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFullError), (errno.EIO, StoreError)])
def test_a_disk_that_fails_is_told_from_a_full_one(fetcher, big, monkeypatch, number, kind):
    def fail(self, file, digest):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(transfer.Transfer, "_rehash", fail)
    with pytest.raises(kind, match=big.package.filename):
        list(fetcher().fetch([big.package], big.urls))


@pytest.mark.parametrize("fault", ["hang", "503"])
def test_closing_the_iterator_stops_what_still_runs(index, fetcher, big, package_of, fault):
    small = package_of(index.wheel("small", "1.0"))
    urls = {**big.urls, small.sha256: index.file_url(small.filename)}
    index.faults[big.path.name] += [fault] * 9
    fetched = fetcher(policy=Policy(attempts=9, pause=30)).fetch([big.package, small], urls)
    assert next(fetched)[0] == small
    begun = time.monotonic()
    fetched.close()
    assert time.monotonic() - begun < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_one_failure_stops_the_others(index, fetcher, big, package_of):
    gone = package_of(index.wheel("gone", "1.0"))
    urls = {**big.urls, gone.sha256: index.file_url("none.whl")}
    index.faults[big.path.name] += ["hang"]
    with pytest.raises(UnavailableError, match="404"):
        list(fetcher().fetch([big.package, gone], urls))
