"""The Containerfile that does what a recipe did, for any builder of images. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avabuild.images.description import labels_of
from avabuild.images.export.rebuild import Rebuild, Shell, Step, Texts, Unpack, Wheels
from avabuild.plan.labels import ANNOTATED, EXPORTED, LAYERS, pieces

FROM_HOST = ("APT_MIRROR", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
CERTIFICATES = "ca"  # the id of the secret
STEPS = "/run/export"  # where a step sees the directory of the Containerfile


def containerfile(
    made: Rebuild, config: Mapping[str, Any], layers: Mapping[int, tuple[str, Sequence[str]]], title: str
) -> tuple[str, dict[str, str]]:
    """Return the Containerfile and the texts of its steps by file name.

    `layers` gives for each layer that is put as it is its file, and what it removes of those below.
    """
    return _Writer(layers).write(made, config, title)


class _Writer:
    def __init__(self, layers: Mapping[int, tuple[str, Sequence[str]]]) -> None:
        self._layers = layers
        self._texts = Texts()

    def write(self, made: Rebuild, config: Mapping[str, Any], title: str) -> tuple[str, dict[str, str]]:
        lines = [
            f"# {title}, as avabuild made it; build it here: buildah build --tag NAME .",
            "# Mirrors and indexes are given, if need be, as --build-arg: " + ", ".join(FROM_HOST),
            f"# Their certificates, in one PEM file that no layer keeps: --secret id={CERTIFICATES},src=FILE",
            "",
            f"FROM {made.base or 'scratch'} AS below",
        ]
        if not made.base:
            lines += [line for index in made.root for line in self._unpack(Unpack(index, "base"))]
        lines += ["ARG APT_MIRROR", *self._steps(made.below)]
        if wheels := made.wheels:
            lines += ["", "FROM below AS wheels", *(f"ARG {name}" for name in FROM_HOST)]
            step = Shell("wheels by hash", wheels.make, asks=True)
            lines += ["COPY requirements /requirements", *self._shell(step)]
        lines += ["", "FROM below", "ARG APT_MIRROR"]
        if wheels:
            lines += self._installed(wheels)
        lines += [*self._steps(made.above), "", *_settings(config), *_described(config, title)]
        return "\n".join(lines) + "\n", self._texts.files

    def _steps(self, steps: Sequence[Step]) -> Iterator[str]:
        for step in steps:
            if isinstance(step, Unpack):
                yield from self._unpack(step)
            elif isinstance(step, Shell):
                yield from self._shell(step)

    def _unpack(self, step: Unpack) -> Iterator[str]:
        file, removed = self._layers[step.index]
        yield f"# {step.words}"
        if removed:
            yield "RUN " + json.dumps(["rm", "-rf", *removed])
        yield f"ADD {file} /"

    def _installed(self, wheels: Wheels) -> Iterator[str]:
        name = self._texts.keep("python-packages", wheels.install)
        mount = "--mount=type=bind,from=wheels,source=/wheels,target=/wheels"
        yield f"RUN {mount} --mount=type=bind,target={STEPS} sh -e {STEPS}/{name}"

    def _shell(self, step: Shell) -> Iterator[str]:
        yield f"# {step.words}"
        mounts = [f"--mount=type=bind,target={STEPS}"]
        for source, target in step.mounts:
            yield f"# needs {source} of the recipe's directory beside this file"
            mounts.append(f"--mount=type=bind,source={source.removeprefix('./')},target={target}")
        read = "".join(f'{name}="$(cat /run/secrets/{name})" ' for name in step.secrets)
        mounts += [f"--mount=type=secret,id={name}" for name in step.secrets]
        if step.asks:
            # APT reads it as a user of its own; nothing in it is secret.
            mounts.append(f"--mount=type=secret,id={CERTIFICATES},mode=0444")
        yield f"RUN {' '.join(mounts)} {read}sh -e {STEPS}/{self._texts.keep(step.words, step.text)}"


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    inner = config.get("config") or {}
    for entry in inner.get("Env") or ():
        name, _, value = entry.partition("=")
        if "\n" in value:
            yield f"# {name} has several lines, which no Containerfile can say: give it to each container"
        else:
            yield f"ENV {name}={_quoted(value)}"
    for name, text in sorted(labels_of(config).items()):
        if not name.startswith("org.avabuild."):
            yield f"LABEL {_quoted(name)}={_quoted(' '.join(text.splitlines()))}"
    for port in inner.get("ExposedPorts") or ():
        yield f"EXPOSE {port}"
    if inner.get("Volumes"):
        yield "VOLUME " + json.dumps(list(inner["Volumes"]))
    if inner.get("WorkingDir"):
        yield f"WORKDIR {inner['WorkingDir']}"
    if inner.get("User"):
        yield f"USER {inner['User']}"
    if inner.get("Healthcheck"):
        yield _health_check(inner["Healthcheck"])
    for name, key in (("ENTRYPOINT", "Entrypoint"), ("CMD", "Cmd")):
        if inner.get(key):
            yield f"{name} {json.dumps(inner[key])}"


def _described(config: Mapping[str, Any], title: str) -> Iterator[str]:
    """Yield the labels from which `avabuild inspect` knows what was built; its layers are others."""
    own = {name: text for name, text in labels_of(config).items() if name.startswith("org.avabuild.")}
    told = {name: text for name, text in own.items() if name not in {ANNOTATED, LAYERS}}
    for name, text in sorted({**told, EXPORTED: title}.items()):
        yield from (f"LABEL {_quoted(key)}={_quoted(piece)}" for key, piece in pieces(name, text).items())


def _health_check(found: Mapping[str, Any]) -> str:
    options = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}
    words = [f"--{name}={found[key] / 1e9:g}s" for name, key in options.items() if found.get(key)]
    words += [f"--retries={found['Retries']}"] if found.get("Retries") else []
    kind, *command = found.get("Test") or ["NONE"]
    if kind == "NONE":
        return "HEALTHCHECK NONE"
    shown = json.dumps(command if kind == "CMD" else ["/bin/sh", "-c", *command])
    return " ".join(["HEALTHCHECK", *words, "CMD", shown])


def _quoted(text: str) -> str:
    for letter in ("\\", '"', "$"):
        text = text.replace(letter, f"\\{letter}")
    return f'"{text}"'
