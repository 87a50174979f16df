"""A layer is read once, as a stream: its ELF files, links, removals, search paths and distributions."""

from __future__ import annotations

import gzip
import json

import pytest

from avabuild.layer import elf
from avabuild.layer.inventory import Collector, Inventory, distributions, inventory, scan
from avabuild.layer.scheme import Scheme
from avabuild.layer.wheel import write_wheels

METADATA = (
    b"Metadata-Version: 2.1\nName: MXNet_cu90\nVersion: 1.5.1\nRequires-Dist: numpy<2\nRequires-Dist: x y z\n"
    b"Requires-Dist: Graph.Viz; extra == 'g'\n\nRequires-Dist: not-this"
)
RECORD = b'mxnet/libmxnet.so,sha256=x,10\nmxnet/__init__.py,,\n../../../lib/libx.so.1,,\n"odd,name.so",,\n'


def test_a_distribution_that_an_upper_layer_removed_is_not_there():
    below = Inventory(metadata={"site/a.dist-info": ("a", "1", ()), "site/b.dist-info": ("b", "1", ())})

    def names(gone: str) -> list[str]:
        return [one.name for one in distributions([below, Inventory(gone=[gone])])]

    assert names("site/a.dist-info") == ["b"]
    assert names("site/a.dist-info/METADATA") == ["b"]
    assert names("site/") == names("site") == []
    assert names("site/a.dist") == ["a", "b"]


def test_a_layer_says_what_links(store, keep_layer, shared_object):
    blob = keep_layer(
        {
            "./usr/lib/liba.so.1.2": shared_object("liba.so.1", ("libb.so",)),
            "usr/lib/liba.so.1": "liba.so.1.2",
            "usr/lib/script.so": b"/* GNU ld script: no ELF file at all, though it is named like one */" * 3,
            "etc/ld.so.conf.d/cuda.conf": b"/usr/local/cuda/lib64\n",
            "opt/gone": None,
        }
    )
    found = inventory(store, blob)
    assert {name: one.soname for name, one in found.elves.items()} == {"usr/lib/liba.so.1.2": "liba.so.1"}
    assert found.links == {"usr/lib/liba.so.1": "liba.so.1.2"}
    assert found.gone == ["opt/gone"]
    assert found.search == {"etc/ld.so.conf.d/cuda.conf": "/usr/local/cuda/lib64\n"}


def test_distributions_are_known_with_what_they_own_and_require(store, keep_layer):
    site = "opt/venv/lib/python3.11/site-packages"
    info = f"{site}/mxnet_cu90-1.5.1.dist-info"
    blob = keep_layer({f"{info}/METADATA": METADATA, f"{info}/RECORD": RECORD})
    (one,) = distributions([inventory(store, blob)])
    assert (one.name, one.version, one.requires) == ("mxnet-cu90", "1.5.1", ("numpy", "graph-viz"))
    assert one.files == (f"{site}/mxnet/libmxnet.so", "opt/venv/lib/libx.so.1", f"{site}/odd,name.so")


def test_a_layer_is_read_once(store, keep_layer, shared_object):
    blob = keep_layer({"lib/liba.so": shared_object("liba.so", ("libb.so",), rpath="/a", runpath="/b")})
    first = inventory(store, blob)
    store.blob_path(blob.digest).unlink()
    assert inventory(store, blob) == first
    assert Inventory.load(json.loads(json.dumps(first.dump()))) == first


@pytest.mark.parametrize("data", [None, [], {"format": 0}, {"format": 1}, {"format": 1, "elves": 3}])
def test_a_record_of_another_form_counts_as_none(data):
    assert Inventory.load(data) is None


def test_compressed_layers_and_big_files_are_read_too(
    tmp_path, store, keep_layer, shared_object, monkeypatch
):
    monkeypatch.setattr(elf, "KEPT", 1000)
    monkeypatch.setattr(elf, "_HEADERS", 300)
    monkeypatch.setattr("avabuild.layer.inventory._CHUNK", 512)
    names = tuple(f"libneeded{number}.so" for number in range(90))
    entries = {
        f"lib/lib{n}.so": shared_object(f"lib{n}.so", names, padding=20_000, names_last=False) for n in "ab"
    }
    blob = keep_layer(entries)
    packed = tmp_path / "layer.gz"
    packed.write_bytes(gzip.compress(store.blob_path(blob.digest).read_bytes()))
    assert {name: one.needed for name, one in scan(packed).elves.items()} == dict.fromkeys(entries, names)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_that_is_written_is_seen_as_one_that_is_read(
    tmp_path, make_wheel, shared_object, compression
):
    big = shared_object("libbig.so", ("libc.so.6",), padding=300_000)
    files = {
        "demo/__init__.py": b"x = 1\n",
        "demo/libbig.so": big,
        "demo/_c.so": shared_object("", ("libbig.so",)),
    }
    wheel = make_wheel(tmp_path, files, stored=("demo/_c.so",))
    seen, out = Collector(), tmp_path / "layer"
    write_wheels([wheel], out, Scheme(python="3.11"), compression=compression, watch=seen)
    assert len(seen.inventory.elves) == 2
    assert seen.inventory == scan(out)
    assert distributions([seen.inventory])[0].files
