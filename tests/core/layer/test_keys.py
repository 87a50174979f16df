"""Keys of layers made by commands: every input of a key changes it, and nothing else does."""

from __future__ import annotations

import itertools

import pytest

from avabuild.layer import keys as module
from avabuild.layer.keys import apt_layer, chain, changed_parts, locked_debs, run_layer
from avabuild.plugins.kinds import Mount, Run
from avabuild.resolve.lock import AptLock, Deb

GIT = Deb(name="git", version="1:2.39.5-0", arch="amd64", sha256="a" * 64, size=10)
PERL = Deb(name="perl", version="5.36.0-7", arch="amd64", sha256="b" * 64, size=20)
APT = {"name": "apt: packages", "below": "sha256:base", "packages": ("git", "perl"), "debs": (GIT, PERL)}


def apt_key(**changed):
    return apt_layer(**APT | {"compression": "gzip"} | changed).key


@pytest.mark.parametrize(
    "change",
    [
        {"below": "sha256:other"},
        {"packages": ("git",)},
        {"packages": ("git", "perl", "vim")},
        {"debs": (GIT,)},
        {"debs": (GIT, PERL.model_copy(update={"name": "perl-base"}))},
        {"debs": (GIT, PERL.model_copy(update={"version": "5.36.0-8"}))},
        {"debs": (GIT, PERL.model_copy(update={"sha256": "c" * 64}))},
        {"debs": (GIT, PERL.model_copy(update={"arch": "all"}))},
        {"compression": "zstd"},
    ],
)
def test_every_input_of_an_apt_layer_changes_its_key(change):
    assert apt_key(**change) != apt_key()


@pytest.mark.parametrize(
    "change",
    [
        {"packages": ("perl", "git")},
        {"debs": (PERL, GIT)},
        {"debs": (GIT, PERL.model_copy(update={"size": 0}))},
        {"name": "apt: other words"},
    ],
)
def test_what_does_not_change_an_apt_layers_bytes_does_not_change_its_key(change):
    assert apt_key(**change) == apt_key()


RUN = Run(
    shell="make",
    env=(("A", "1"), ("B", "2")),
    secrets=("TOKEN",),
    mounts=(Mount(source="./data", target="/data"),),
)
INPUTS = (("secret TOKEN", "digest of the token"), ("mount /data", "digest of the data"))
RUN_LAYER = {"name": "run 1", "below": "sha256:base", "run": RUN, "inputs": INPUTS, "compression": "gzip"}


def run_key(**changed):
    return run_layer(**RUN_LAYER | changed).key


def other_run(**changed):
    return {"run": RUN.model_copy(update=changed)}


@pytest.mark.parametrize(
    "change",
    [
        {"below": "sha256:other"},
        other_run(shell="make all"),
        other_run(env=(("A", "1"),)),
        other_run(env=(("A", "1"), ("B", "3"))),
        other_run(env=(("A", "1"), ("C", "2"))),
        other_run(mounts=(Mount(source="./data", target="/data", writable=True),)),
        other_run(mounts=(Mount(source="./data", target="/elsewhere"),)),
        other_run(network="none"),
        other_run(privileges=("userns",)),
        {"inputs": INPUTS[:1]},
        {"inputs": (INPUTS[0], ("mount /data", "digest of other data"))},
        {"inputs": (("secret TOKEN", "digest of another token"), INPUTS[1])},
        {"compression": "zstd"},
    ],
)
def test_every_input_of_a_run_layer_changes_its_key(change):
    assert run_key(**change) != run_key()


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": INPUTS[::-1]},
        {"name": "run 2"},
        other_run(mounts=(Mount(source="/some/other/place", target="/data"),)),
        other_run(timeout=3.0),
    ],
)
def test_what_does_not_change_a_run_layers_bytes_does_not_change_its_key(change):
    assert run_key(**change) == run_key()


def test_the_format_changes_both_keys(monkeypatch):
    before = apt_key(), run_key()
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert apt_key() != before[0]
    assert run_key() != before[1]


def test_the_state_of_a_chain_depends_on_every_layer_and_their_order():
    orders = itertools.permutations(["k1", "k2", "k3"])
    states = {chain(chain(chain("base", a), b), c) for a, b, c in orders}
    assert len(states) == 6
    assert chain("base", "k1") != chain("other", "k1")


def test_a_lock_gives_its_debs_for_the_same_packages_on_the_same_base_alone():
    locks = (
        AptLock(base="below", packages=("git", "perl"), debs=(GIT, PERL)),
        AptLock(base="other", packages=("git",), debs=()),
    )
    assert locked_debs(locks, "below", ("perl", "git")) == (GIT, PERL)
    assert locked_debs(locks, "other", ("git",)) == ()
    assert locked_debs(locks, "below", ("git",)) is None
    assert locked_debs(locks, "elsewhere", ("git", "perl")) is None


def test_a_rebuild_is_explained_by_the_inputs_that_differ():
    before = [["format", "1"], ["git", "1"], ["perl", "1"]]
    now = (("format", "1"), ("git", "2"), ("vim", "1"))
    assert changed_parts(before, now) == ("git changed", "vim added", "perl removed")
    assert changed_parts(before, [("format", "1"), ("git", "1"), ("perl", "1")]) == ()


def test_repositories_are_part_of_an_apt_layer_and_of_what_a_lock_answers():
    mine = ("mine stable main (AAAA)",)
    assert apt_key(repositories=mine) != apt_key()
    assert apt_key(repositories=mine) != apt_key(repositories=("mine stable main (BBBB)",))
    assert apt_key(repositories=()) == apt_key(), "keys of before stay as they are"
    locks = (AptLock(base="below", packages=("git",), debs=(GIT,), repositories=mine),)
    assert locked_debs(locks, "below", ("git",), mine) == (GIT,)
    assert locked_debs(locks, "below", ("git",)) is None
