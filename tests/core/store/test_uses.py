from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time

from avabuild.store import Store
from avabuild.store.uses import Uses

LONG_AGO = 1_000_000_000


def old(path):
    path.write_text("x")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


def test_what_is_used_is_marked_once(tmp_path):
    uses, file = Uses(tmp_path / "leases"), old(tmp_path / "blob")
    assert uses.use(file)
    marked = file.stat().st_mtime_ns
    assert marked >= uses.began
    assert uses.use(file)
    assert file.stat().st_mtime_ns == marked


def test_what_is_not_there_is_not_marked(tmp_path):
    assert not Uses(tmp_path / "leases").use(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_mark_stands_for_what_keeps_its_times(tmp_path):
    uses, mark = Uses(tmp_path / "leases"), tmp_path / "used" / "debs" / "tree.deb"
    uses.mark(mark)
    os.utime(mark, ns=(LONG_AGO, LONG_AGO))
    uses.mark(mark)
    assert mark.stat().st_mtime_ns >= uses.began


def test_a_lease_ends_with_its_store(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    assert second.uses.others() == ((first.uses.began, os.getuid()),)
    del first
    gc.collect()
    assert second.uses.others() == ()


def test_the_lease_of_a_killed_process_is_forgotten(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from avabuild.store.uses import Uses;"
        "lease = Uses(Path(sys.argv[1])); print('on', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "leases"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "on\n"
    uses = Uses(tmp_path / "leases")
    assert len(uses.others()) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    assert uses.others() == ()
    assert len([path for path in (tmp_path / "leases").iterdir() if not path.name.startswith(".")]) == 1


def test_nobody_marks_while_something_is_removed(tmp_path):
    """What is looked at in the block can't be marked before it is removed."""
    uses, other, file = Uses(tmp_path / "leases"), Uses(tmp_path / "leases"), old(tmp_path / "blob")
    found = []
    with uses.removing():
        thread = threading.Thread(target=lambda: found.append(other.use(file)))
        thread.start()
        time.sleep(0.05)
        assert file.stat().st_mtime_ns == LONG_AGO
        file.unlink()
    thread.join()
    assert found == [False]


def test_a_blob_that_the_store_has_counts_as_used(store):
    digest = store.put(b"x")
    os.utime(store.blob_path(digest), ns=(LONG_AGO, LONG_AGO))
    assert store.has(digest, 1)
    assert store.blob_path(digest).stat().st_mtime_ns >= store.uses.began
