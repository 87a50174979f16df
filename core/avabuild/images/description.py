"""Description: what an image says of itself, read back from its config and manifest. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from avabuild.engine.directories import NAME as DIRECTORIES
from avabuild.images.columns import split
from avabuild.plan.labels import (
    EXPORTED,
    FORMAT_LABEL,
    FRAMEWORKS,
    LAYERS,
    LOCK,
    OFFER,
    PLUGINS,
    POLICIES,
    RECIPE,
    TARGET,
    whole_labels,
)
from avabuild.resolve.lock import TargetLock

_TAG = re.compile(r"(?:py(?P<major>\d)(?P<minor>\d+)-)?(?P<device>cpu|cuda\w+(?:-cudnn\w+)?)")
_MADE = "avabuild: "
_STEP = re.compile(r"/run/export/steps/\d+-([\w-]+)\.sh")  # of an exported Containerfile
_GROUP = re.compile(r"(?:wheels|bytecode) of (.+)")
_OWN = {"packages": "recipe", "pip": "avabuild"}  # groups that are called otherwise than who asks for them
_PART = re.compile(r"(.+) \d+/\d+")


@dataclass(frozen=True, slots=True)
class LayerAbout:
    """One layer.

    Attributes:
        name: what it is; `base` for what the image stands on.
        origins: who asked for it: frameworks, `recipe`, `avabuild`.
        diff_id: digest of its tar.
        digest: of the layer as it is stored or pushed; empty where that is not known.
        size: bytes of that, `unpacked` of the tar; None where not known.
    """

    name: str
    origins: tuple[str, ...]
    diff_id: str
    digest: str = ""
    size: int | None = None
    unpacked: int | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What an image says of itself.

    Attributes:
        own: whether avabuild made it; what follows is empty when not.
        python: `3.11`, or empty.
        device: `cpu`, `cuda9.0-cudnn7`.
        target: the tag of the target.
        frameworks: name and exact version.
        plugins: framework and the distribution that declared it.
        policies: those that were in force, and the distribution that declared each.
        offered: the base as the recipe named it (`ubuntu 22.04`) and the distribution that offers it; empty
            where the recipe named one of avabuild's own kinds.
        recipe: all that the recipe says.
        lock: what it resolved to; None in images of an older avabuild.
        layers: lowest first.
        exported: the image whose exported Containerfile another tool built this one from; empty for others.
    """

    own: bool
    python: str = ""
    device: str = ""
    target: str = ""
    frameworks: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    lock: TargetLock | None = None
    layers: tuple[LayerAbout, ...] = ()
    exported: str = ""

    @property
    def base(self) -> Mapping[str, Any]:
        """What the recipe says to stand on; empty for scratch."""
        said = self.recipe.get("base")
        return said if isinstance(said, dict) else {}

    @property
    def columns(self) -> dict[str, str]:
        """The columns that say in the table of images what an image holds."""
        own, others = split(self.frameworks)
        return {
            "python": self.python or "-",
            **{column: version or "-" for column, version in own.items()},
            "device": self.device or "-",
            "framework": ", ".join(f"{name} {version}" for name, version in others.items()) or "-",
        }


def is_ours(config: Mapping[str, Any]) -> bool:
    """Whether avabuild made the image with this config."""
    return FORMAT_LABEL in labels_of(config)


