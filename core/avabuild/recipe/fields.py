"""The field types of a recipe: what one string, list or table may hold, and how a wrong one is named.

Validators raise ValueError with the whole message. Those that look at the disk take the recipe's directory
from the validation context, a `Source`; without a context (a Recipe made in Python) the disk isn't asked.
"""

from __future__ import annotations

import re
import stat
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.config import JsonDict

from avabuild.common.regular import kernels, oddity
from avabuild.plugins.kinds import OWNER, checked_owner, checked_target
from avabuild.plugins.provider import is_path
from avabuild.plugins.target import Device
from avabuild.recipe.document import Source

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON = re.compile(r"\d\.\d{1,2}")
_MODE = re.compile(r"0?[0-7]{3,4}")
_PORT = re.compile(r"(\d{1,5})(/(?:tcp|udp|sctp))?")
# The path components of the OCI distribution-spec, "Pulling manifests"
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")


def existing(text: str, info: ValidationInfo) -> str:
    """Return `text`, a path relative to the recipe; ValueError when no file or directory is there."""
    _kind_on_disk(text, info)
    return text


def mountable(text: str, info: ValidationInfo) -> str:
    """Return `text`, a path relative to the recipe of what a step may see: a socket or device too."""
    _kind_on_disk(text, info, any_kind=True)
    return text


def existing_file(text: str, info: ValidationInfo) -> str:
    """Return `text`, a path of a file relative to the recipe; ValueError when it is none."""
    if _kind_on_disk(text, info) == "directory":
        raise ValueError(f'"{text}" is a directory; name a file')
    return text


def _kind_on_disk(
    text: str, info: ValidationInfo, *, any_kind: bool = False
) -> Literal["file", "directory"] | None:
    """Say what is at `text`; None when there is no recipe file to be relative to.

    What has no end (a pipe, a device, a file of the kernel) is refused, with `any_kind` the last of these.
    """
    if not isinstance(info.context, Source):
        return None
    directory = info.context.directory
    try:
        state = (directory / text).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f'there is no "{text}" in {directory}; paths are relative to the recipe') from None
    except OSError as error:
        raise ValueError(f'"{text}" can\'t be read: {(error.strerror or str(error)).lower()}') from None
    if found := kernels(state) if any_kind else oddity(state):
        raise ValueError(f'"{text}" is {found}; name a file or directory')
    return "directory" if stat.S_ISDIR(state.st_mode) else "file"


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command or path can")
    return text


def _one_line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError("has several lines, which tools that read labels and annotations take for several")
    return _filled(text)


def _absolute(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f'"{text}" must be an absolute path of the image without "..", like "/workspace"')
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f'"{text}" is no name of an environment variable')
    return text


def _name(text: str) -> str:
    if ":" in text:
        raise ValueError(
            f'"{text}" holds a tag; write name = "{text.partition(":")[0]}" and put the rest in tag'
        )
    if not _NAME.fullmatch(text):
        raise ValueError(
            f'"{text}" is no repository name; use lower-case words joined by "-", ".", "_" or "/", '
            'like "ava-keras"'
        )
    return text


def _mode(value: object) -> object:
    if isinstance(value, int) or (isinstance(value, str) and not _MODE.fullmatch(value)):
        raise ValueError('must be octal digits in quotes, like mode = "0755"')
    return value


def _owner(value: object) -> object:
    if isinstance(value, int) or (isinstance(value, str) and not OWNER.fullmatch(value)):
        raise ValueError(
            'must be numeric ids in quotes, like owner = "0:0" or owner = "1000"; names differ by image'
        )
    if isinstance(value, str):
        checked_owner(value)
    return value


