"""Running the checks of a finished image again: they are in its labels, so nothing else is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from avabuild.common.errors import ImageError, StepError
from avabuild.engine.check.check import run_checks
from avabuild.engine.check.driver import NO_DRIVER, driver_with
from avabuild.engine.context import Context
from avabuild.engine.exec.stack import Chain
from avabuild.host.host import Host
from avabuild.layer.base import Base
from avabuild.plan.labels import ANNOTATED, CHECKS, whole_labels
from avabuild.plan.plan import Check
from avabuild.plugins.target import Target
from avabuild.store import Scratch, Store
from avabuild.tools import argv
from avabuild.tools.buildah import Tools
from avabuild.tools.events import Report

_ELSEWHERE = ("oci:", "oci-archive:", "docker-archive:")
_CODENAME = "sed -n 's/^VERSION_CODENAME=//p' /etc/os-release"


def check_image(name: str, store: Store, tools: Tools, host: Host, report: Report) -> tuple[str, ...]:
    """Run the checks that the image `name` records; return the frameworks that were checked.

    `name` is of the local storage, or names a directory or archive: `oci:DIR`, `oci-archive:FILE`,
    `docker-archive:FILE`.

    Raises:
        ImageError: there is no such image, or it records no checks.
        CheckError: one of them failed.
    """
    with Scratch(store) as scratch:
        tools.temporary = scratch.directory("tmp")
        context = Context(store, scratch, tools, report, host, tools.log)
        with context.cleanup, _local(context, name) as here:
            identity, config = _config(tools, here, name)
            checks = recorded_checks(config, name)
            driver = NO_DRIVER
            if "cuda" in _labels(config).get("org.avabuild.target", ""):
                driver = driver_with(context, _chain(context, identity), config, identity)
            run_checks(context, identity, checks, driver)
    return tuple(check.framework for check in checks)


def recorded_checks(config: Mapping[str, Any], name: str) -> tuple[Check, ...]:
    """Return the checks that an image's config has among its labels."""
    try:
        programs = json.loads(_labels(config)[CHECKS])
        found = tuple(Check(framework=str(key), program=str(text)) for key, text in programs.items())
    except (LookupError, ValueError, AttributeError):
        found = ()
    if not found and CHECKS in _labels(config).get(ANNOTATED, ""):
        raise ImageError(
            f"{name} has lost its checks: they are annotations of its manifest, and a tool left these out",
            hint="check the image as avabuild built it",
        )
    if not found:
        raise ImageError(
            f"{name} records no checks",
            hint="only images that avabuild built with a framework can be checked; this one was not, "
            "or an older version built it",
        )
    return found


def _labels(config: Mapping[str, Any]) -> Mapping[str, str]:
    return (config.get("config") or {}).get("Labels") or {}


@contextmanager
def _local(context: Context, name: str) -> Iterator[str]:
    """Have the image in the local storage; yield what names it there, and leave the storage as it was."""
    if not name.startswith(_ELSEWHERE):
        yield name
        return
    before = set(context.tools.image_ids().values())
    try:
        identity = context.tools.buildah(["pull", "--quiet", name], place="check").split()[-1]
    except StepError as error:
        raise ImageError(f"{name} is no image: {_last(error)}", hint=f"full log: {error.log}") from error
    try:
        yield identity
    finally:
        if identity not in before:
            with suppress(StepError):
                context.tools.remove_image(identity)


def _config(tools: Tools, identity: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return the id and the config of a local image, with the labels that are annotations."""
    try:
        read = json.loads(tools.buildah(argv.inspect(identity), place="check"))
    except StepError as error:
        raise ImageError(
            f"there is no image {name} in the local storage", hint="avabuild recipe builds it"
        ) from error
    config = dict(read.get("OCIv1") or {})
    labels = whole_labels(_labels(config), read.get("ImageAnnotations") or {})
    return str(read["FromImageID"]), {**config, "config": {**(config.get("config") or {}), "Labels": labels}}


def _last(error: StepError) -> str:
    lines = error.tail.strip().splitlines()
    return re.sub(r'^.*msg="?|"$', "", lines[-1]) if lines else error.message


def _chain(context: Context, identity: str) -> Chain:
    """Return what APT is run on for this image: nothing is built on it."""
    with context.container(identity, "release") as container:
        codename = container.run(["/bin/sh", "-c", _CODENAME], place="check").strip().strip('"')
    target = Target.for_base(context.host.arch).model_copy(update={"distribution": codename or "unknown"})
    return Chain(context, Base(digest=f"sha256:{identity}"), target, "gzip")
