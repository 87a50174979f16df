"""Recipe: one validated, frozen recipe file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from avabuild.common.errors import RecipeError
from avabuild.common.value import Value
from avabuild.plugins.target import Target
from avabuild.plugins.wording import KeyPath
from avabuild.recipe import tags
from avabuild.recipe.bases import DebianBase, Offer, OneBase, RecipeBase
from avabuild.recipe.choices import AnyBase, Bases
from avabuild.recipe.document import Source
from avabuild.recipe.fields import EMPTY_TABLE, Plugins, RepositoryName, Text
from avabuild.recipe.packages import Packages
from avabuild.recipe.tables import Build, FileEntry, ImageConfig, Matrix, RunStep


class Wanted(Value):
    """A framework that the recipe asks for; `options` is canonical JSON, read by the plugin's own class."""

    name: str
    options: str = "{}"

    @property
    def data(self) -> dict[str, Any]:
        """The options as plain data."""
        data: dict[str, Any] = json.loads(self.options)
        return data


def framework_options(value: Any) -> dict[str, Any]:
    """Return the options table that `value` stands for; a string is short for `{ version = ... }`."""
    if isinstance(value, str):
        return {"version": value}
    if isinstance(value, dict):
        return value
    example = f'"{value}"' if isinstance(value, int | float) and not isinstance(value, bool) else '"*"'
    raise ValueError(
        f"must be a version in quotes or a table of options, like {example} or {{ version = {example} }}"
    )


def _as_text(value: object) -> str:
    assert isinstance(value, datetime | date | time), f"TOML has no {type(value)}"  # noqa: S101
    return value.isoformat()


def _encoded(value: Any) -> str:
    try:
        return json.dumps(framework_options(value), sort_keys=True, default=_as_text, allow_nan=False)
    except ValueError as error:
        message = str(error)
        raise ValueError("inf and nan are no options" if "JSON" in message else message) from None


_OPTIONS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[Text, Annotated[Any, AfterValidator(_encoded)]])


def _wanted(value: Any, _handler: ValidatorFunctionWrapHandler) -> tuple[Wanted, ...]:
    if isinstance(value, tuple) and all(isinstance(item, Wanted) for item in value):
        return value
    if not isinstance(value, dict):  # pydantic collects ValueErrors only
        example = value[0] if isinstance(value, list) and value and isinstance(value[0], str) else "keras"
        raise ValueError(f'must be a table; write [frameworks] and below it {example} = "*"')  # noqa: TRY004
    encoded = _OPTIONS.validate_python(value)
    return tuple(Wanted(name=name, options=encoded[name]) for name in sorted(encoded))


Frameworks = Annotated[
    tuple[Wanted, ...], WrapValidator(_wanted, json_schema_input_type=dict[str, str | dict[str, Any]])
]


def bases_of(base: OneBase | Bases) -> tuple[OneBase, ...]:
    """Return every base that `base` may come to."""
    return tuple(choice.base for choice in base.choices) if isinstance(base, Bases) else (base,)


def with_offered(base: OneBase | Bases, offers: Mapping[int, Offer]) -> OneBase | Bases:
    """Return `base` with what plugins offered of it, by the index of the table."""
    made = [
        one.offered(offers[index]) if index in offers else one for index, one in enumerate(bases_of(base))
    ]
    if not isinstance(base, Bases):
        return made[0]
    pairs = zip(base.choices, made, strict=True)
    return Bases(choices=tuple(choice.model_copy(update={"base": one}) for choice, one in pairs))


class Recipe(Value):
    """What an image is to be made of.

    Paths in it are relative to `directory`, as the file spells them.
    """

    name: RepositoryName = Field(description="Name of the image, without registry host or tag")
    base: AnyBase = Field(
        default=DebianBase(debian="bookworm"),
        description="What the image is built on: a base, or several of which the first that holds is taken",
    )
    matrix: Matrix = Field(default_factory=Matrix, description="The targets to build for")
    frameworks: Frameworks = Field(
        default=(),
        json_schema_extra=EMPTY_TABLE,
        description='Frameworks by name: a version like "~=2.19" or a table of options',
    )
    tag: Text = Field(
        default=tags.DEFAULT,
        description="Template of the tag; fields: {python}, {device}, {name} and {<framework>}, its version",
    )
    plugins: Plugins = Field(
        default=(), description="Local plugins by path, and distributions whose policies are in force"
    )
    packages: Packages = Field(default_factory=Packages, description="Packages on top of the frameworks")
    files: tuple[FileEntry, ...] = Field(default=(), description="Files put into the image")
    run: tuple[RunStep, ...] = Field(default=(), description="Shell commands run at build time")
    image: ImageConfig = Field(
        default_factory=ImageConfig, description="What a container of the image starts with"
    )
    build: Build = Field(default_factory=Build, description="How layers are made")

    _source: Source = PrivateAttr(default=Source(Path("recipe.toml")))

    def model_post_init(self, context: Any, /) -> None:
        """Keep the source that the loader validates with."""
        if isinstance(context, Source):
            self._source = context

    @field_validator("tag")
    @classmethod
    def _tag_is_a_template(cls, text: str, info: ValidationInfo) -> str:
        bases = bases_of(info.data["base"]) if "base" in info.data else ()
        composed = any(isinstance(base, RecipeBase) for base in bases)  # frameworks are known later
        wanted = None if composed else info.data.get("frameworks")
        problem = tags.template_problem(text, None if wanted is None else [item.name for item in wanted])
        if problem:
            raise ValueError(problem)
        return text

    @property
    def source(self) -> Source:
        """The file it was read from, and the line of each of its keys."""
        return self._source

    @property
    def path(self) -> Path:
        """The file as the user named it."""
        return self._source.path

    @property
    def directory(self) -> Path:
        """What its relative paths are relative to."""
        return self._source.directory

    @property
    def one_base(self) -> OneBase:
        """The base of a recipe that has one, as those of `variants` have."""
        (base,) = bases_of(self.base)
        return base

    def place(self, *keys: str | int) -> str:
        """Return `FILE:LINE` of a key, `recipe.place("frameworks", "keras")`, or of what encloses it."""
        path: KeyPath = keys
        return self._source.place(path)

    def options(self, name: str) -> dict[str, Any]:
        """Return the raw options of the framework `name`, empty when the recipe does not mention it."""
        return next((item.data for item in self.frameworks if item.name == name), {})

    def content(self) -> dict[str, Any]:
        """Return all that the recipe says as JSON-able data: nothing of this host, no mirror."""
        data = self.model_dump(mode="json", exclude={"frameworks"})
        return {**data, "frameworks": {item.name: item.data for item in self.frameworks}}

    def replaced(self, source: Source, **fields: object) -> Recipe:
        """Return this recipe with other values of `fields`, valid ones, and another source."""
        other = self.model_copy(update=fields)
        other._source = source
        return other

    def tag_for(self, target: Target, versions: Mapping[str, str]) -> str:
        """Return the image's tag for `target`, with `versions` the chosen release of each framework.

        Raises:
            RecipeError: a field of the template has no value there, or the result is no OCI tag.
        """
        try:
            return tags.fill(self.tag, self.name, target, versions)
        except ValueError as error:
            raise RecipeError((self._source.problem(("tag",), str(error)),)) from None
