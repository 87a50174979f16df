"""What an image says of itself: labels and annotations. Pure.

Source: OCI image-spec, annotations.md (`org.opencontainers.image.*`); ours are `org.avabuild.*`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from avabuild.plan.plan import Plan
from avabuild.plugins.cuda import driver_minimum
from avabuild.resolve.lock import FORMAT, TargetLock

CHECKS = "org.avabuild.checks"
KEY = "org.avabuild.key"
LOCK = "org.avabuild.lock"
FORMAT_LABEL = "org.avabuild.format"
RECIPE = "org.avabuild.recipe"
TARGET = "org.avabuild.target"
FRAMEWORKS = "org.avabuild.frameworks"
PLUGINS = "org.avabuild.plugins"
POLICIES = "org.avabuild.policies"
OFFER = "org.avabuild.base"
LAYERS = "org.avabuild.layers"
TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
BASE = "org.opencontainers.image.base.digest"
LONG = frozenset({CHECKS, LOCK})  # what annotations leave to the labels: a manifest is read often
ANNOTATED = "org.avabuild.annotated"  # what labels leave to the annotations: by name the sha256 of the text
EXPORTED = "org.avabuild.exported"  # the image whose exported Containerfile this one was built from
MOST = 4096  # bytes of a label with its name: with a longer one containerd starts no container
_FIRST_PIECE = re.compile(r"org\.avabuild\.[a-z]+\.1")


def labels(plan: Plan, content: Mapping[str, Any], lock: TargetLock) -> tuple[tuple[str, str], ...]:
    """Return the labels of the image of `plan`, sorted by name.

    `content` is what the recipe says, without anything of the host; `lock` is what it resolved to, and gives
    the exact versions of the frameworks, whose distributions are found among the requirements.
    """
    versions = {package.name: package.version for package in lock.python}
    made = {
        TITLE: plan.name,
        VERSION: plan.tag,
        FORMAT_LABEL: str(FORMAT),
        RECIPE: _text(content),
        TARGET: plan.target.tag,
        FRAMEWORKS: _text({f.name: exact_version(f.name, f.series, versions) for f in plan.frameworks}),
        PLUGINS: _text({f.name: f"{f.distribution} {f.version}" for f in plan.frameworks}),
        LAYERS: _text([[step.name, *step.origins] for step in plan.steps]),
        LOCK: _text(lock.model_dump(mode="json", exclude_defaults=True)),
    }
    if plan.policies:
        made[POLICIES] = _text({p.name: f"{p.distribution} {p.version}" for p in plan.policies})
    if offer := plan.base_offer:
        made[OFFER] = _text({str(offer): f"{offer.distribution} {offer.version}"})
    if plan.checks:
        made[CHECKS] = _text({check.framework: check.program for check in plan.checks})
    if driver := driver_minimum(plan.target.device.cuda or ""):
        made["org.avabuild.cuda.driver"] = f">={driver}"
    if lock.base:
        made[BASE] = lock.base
    return tuple(sorted(made.items()))


def split_labels(every: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return which labels an image's config has, and which are annotations of its manifest: the long ones.

    A label says what these are, so that equal configs mean equal images, and what was lost on the way.
    """
    long = {name: text for name, text in every.items() if len(f"{name}{text}".encode()) > MOST}
    short = {name: text for name, text in every.items() if name not in long}
    if long:
        short[ANNOTATED] = _text({name: _digest(text) for name, text in long.items()})
    return short, long


def whole_labels(labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, str]:
    """Return an image's labels with those that are annotations, as far as they are there and are these."""
    try:
        digests = dict(json.loads(labels.get(ANNOTATED, "{}")))
    except (ValueError, TypeError):
        digests = {}
    long = {name: annotations[name] for name in digests if name in annotations and name not in labels}
    known = {name: text for name, text in long.items() if _digest(text) == digests[name]}
    return {**_joined(labels), **known}


def pieces(name: str, text: str) -> dict[str, str]:
    """Return a label as labels that are short enough for containerd, `NAME.1` and so on if there are many.

    A Containerfile has no other place for a long one: it says no annotations.
    """
    data, cut = text.encode(), list[str]()
    while data:
        room = MOST - len(f"{name}.{len(cut) + 1}".encode())
        cut.append(data[:room].decode(errors="ignore"))
        data = data[len(cut[-1].encode()) :]
    return {f"{name}.{number}": one for number, one in enumerate(cut, 1)} if len(cut) > 1 else {name: text}


def _joined(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels with those of ours whole that are there in `pieces`."""
    found = dict(labels)
    for first in [name for name in labels if _FIRST_PIECE.fullmatch(name)]:
        name = first.removesuffix(".1")
        if name in labels:
            continue
        whole, number = "", 1
        while f"{name}.{number}" in found:
            whole += found.pop(f"{name}.{number}")
            number += 1
        found[name] = whole
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def exact_version(framework: str, series: str, versions: Mapping[str, str]) -> str:
    """Return the version that a framework's main distribution resolved to; its series where there is none."""
    for name, version in sorted(versions.items(), key=lambda item: (item[0] != framework, item[0])):
        alike = name.startswith(framework) or framework.endswith(name)
        if alike and (version == series or version.startswith((f"{series}.", f"{series}+"))):
            return version
    return series


def _text(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
