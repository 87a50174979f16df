from __future__ import annotations

import json

import pytest

from avabuild.resolve.lock import Lock, Package, TargetLock, request_digest

CPU = TargetLock(target="py311-cpu", request="sha256:1", base="sha256:b")
CUDA = TargetLock(target="py311-cuda125", request="sha256:2", base="sha256:b")


def test_a_lock_finds_a_target_by_its_tag():
    lock = Lock(recipe="demo", targets=(CPU, CUDA))
    assert lock.target("py311-cuda125") == CUDA
    assert lock.target("py312-cpu") is None


def test_the_order_of_builds_does_not_show_in_a_lock():
    empty = Lock(recipe="demo")
    assert empty.with_target(CPU).with_target(CUDA) == empty.with_target(CUDA).with_target(CPU)


def test_a_target_replaces_the_one_of_its_tag_and_no_other():
    again = CPU.model_copy(update={"request": "sha256:3"})
    assert Lock(recipe="demo", targets=(CPU, CUDA)).with_target(again).targets == (again, CUDA)


ASKED = {
    "requirements": ("a", "b"),
    "extras": ("c", "d"),
    "python": "3.11",
    "arch": "x86_64",
    "glibc": "2.36",
}


@pytest.mark.parametrize(
    "change",
    [
        {"requirements": ("a",)},
        {"requirements": ("a", "b>1")},
        {"extras": ("c",)},
        {"requirements": ("a", "b", "c"), "extras": ("d",)},
        {"python": "3.12"},
        {"arch": "aarch64"},
        {"glibc": "2.41"},
    ],
)
def test_every_input_of_a_request_changes_its_digest(change):
    assert request_digest(**ASKED | change) != request_digest(**ASKED)


def test_the_order_of_the_frameworks_requirements_does_not_change_a_requests_digest():
    swapped = ASKED | {"requirements": ("b", "a")}
    assert request_digest(**swapped) == request_digest(**ASKED)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, ""),
        (
            {"kind": "file", "filename": "a b-1.zip", "path": "/home/me/a b-1.zip"},
            {
                "archive_info": {"hash": "sha256=ff", "hashes": {"sha256": "ff"}},
                "url": "file:///a%20b-1.zip",
            },
        ),
        (
            {"url": "https://h.invalid/a-1.zip"},
            {
                "archive_info": {"hash": "sha256=ff", "hashes": {"sha256": "ff"}},
                "url": "https://h.invalid/a-1.zip",
            },
        ),
        (
            {"kind": "git", "url": "https://h.invalid/a", "commit": "c" * 40, "subdirectory": "s"},
            {
                "url": "https://h.invalid/a",
                "vcs_info": {"vcs": "git", "commit_id": "c" * 40},
                "subdirectory": "s",
            },
        ),
    ],
)
def test_a_package_says_where_it_is_from_unless_that_is_an_index(fields, said):
    found = Package(name="a", version="1", sha256="ff", **fields).direct
    assert (json.loads(found) if found else "") == said


def test_the_order_of_the_recipes_own_requirements_changes_a_requests_digest():
    assert request_digest(**ASKED | {"extras": ("d", "c")}) != request_digest(**ASKED)
