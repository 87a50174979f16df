"""The kit's rule that builds: a real image of a framework's newest release, in which its check runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from avabuild.authoring.conformance.finding import IMAGE, Finding
from avabuild.authoring.conformance.subject import Subject
from avabuild.layer.facts import homes
from avabuild.plugins.profile import example
from avabuild.plugins.provider import as_local
from avabuild.recipe import Recipe

BUILDER = "buildah"
_PROGRAM = "from avabuild.cli import main; main()"


def is_there() -> bool:
    """Whether this host has what builds images."""
    return shutil.which(BUILDER) is not None


def checked(subject: Subject, name: str) -> tuple[str, tuple[Finding, ...]]:
    """Build an image of the framework `name`; return what its check printed, and why if it failed.

    The image goes to a directory that is removed again: no name is left in the local storage. Layers and
    downloads stay in the user's cache.
    """
    with tempfile.TemporaryDirectory(prefix="avabuild-kit-") as place:
        path = written(subject, name, Path(place))
        recipe = path.read_text(encoding="utf-8")
        events, error = run(subject, "recipe", str(path), "--output", f"oci:{place}/image", "--check")
    said = [str(one.get("text", "")) for one in events if one.get("step") == f"check {name}"]
    if error:
        fix = f"see what it says; this is the recipe:\n{recipe.rstrip()}"
        return "", (Finding(IMAGE, error.replace(f"{place}/", ""), fix, name),)
    return " ".join(filter(None, said)), ()


def written(subject: Subject, name: str, place: Path) -> Path:
    """Write a recipe of the framework `name` into the directory `place`, and return its path."""
    place = place.resolve()  # a way with `..` from a link leads elsewhere
    recipe = example(subject.registry.framework(name), _homes())
    if subject.plugins:
        named = [os.path.relpath(plugin, place) for plugin in subject.plugins]
        entries = json.dumps([as_local(way) for way in named], ensure_ascii=False)
        recipe = recipe.replace("\n", f"\nplugins = {entries}\n", 1)
    path = place / f"{name}.toml"
    path.write_text(recipe, encoding="utf-8")
    return path


def _homes() -> dict[str, tuple[str, ...]]:
    """Return the distributions to build on: first the one that a recipe stands on which names none."""
    usual = Recipe.model_fields["base"].default.debian
    return {name: homes()[name] for name in sorted(homes(), key=lambda name: name != usual)}


def run(subject: Subject, *argv: str) -> tuple[list[dict[str, Any]], str]:
    """Run avabuild with `--json` where it finds the subject; return its events, and its error or nothing."""
    command = [sys.executable, "-P", "-c", _PROGRAM, *argv, "--json"]
    done = subprocess.run(command, env=subject.environment, capture_output=True, text=True, check=False)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode == 0:
        return events, ""
    return events, done.stderr.strip().removeprefix("avabuild: ") or "avabuild failed and said nothing"
