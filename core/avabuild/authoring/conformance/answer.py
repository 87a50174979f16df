"""What the fixtures of `avabuild.testing` do: ask an installed framework, build a recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avabuild.authoring.conformance.image import run
from avabuild.authoring.conformance.plans import recipe_for
from avabuild.authoring.conformance.results import Answer, BuildFailed, Image
from avabuild.authoring.conformance.subject import Subject
from avabuild.common.tars import passing
from avabuild.plan.labels import whole_labels
from avabuild.plan.planning import picks_of
from avabuild.plan.project import Project
from avabuild.plugins.provider import OWN, Provider, installed
from avabuild.plugins.registry import Registry
from avabuild.plugins.target import Device, Target
from avabuild.run.config import trust_of


def asked(
    name: str,
    *,
    python: str,
    device: str = "cpu",
    distribution: str = "bookworm",
    arch: str = "x86_64",
    glibc: str = "2.36",
    **options: Any,
) -> Answer:
    """Return what the framework `name` answers for a target, beside the frameworks that it requires.

    Raises:
        TargetError: no release fits.
        PluginError: it is not installed or not allowed here, or breaks the contract.
        pydantic.ValidationError: it has no such options.
    """
    target = Target(
        distribution=distribution, arch=arch, python=python, device=Device.parse(device), glibc=glibc
    )
    registry = Registry(_preferred(name), trust_of(os.environ))
    chosen = registry.framework(name).options(**options).model_dump(mode="json", exclude_unset=True)
    project = Project(recipe_for(name, chosen, device), registry)
    (found,) = [pick for pick in picks_of(project, target) if pick.framework.name == name]
    return Answer(found.request, found.layers, found.program)


def _preferred(name: str) -> tuple[Provider, ...]:
    """Return who is installed; where avabuild has a framework of that name too, the other's is meant."""
    everything = installed()
    others = any(
        (one.name, one.kind) == (name, "framework") and one.distribution != OWN for one in everything
    )
    return tuple(one for one in everything if not (others and one.name == name and one.distribution == OWN))


def built(place: Path, recipe: str) -> Image:
    """Build the recipe into a directory below `place`, and check it.

    Raises:
        BuildFailed: it could not be built, or a check failed; with what avabuild says.
    """
    path = place / "recipe.toml"
    path.write_text(recipe, encoding="utf-8")
    output = place / "image"
    events, error = run(
        Subject("", (), Registry(())), "recipe", str(path), "--output", f"oci:{output}", "--check"
    )
    if error:
        raise BuildFailed(error)
    image = next(event for event in reversed(events) if event["event"] == "image")
    checks = {
        str(event["step"]).removeprefix("check "): str(event["text"])
        for event in events
        if event["event"] == "finish" and str(event["step"]).startswith("check ")
    }
    manifest = json.loads(_blob(output, str(image["digest"])).read_bytes())
    config = json.loads(_blob(output, manifest["config"]["digest"]).read_bytes())
    return Image(
        digest=str(image["digest"]),
        checks=checks,
        layers=(*image["made"], *image["reused"]),
        labels=whole_labels(
            (config.get("config") or {}).get("Labels") or {}, manifest.get("annotations") or {}
        ),
        files=frozenset(_files([_blob(output, layer["digest"]) for layer in manifest["layers"]])),
    )


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _files(layers: Sequence[Path]) -> set[str]:
    """Return the paths in an image; avabuild's own layers take nothing of the base away."""
    found: set[str] = set()
    for layer in layers:
        with passing(layer) as tar:
            found.update(member.name.removeprefix("./") for member in tar)
    return found
