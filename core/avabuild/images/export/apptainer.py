"""The Apptainer definition that does what a recipe did. Pure.

Source: Apptainer user guide, "Definition Files"; the base is an OCI archive beside it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avabuild.images.description import labels_of
from avabuild.images.export.rebuild import Rebuild, Shell, Step, Texts, Unpack

_HERE = "/export"  # what the files beside the definition are in the image while it is built
BASE = "base.tar"


def definition(
    made: Rebuild, config: Mapping[str, Any], layers: Mapping[int, tuple[str, Sequence[str]]], title: str
) -> tuple[str, dict[str, str]]:
    """Return the definition and the texts of its steps by file name.

    `layers` gives for each layer that is put as it is its file, and what it removes of those below.
    """
    texts = Texts()
    below = list(_steps(made.below, layers, texts))
    name = title.rpartition("/")[2].partition(":")[0]
    lines = [f"# {title}, as avabuild made it; build it here: apptainer build {name}.sif image.def"]
    if made.wheels:
        make = f"sh -e {_HERE}/{texts.keep('wheels by hash', made.wheels.make)}"
        used = [*_files(made.below, layers), _file("requirements", "/requirements")]
        lines += ["", *_head(made, "wheels"), "", "%files", *used, "", "%post", *below, f"    {make}"]
    lines += ["", *_head(made, "final")]
    lines += ["", "%files", *_files((*made.below, *made.above), layers)]
    if made.wheels:
        lines += ["", "%files from wheels", "    /wheels /wheels"]
    lines += ["", "%post", *below]
    if made.wheels:
        lines += [
            f"    sh -e {_HERE}/{texts.keep('python packages', made.wheels.install)}",
            "    rm -rf /wheels",
        ]
    lines += [*_steps(made.above, layers, texts), f"    rm -rf {_HERE}", "", *_settings(config)]
    return "\n".join(lines) + "\n", texts.files


def _head(made: Rebuild, stage: str) -> list[str]:
    bootstrap, source = ("docker", made.base) if made.base else ("oci-archive", BASE)
    return [f"Bootstrap: {bootstrap}", f"From: {source}", f"Stage: {stage}"]


def _files(steps: Sequence[Step], layers: Mapping[int, tuple[str, Sequence[str]]]) -> list[str]:
    names = [layers[step.index][0] for step in steps if isinstance(step, Unpack)]
    return [_file(name, f"{_HERE}/{name}") for name in ("steps", *names)]


def _file(source: str, target: str) -> str:
    return f"    {source} {target}"


def _steps(
    steps: Sequence[Step], layers: Mapping[int, tuple[str, Sequence[str]]], texts: Texts
) -> Iterator[str]:
    for step in steps:
        yield f"    # {step.words}{_needs(step) if isinstance(step, Shell) else ''}"
        if isinstance(step, Unpack):
            file, removed = layers[step.index]
            if removed:
                yield f"    rm -rf {shlex.join(removed)}"
            yield f"    tar -C / -xpf {_HERE}/{file}"
        else:
            yield f"    sh -e {_HERE}/{texts.keep(step.words, step.text)}"


def _exported(name: str, value: str) -> str:
    """Return one line of shell that exports the value as it is, of several lines as well."""
    if "\n" not in value:
        return f"export {name}={shlex.quote(value)}"
    packed = value.replace("\\", "\\\\").replace("\n", "\\n")
    return f'{name}="$(printf \'%b.\' {shlex.quote(packed)})"; export {name}="${{{name}%.}}"'


def _needs(step: Shell) -> str:
    needed = [*(f"the variable {name}" for name in step.secrets), *(f"{s} at {t}" for s, t in step.mounts)]
    return f" (needs {', '.join(needed)})" if needed else ""


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    inner = config.get("config") or {}
    yield "%environment"
    for entry in inner.get("Env") or ():
        name, _, value = entry.partition("=")
        yield f"    {_exported(name, value)}"
    labels = {name: text for name, text in labels_of(config).items() if not name.startswith("org.avabuild.")}
    yield from [
        "",
        "%labels",
        *(f"    {name} {' '.join(text.splitlines())}" for name, text in sorted(labels.items())),
    ]
    command = [*(inner.get("Entrypoint") or ()), *(inner.get("Cmd") or ())]
    place = f"    cd {shlex.quote(inner['WorkingDir'])}" if inner.get("WorkingDir") else ""
    yield from ["", "%runscript", *filter(None, [place])]
    yield f'    [ $# -eq 0 ] || exec "$@"\n    exec {shlex.join(command or ["/bin/sh"])}'