def _python(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError('needs quotes, like python = ["3.11"]; as a number 3.10 would be 3.1')  # noqa: TRY004 - pydantic collects ValueErrors
    if isinstance(value, str) and not _PYTHON.fullmatch(value):
        found = re.fullmatch(r"(?:py|python)?(\d)\.?(\d{1,2})(?:\.\d+)?", value.strip())
        near = f"{found[1]}.{found[2]}" if found else "3.11"
        raise ValueError(f'"{value}" is no MAJOR.MINOR version of Python; write "{near}"')
    return value


def _device(text: str) -> str:
    return str(Device.parse(text))


def _device_pattern(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9.*?\[\]-]+", text):
        raise ValueError(f'"{text}" is no pattern of devices; write "cpu", "cuda9.0-cudnn7" or "cuda9.0*"')
    return text if re.search(r"[*?\[]", text) else _device(text)


def _plugin(text: str, info: ValidationInfo) -> str:
    if not is_path(text):
        if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", text):
            raise ValueError(f'"{text}" is no plugin; write "./my_plugin.py" or the name of a distribution')
        return text
    if text.startswith("/") or not text.startswith(("./", "../")):
        near = "./" + text.rpartition("/")[2]
        raise ValueError(f'"{text}" must be relative to this file, like "{near}"')
    if not text.endswith(".py"):
        raise ValueError(f'"{text}" must be a module: one file whose name ends with .py')
    return existing_file(text, info)


def _port(value: object) -> str:
    found = None if isinstance(value, bool) else _PORT.fullmatch(str(value))
    if not found or not 0 < int(found[1]) < 65536:
        raise ValueError(
            f'{value!r} is not a valid port; write a number such as 8888 or "8888/udp"'.replace("'", '"')
        )
    return found[1] + (found[2] or "/tcp")


def _one_or_many(value: object) -> object:
    if isinstance(value, str | int | float):
        return (value,)
    return value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f'"{value}" is named twice')
    return values


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must name at least one")
    return values


def _command(value: object) -> object:
    return ("/bin/sh", "-c", value) if isinstance(value, str) else value


# The default of a table that is kept as a tuple, as the file would spell it
EMPTY_TABLE: JsonDict = {"default": {}}

Text = Annotated[str, AfterValidator(_filled)]
Line = Annotated[str, AfterValidator(_one_line)]
RepositoryName = Annotated[Text, AfterValidator(_name)]
Absolute = Annotated[Text, AfterValidator(_absolute)]
ImagePath = Annotated[Absolute, AfterValidator(checked_target)]
ExistingPath = Annotated[Text, AfterValidator(existing)]
MountablePath = Annotated[Text, AfterValidator(mountable)]
ExistingFile = Annotated[Text, AfterValidator(existing_file)]
Variable = Annotated[Text, AfterValidator(_variable)]
OctalMode = Annotated[str, BeforeValidator(_mode, json_schema_input_type=str)]
NumericOwner = Annotated[str, BeforeValidator(_owner, json_schema_input_type=str)]
Port = Annotated[str, BeforeValidator(_port, json_schema_input_type=int | str)]
Command = Annotated[tuple[Text, ...], BeforeValidator(_command, json_schema_input_type=str | tuple[str, ...])]
Pythons = Annotated[
    tuple[Annotated[str, BeforeValidator(_python, json_schema_input_type=str)], ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_distinct),
]
Devices = Annotated[
    tuple[Annotated[Text, AfterValidator(_device)], ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_distinct),
    AfterValidator(_some),
]
DevicePatterns = Annotated[
    tuple[Annotated[Text, AfterValidator(_device_pattern)], ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_distinct),
]

Plugins = Annotated[tuple[Annotated[Text, AfterValidator(_plugin)], ...], AfterValidator(_distinct)]

_VARIABLES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[Variable, str])
_TABLE: TypeAdapter[dict[str, str]] = TypeAdapter(dict[Line, Line])


def _pairs(table: TypeAdapter[dict[str, str]]) -> WrapValidator:
    def read(value: Any, _handler: ValidatorFunctionWrapHandler) -> tuple[tuple[str, str], ...]:
        if isinstance(value, tuple):  # as a Recipe holds it already
            value = dict(value)
        return tuple(sorted(table.validate_python(value).items()))

    return WrapValidator(read, json_schema_input_type=dict[str, str])


Variables = Annotated[tuple[tuple[str, str], ...], _pairs(_VARIABLES)]
Pairs = Annotated[tuple[tuple[str, str], ...], _pairs(_TABLE)]
