"""A needed name is found where ld.so would find it: in the layers together, links followed, removals gone."""

from __future__ import annotations

import pytest

from avabuild.engine.check.loader import Tree
from avabuild.layer.elf import Elf
from avabuild.layer.inventory import Inventory

ME = Elf("EM_X86_64/64")


def layer(*names: str, machine: str = "EM_X86_64/64", **fields) -> Inventory:
    return Inventory(elves={name: Elf(machine, soname=name.rpartition("/")[2]) for name in names}, **fields)


@pytest.mark.parametrize(
    "where",
    ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib"],
)
def test_the_loaders_own_directories(where):
    assert Tree([layer(f"{where}/liba.so.1")]).find("liba.so.1", ME) == f"{where}/liba.so.1"


def test_directories_of_ld_so_conf_with_includes_and_comments():
    search = {
        "etc/ld.so.conf": "# comment\ninclude /etc/ld.so.conf.d/*.conf\n",
        "etc/ld.so.conf.d/cuda.conf": "/usr/local/cuda/lib64 # here\n",
    }
    tree = Tree([layer("usr/local/cuda/lib64/libcudart.so.9.0", search=search)])
    assert tree.find("libcudart.so.9.0", ME) == "usr/local/cuda/lib64/libcudart.so.9.0"


def test_links_are_followed_as_files_and_as_directories():
    links = {"lib": "usr/lib", "usr/lib/liba.so.1": "liba.so.1.2", "usr/local/cuda": "/opt/cuda-9.0"}
    tree = Tree([layer("usr/lib/liba.so.1.2", "opt/cuda-9.0/lib64/libb.so", links=links)])
    assert tree.find("liba.so.1", ME) == "usr/lib/liba.so.1.2"
    assert tree.find("libb.so", ME, ["usr/local/cuda/lib64"]) == "opt/cuda-9.0/lib64/libb.so"


def test_links_in_a_circle_lead_nowhere():
    assert Tree([layer(links={"lib/a": "b", "lib/b": "a"})]).find("a", ME) is None


def test_what_a_layer_above_removes_or_replaces_is_gone():
    below = layer("usr/lib/liba.so", "opt/x/libb.so", "opt/y/libc.so")
    assert Tree([below, Inventory(gone=["usr/lib/liba.so"])]).find("liba.so", ME) is None
    assert Tree([below, Inventory(gone=["opt/x"])]).find("libb.so", ME, ["opt/x"]) is None
    opaque = Tree([below, layer("opt/y/libd.so", gone=["opt/y/"])])
    assert opaque.find("libc.so", ME, ["opt/y"]) is None
    assert opaque.find("libd.so", ME, ["opt/y"]) == "opt/y/libd.so"


def test_a_library_for_another_machine_is_passed_by():
    tree = Tree([layer("lib/liba.so", machine="EM_386/32"), layer("usr/lib/liba.so")])
    assert tree.find("liba.so", ME) == "usr/lib/liba.so"


@pytest.mark.parametrize(
    ("fields", "inherited", "library_path", "expected"),
    [
        ({"rpath": "$ORIGIN/../b:/c"}, (), "", ("opt/b", "c")),
        ({"runpath": "${ORIGIN}/lib"}, (), "/env", ("env", "opt/a/lib")),
        ({"rpath": "/never", "runpath": "/r"}, ("never/either",), "/env", ("env", "r")),
        ({"rpath": "/own"}, ("loader",), "/env:/two", ("own", "loader", "env", "two")),
        ({}, ("loader",), "", ("loader",)),
        ({"rpath": "/usr/$LIB/x::"}, (), "", ("usr/lib/x",)),
    ],
)
def test_search_paths_come_in_the_loaders_order(fields, inherited, library_path, expected):
    tree = Tree([Inventory(elves={"opt/a/liba.so": Elf("EM_X86_64/64", **fields)})], library_path)
    assert tree.search("opt/a/liba.so", inherited) == expected


def test_a_need_with_a_slash_is_a_path():
    assert Tree([layer("opt/liba.so")]).find("/opt/liba.so", ME) == "opt/liba.so"
