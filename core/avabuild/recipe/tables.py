"""The tables of a recipe: matrix, files, run, image, build."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool

from avabuild.common.addresses import refuse_login_in_shell
from avabuild.common.dates import date_of
from avabuild.common.value import Value
from avabuild.plugins.target import Device
from avabuild.recipe.fields import (
    EMPTY_TABLE,
    Absolute,
    Command,
    Devices,
    ExistingPath,
    ImagePath,
    MountablePath,
    NumericOwner,
    OctalMode,
    Pairs,
    Port,
    Pythons,
    Text,
    Variable,
    Variables,
)


class Matrix(Value):
    """The targets: every Python with every device."""

    python: Pythons = Field(
        default=(), description='Python versions, like "3.11"; none means the base\'s own'
    )
    device: Devices = Field(default=("cpu",), description='Devices: "cpu", "cuda12.5" or "cuda12.5-cudnn9.3"')

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices as values."""
        return tuple(map(Device.parse, self.device))


class FileEntry(Value):
    """A file or directory beside the recipe, put into the image without a container."""

    source: ExistingPath = Field(description="File or directory, relative to the recipe")
    target: ImagePath = Field(
        description="Absolute path in the image; a trailing / means into this directory"
    )
    mode: OctalMode | None = Field(default=None, description='Octal permission bits in quotes, like "0644"')
    owner: NumericOwner = Field(default="0:0", description='Numeric owner, "UID" or "UID:GID"')
    exclude: tuple[Text, ...] = Field(
        default=(), description="Patterns of what is left out of a directory, as of .dockerignore"
    )


class MountEntry(Value):
    """A host path that one run step sees; the image never holds it."""

    source: MountablePath = Field(description="Host path, relative to the recipe")
    target: Absolute = Field(description="Absolute path in the step's container")
    writable: StrictBool = Field(default=False, description="Whether the step may change the host path")


def _mount(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    source, colon, target = value.partition(":")
    if not colon or ":" in target:
        raise ValueError(
            f'"{value}" is no mount; write "./data:/data", or '
            '{ source = "./data", target = "/data", writable = true }'
        )
    return {"source": source, "target": target}


def _seconds(value: object) -> object:
    """Let a time be seconds, or a number with `s`, `m` or `h` behind it."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", value.strip())
    if not found:
        raise ValueError(f'"{value}" is not a duration; write seconds, or "90s", "10m", "2h"')
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


Seconds = Annotated[float, Field(gt=0), BeforeValidator(_seconds, json_schema_input_type=float | str | None)]


class RunStep(Value):
    """A shell command that runs as root in a working container."""

    shell: Annotated[Text, AfterValidator(refuse_login_in_shell)] = Field(description="Text given to sh -ec")
    name: Text | None = Field(default=None, description="Shown in place of the command")
    stage: Literal["system", "last"] = Field(
        default="last", description="system: on the base before any package; last: on top of everything"
    )
    env: Variables = Field(
        default=(), json_schema_extra=EMPTY_TABLE, description="Variables of this step alone"
    )
    secrets: tuple[Variable, ...] = Field(
        default=(), description="Names of host variables that this step sees and nothing stores"
    )
    mounts: tuple[
        Annotated[MountEntry, BeforeValidator(_mount, json_schema_input_type=str | MountEntry)], ...
    ] = Field(default=(), description='Host paths that this step sees: "./data:/data" or a table')
    network: Literal["host", "none"] = Field(
        default="host", description="none: the step reaches nothing but itself"
    )
    privileges: tuple[Literal["userns"], ...] = Field(
        default=(), description="userns: the step may open user namespaces and mount in them"
    )
    timeout: Seconds | None = Field(
        default=None, description='When the step is stopped and the build fails: seconds, or "10m"'
    )


class HealthCheck(Value):
    """A command that tells whether a container does what it is for; a string is a shell's."""

    command: Annotated[Command, Field(min_length=1)] = Field(
        description="Program and arguments; a string is run by /bin/sh -c"
    )
    interval: Seconds | None = Field(default=None, description='Between two runs: seconds, or "30s"')
    timeout: Seconds | None = Field(default=None, description="When a run counts as failed")
    start_period: Seconds | None = Field(
        default=None, description="For how long after the start a failure doesn't count"
    )
    retries: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="Failures in a row after which a container is unhealthy"
    )


def _health_check(value: Any) -> Any:
    return {"command": value} if isinstance(value, str | list) else value


def _date(value: object) -> object:
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    try:
        return date_of(value) if value != "" else ""
    except (ValueError, OverflowError, OSError):
        raise ValueError('give a date with its zone, "2026-05-01T12:00:00Z", or seconds since 1970') from None


class ImageConfig(Value):
    """What a container of the image starts with; unset keys keep what the base says."""

    env: Variables = Field(default=(), json_schema_extra=EMPTY_TABLE, description="Environment variables")
    labels: Pairs = Field(default=(), json_schema_extra=EMPTY_TABLE, description="Labels of the image")
    entrypoint: Command | None = Field(
        default=None, description="Program and first arguments; a string is run by /bin/sh -c"
    )
    cmd: Command | None = Field(default=None, description="Default arguments; a string is run by /bin/sh -c")
    workdir: ImagePath | None = Field(default=None, description="Directory in which a container starts")
    created: Annotated[str, BeforeValidator(_date, json_schema_input_type=str | int | datetime)] = Field(
        default="", description="Date of the image: RFC 3339, or seconds since 1970"
    )
    user: Text | None = Field(default=None, description='User of a container: "1000:1000" or a name')
    ports: tuple[Port, ...] = Field(default=(), description='Ports that a container serves: 8888 or "53/udp"')
    volumes: tuple[ImagePath, ...] = Field(default=(), description="Directories meant to be mounted")
    annotations: Pairs = Field(
        default=(), json_schema_extra=EMPTY_TABLE, description="OCI annotations of the manifest"
    )
    healthcheck: (
        Annotated[
            HealthCheck, BeforeValidator(_health_check, json_schema_input_type=str | list[str] | HealthCheck)
        ]
        | None
    ) = Field(default=None, description="Command that tells whether a container is well, or a table")


class Build(Value):
    """How layers are made."""

    bytecode: StrictBool = Field(default=True, description="Compile wheels' modules once, at build time")
    compression: Literal["gzip", "zstd"] = Field(default="gzip", description="Compression of layer blobs")
    linkage: Literal["error", "warn", "off"] = Field(
        default="error", description="What is done when a library that the packages need is not in the image"
    )
    keep_secrets: tuple[Annotated[str, Field(pattern=r"^/\S+$")], ...] = Field(
        default=(),
        description="Private keys and ids that steps make and that are to be in the image; patterns of paths",
    )
