"""Pinning the keys of APT repositories: read once when a plan is made, held against their fingerprints."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TypeVar

from avabuild.common import openpgp
from avabuild.common.errors import Problem, RecipeError
from avabuild.common.regular import read as read_regular
from avabuild.plan.plan import Plan, Step
from avabuild.plugins.kinds import Apt, Compile, Repository

_Kind = TypeVar("_Kind", Apt, Compile)


def pin_keys(plan: Plan, directory: Path) -> Plan:
    """Return `plan` with the keys of its repositories in place of their paths, relative to `directory`.

    Raises:
        RecipeError: a key can't be read, is not the one of the fingerprint, or there are several.
    """
    read: list[str] = []
    steps = {
        "apt": plan.apt and _pinned(plan.apt, directory, read),
        "apt_extra": plan.apt_extra and _pinned(plan.apt_extra, directory, read),
        "compiled": tuple(_pinned(step, directory, read) for step in plan.compiled),
    }
    paths = tuple(dict.fromkeys([*plan.read, *read]))
    return plan.model_copy(update={**steps, "read": paths})


def _pinned(step: Step[_Kind], directory: Path, read: list[str]) -> Step[_Kind]:
    if not step.layer.repositories:
        return step
    repositories = tuple(_with_key(one, directory, read) for one in step.layer.repositories)
    return step.model_copy(update={"layer": step.layer.model_copy(update={"repositories": repositories})})


def _with_key(repository: Repository, directory: Path, read: list[str]) -> Repository:
    if repository.key is None:
        return repository
    armoured = openpgp.ARMOUR in repository.key
    place = f"repository {repository.name}" if armoured else str(directory / repository.key)
    try:
        if not armoured:
            read.append(repository.key)
        found = openpgp.keys(
            repository.key.encode() if armoured else read_regular(directory / repository.key)
        )
    except OSError as error:
        raise _refused(place, f"the key can't be read: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise _refused(place, f"is no key to check signatures with: {error}") from error
    wanted = repository.fingerprint or (next(iter(found)) if len(found) == 1 else "")
    if wanted not in found:
        has = ", ".join(found)
        what = f"is not the key {wanted}: it is {has}" if wanted else f"holds several keys: {has}"
        raise _refused(place, f"{what}; fingerprint says which one {repository.name} is signed with")
    packed = base64.b64encode(found[wanted]).decode()
    key = f"{openpgp.ARMOUR}\n\n{packed}\n-----END PGP PUBLIC KEY BLOCK-----\n"
    return repository.model_copy(update={"key": key, "fingerprint": wanted})


def _refused(place: str, message: str) -> RecipeError:
    return RecipeError((Problem(place, "", message),))