def labels_of(config: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Return the labels that an image's config has, and those that its manifest's annotations have."""
    return whole_labels((config.get("config") or {}).get("Labels") or {}, annotations or {})


def describe(
    config: Mapping[str, Any],
    manifest: Mapping[str, Any] | None = None,
    unpacked: Mapping[str, int] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Description:
    """Return what the image says; `unpacked` has the sizes of tars by diff ID, as far as they are known.

    `annotations` are those of its manifest, where that is none with compressed layers.
    """
    labels = labels_of(config, annotations or (manifest or {}).get("annotations"))
    lock = _lock(labels.get(LOCK))
    descriptors = (manifest or {}).get("layers") or ()
    layers = tuple(_layers(config, labels.get(LAYERS), lock, descriptors, unpacked or {}))
    if not is_ours(config):
        return Description(own=False, layers=layers)
    target, recipe = labels.get(TARGET, ""), table_of(labels.get(RECIPE))
    found = _TAG.fullmatch(target)
    return Description(
        own=True,
        python=f"{found['major']}.{found['minor']}" if found and found["major"] else "",
        device=_device(found["device"], recipe) if found else "",
        target=target,
        frameworks=table_of(labels.get(FRAMEWORKS)),
        plugins=table_of(labels.get(PLUGINS)),
        policies=table_of(labels.get(POLICIES)),
        offered=table_of(labels.get(OFFER)),
        recipe=recipe,
        lock=lock,
        layers=layers,
        exported=labels.get(EXPORTED, ""),
    )


def _device(tag: str, recipe: Mapping[str, Any]) -> str:
    """Return the device that a tag names without its dots, as the recipe's matrix writes it."""
    matrix = recipe.get("matrix")
    devices = matrix.get("device") if isinstance(matrix, dict) else ()
    known = map(str, devices if isinstance(devices, list) else ())
    return next((text for text in known if text.replace(".", "") == tag), tag)


def table_of(text: str | None) -> dict[str, Any]:
    """Return the table that a label holds as JSON; empty without one, or where it is damaged."""
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _lock(text: str | None) -> TargetLock | None:
    try:
        return TargetLock.model_validate_json(text) if text else None
    except ValidationError:  # of an avabuild that knew other fields
        return None


def _layers(
    config: Mapping[str, Any],
    asked_text: str | None,
    lock: TargetLock | None,
    descriptors: Sequence[Mapping[str, Any]],
    unpacked: Mapping[str, int],
) -> list[LayerAbout]:
    diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
    made = [str(entry.get("created_by", "")) for entry in config.get("history") or [] if _makes(entry)]
    made += [""] * (len(diff_ids) - len(made))
    asked = _asked(asked_text)
    needed = {package.name: package.by for package in lock.python} if lock else {}
    found = []
    for index, diff_id in enumerate(diff_ids):
        name = _name(made[index])
        known = descriptors[index] if len(descriptors) == len(diff_ids) else {}
        found.append(
            LayerAbout(
                name=name,
                origins=_origins(name, asked, needed),
                diff_id=diff_id,
                digest=str(known.get("digest", "")),
                size=int(known["size"]) if "size" in known else None,
                unpacked=unpacked.get(diff_id),
            )
        )
    return found


def _name(made: str) -> str:
    """Return what a layer is called of which the history says that `made` made it."""
    step = _STEP.search(made)
    other = step[1] if step else "base"
    return made.removeprefix(_MADE) if made.startswith(_MADE) else other


def _makes(entry: Mapping[str, Any]) -> bool:
    return not entry.get("empty_layer")


def _asked(text: str | None) -> dict[str, tuple[str, ...]]:
    try:
        return {str(name): tuple(map(str, origins)) for name, *origins in json.loads(text or "[]")}
    except (ValueError, TypeError):
        return {}


def _origins(
    name: str, asked: Mapping[str, tuple[str, ...]], needed: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Return who asked for a layer. Those of wheels are no steps of the plan: groups and wheels name them."""
    if name == DIRECTORIES:
        return ("recipe",)
    if name == "base" or name in asked:
        return asked.get(name, ())
    part = _PART.fullmatch(name)
    wheel = part[1] if part else name
    if wheel in needed:
        return needed[wheel] or ("recipe",)
    group = _GROUP.fullmatch(name)
    if group and group[1] in _OWN:
        return (_OWN[group[1]],)
    if group and not group[1].endswith("frameworks"):
        return (group[1],)
    return next((who for step, who in asked.items() if step.startswith("python")), ())
