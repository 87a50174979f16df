"""Proving a composed image before it gets its name: its linkage while it is imported, then its checks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from avabuild.common.value import digest_of
from avabuild.engine.check.check import run_checks
from avabuild.engine.check.driver import NO_DRIVER, driver_for_checks
from avabuild.engine.check.linkage import check_linkage
from avabuild.engine.context import Context
from avabuild.engine.exec.stack import Chain
from avabuild.engine.import_ahead import import_image
from avabuild.engine.job import Job
from avabuild.engine.layout import Composed
from avabuild.store.oci import Piece


def prove_image(context: Context, job: Job, pieces: Sequence[Piece], composed: Composed) -> str:
    """Return the image's id in the local storage, empty when nothing needs it there.

    What passed its checks here before, the very same image, is not checked again on its way out.

    Raises:
        LinkageError: a library that its packages need is not in it.
        CheckError: a framework's check failed.
    """
    plan, identity = job.plan, ""
    with ThreadPoolExecutor(1, "linkage") as pool:
        linked = pool.submit(check_linkage, context, plan, job.base, pieces, composed)
        checked = _proof(job, composed) if job.check and plan.checks else ""
        known = checked and not job.anew and context.store.recall("checked", checked) is not None
        if job.output.kind == "storage" or (checked and not known):
            identity = import_image(context, composed)
        needs_driver = linked.result()
    if identity and job.check:
        driver = NO_DRIVER
        if needs_driver or plan.target.device.cuda:
            chain = Chain(context, job.base, plan.target, plan.compression, plan.keep_secrets)
            driver = driver_for_checks(context, chain, composed)
        run_checks(context, identity, plan.checks, driver)
        if checked:
            context.store.record("checked", checked, composed.digest)
    return identity


def _proof(job: Job, composed: Composed) -> str:
    """Return what a build remembers an image by whose checks passed: its config, layers and checks."""
    return digest_of([composed.config, composed.layers, [check.model_dump() for check in job.plan.checks]])
