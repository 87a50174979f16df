"""Bases that depend on the axes of the matrix: an array of tables, the first that holds for a target."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from avabuild.common.value import Value
from avabuild.plugins.target import Device
from avabuild.recipe.bases import ArchiveBase, DebianBase, ImageBase, OneBase, RecipeBase, read_base
from avabuild.recipe.fields import DevicePatterns, Pythons


class Point(NamedTuple):
    """One point of a matrix before its base is known; `python` is None for the base's own."""

    python: str | None
    device: Device

    def __str__(self) -> str:
        return f"python {self.python or 'of the base'}, device {self.device}"

    @property
    def tag_end(self) -> str:
        """How the tag of its target ends, all of it where the Python is known: `py311-cpu`, `cpu`."""
        return f"py{self.python.replace('.', '')}-{self.device.tag}" if self.python else self.device.tag


class Conditions(Value):
    """What a base of several is for; an empty axis means all of it."""

    python: Pythons = Field(default=(), description='The Pythons it is for: "2.7" or a list; else all')
    device: DevicePatterns = Field(
        default=(), description='The devices it is for, by name or pattern: "cuda9.0*", or a list; else all'
    )

    def holds(self, point: Point) -> bool:
        """Whether the base is for `point`."""
        device = str(point.device)
        mine = not self.device or any(fnmatchcase(device, pattern) for pattern in self.device)
        return mine and (not self.python or point.python in self.python)


CONDITIONS = tuple(Conditions.model_fields)


class Choice(Value):
    """One base of several."""

    when: Conditions
    base: OneBase


class Bases(Value):
    """Several bases, in the order in which they are tried."""

    choices: tuple[Choice, ...]

    def first(self, point: Point) -> int | None:
        """Return the index of the first base that is for `point`, or None."""
        return next((i for i, choice in enumerate(self.choices) if choice.when.holds(point)), None)

    @model_serializer
    def _as_written(self) -> list[Any]:
        return [_written(choice) for choice in self.choices]


def _written(choice: Choice) -> Any:
    base: Any = choice.base.model_dump(mode="json")
    conditions = choice.when.model_dump(mode="json", exclude_defaults=True)
    return base if isinstance(base, str) else {**conditions, **base}


class _DebianFor(Conditions, DebianBase):
    """Debian, for some targets."""


class _ImageFor(Conditions, ImageBase):
    """An image, for some targets."""


class _RecipeFor(Conditions, RecipeBase):
    """Another recipe, for some targets."""


class _ArchiveFor(Conditions, ArchiveBase):
    """An archive, for some targets."""


_InList = _DebianFor | _ImageFor | _RecipeFor | _ArchiveFor | Literal["scratch"]
_InFile = DebianBase | ImageBase | RecipeBase | ArchiveBase | Literal["scratch"] | tuple[_InList, ...]


def _read(value: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> OneBase | Bases:
    if isinstance(value, Bases):
        return value
    if not isinstance(value, list):
        return read_base(value, info)
    if not value:
        raise ValueError("is empty; name at least one base")
    choices: list[Choice] = []
    problems: list[InitErrorDetails] = []
    for index, item in enumerate(value):
        try:
            choices.append(_choice(item, info))
        except ValidationError as error:
            problems += [_moved(detail, index) for detail in error.errors(include_url=False)]
        except ValueError as error:
            problems.append(_problem(str(error), index, item))
    for index, choice in enumerate(choices[:-1]):
        if not problems and choice.when == Conditions():
            text = f"is never used: base[{index}] has no conditions and is for all targets"
            problems.append(_problem(text, index + 1, value[index + 1]))
            break
    if problems:
        raise ValidationError.from_exception_data("Bases", problems)
    return Bases(choices=tuple(choices))


def _choice(item: Any, info: ValidationInfo) -> Choice:
    table = item if isinstance(item, dict) else {}
    conditions = {key: table[key] for key in CONDITIONS if key in table}
    rest = {key: table[key] for key in table if key not in conditions} if conditions else item
    when = Conditions.model_validate(conditions)
    return Choice(when=when, base=read_base(rest, info))


def _problem(text: str, index: int, item: Any) -> InitErrorDetails:
    kind = PydanticCustomError("value_error", "{text}", {"text": text})
    return InitErrorDetails(type=kind, loc=(index,), input=item)


def _moved(detail: Any, index: int) -> InitErrorDetails:
    """Return an error of an array's item as one of the array."""
    if detail["type"] == "value_error":
        words = str(detail.get("ctx", {}).get("error", detail["msg"]))
        kind: Any = PydanticCustomError("value_error", "{text}", {"text": words})
        return InitErrorDetails(type=kind, loc=(index, *detail["loc"]), input=detail["input"])
    made = InitErrorDetails(type=detail["type"], loc=(index, *detail["loc"]), input=detail["input"])
    if context := detail.get("ctx"):
        made["ctx"] = context
    return made


def _dumped(base: OneBase | Bases) -> Any:
    return base.model_dump(mode="json")


AnyBase = Annotated[
    OneBase | Bases,
    WrapValidator(_read, json_schema_input_type=_InFile),
    PlainSerializer(_dumped, when_used="always"),  # pydantic would take `scratch` for any class of the union
]
