"""The tag template of a recipe: which fields it may hold and what it becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from avabuild.plugins.target import Target
from avabuild.plugins.wording import did_you_mean, listed

DEFAULT = "py{python}-{device}"
BUILT_IN = ("python", "device", "name")

_FIELD = re.compile(r"\{([^{}]*)\}")
# OCI distribution-spec, "Pulling manifests"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def template_problem(template: str, frameworks: Iterable[str] | None) -> str | None:
    """Return what is wrong with `template`, or None.

    `frameworks` are the names that may be fields; None when they aren't known yet, which allows any field.
    """
    template = template.replace("+", "_")
    literal = _FIELD.sub("", template)
    if "{" in literal or "}" in literal:
        return f'"{template}" has a brace without its partner'
    if not _TAG.fullmatch(_FIELD.sub("x", template)):
        return (
            f'"{template}" does not give a valid tag: at most 128 characters of A-Z a-z 0-9 _ . -, '
            "not starting with . or -"
        )
    if frameworks is None:
        return None
    known = (*BUILT_IN, *frameworks)
    for field in _FIELD.findall(template):
        if field not in known:
            return f"unknown field {{{field}}}{did_you_mean(field, known)} known: {listed(known)}"
    return None


def fill(template: str, name: str, target: Target, versions: Mapping[str, str]) -> str:
    """Return the tag for `target`; ValueError when a field has no value or the result is no OCI tag.

    `{python}` and `{device}` lose their dots, `{<framework>}` is its chosen release and keeps them. An image
    without Python has the device alone for its default tag. A `+` becomes `_`.
    """
    if template == DEFAULT:
        return target.tag
    values = {**versions, "name": name.rsplit("/", 1)[-1], "device": target.device.tag}
    if target.python:
        values["python"] = target.python.replace(".", "")

    def value(found: re.Match[str]) -> str:
        field = found[1]
        if field not in values:
            raise ValueError(
                "{python} has no value: the image has no Python"
                if field == "python"
                else f"{{{field}}} has no value: {field} is not in the image"
            )
        return values[field]

    tag = _FIELD.sub(value, template).replace("+", "_")  # of versions as 2.4+cpu, which no tag can hold
    if not _TAG.fullmatch(tag):
        raise ValueError(f'"{template}" makes "{tag}", which is no valid tag')
    return tag
