"""The bases a recipe may stand on, one class per way to get one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
)

from avabuild.common.addresses import refuse_login
from avabuild.common.value import Value
from avabuild.plugins.wording import did_you_mean
from avabuild.recipe.fields import ExistingFile, Text

CODENAMES = ("bullseye", "bookworm", "trixie")

# The grammar of the distribution project's reference package: [domain[:port]/]path[:tag][@digest]
_REFERENCE = re.compile(
    r"(?:(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_HOW = (
    'write { debian = "bookworm" }, { image = "..." }, { recipe = "x.toml" }, { archive = "x.tar" } '
    'or "scratch"'
)


def _codename(text: str) -> str:
    if text not in CODENAMES:
        raise ValueError(f'"{text}" is none of {", ".join(CODENAMES)}{did_you_mean(text, CODENAMES)}')
    return text


def _mirror(text: str) -> str:
    refuse_login(text)
    if not re.fullmatch(r"https?://\S+|(?:file|copy):/\S+", text):
        raise ValueError(f'"{text}" is no address of a mirror; it begins with http://, https:// or file:/')
    return text


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f'"{text}" is no image reference; write "registry/name:tag" or "name@sha256:..."')
    return text


class Offer(Value):
    """By which plugin a recipe came to its base: the key, the table as written, and the distribution."""

    name: str
    written: tuple[tuple[str, str], ...]
    distribution: str
    version: str

    def __str__(self) -> str:
        first = [text for key, text in self.written if key == self.name]
        rest = [f"{key} {text}" for key, text in self.written if key != self.name]
        return ", ".join([f"{self.name} {' '.join(first)}", *rest])


class _Base(Value):
    """What all bases have."""

    _offer: Offer | None = PrivateAttr(default=None)

    @property
    def offer(self) -> Offer | None:
        """The plugin's offer that the recipe named it by, None where it is the recipe's own words."""
        return self._offer

    def offered(self, offer: Offer) -> Self:
        """Return this base as what `offer` stands for."""
        base = self.model_copy()
        base._offer = offer  # the copy is nobody else's yet
        return base


class DebianBase(_Base):
    """Debian, bootstrapped from a mirror without any registry."""

    debian: Annotated[Text, AfterValidator(_codename)] = Field(
        description="Code name of the Debian release", json_schema_extra={"enum": list(CODENAMES)}
    )
    # Which mirror served the packages changes no byte of them, so it is no part of a recipe's content.
    mirror: Annotated[Text, AfterValidator(_mirror)] | None = Field(
        default=None, exclude=True, description="Mirror to bootstrap from, instead of the host's own"
    )


class ImageBase(_Base):
    """An image that buildah pulls and probes."""

    image: Annotated[Text, AfterValidator(_reference)] = Field(description="Reference of the image to pull")


class RecipeBase(_Base):
    """Another recipe: its frameworks and packages are resolved together with this one's."""

    recipe: ExistingFile = Field(description="Path of the other recipe, relative to this one")


class ArchiveBase(_Base):
    """An OCI or docker archive, or the tar of a root file system."""

    archive: ExistingFile = Field(description="Path of the archive, relative to the recipe")


class ScratchBase(_Base):
    """Nothing at all: the image holds only what the recipe puts there. Written `base = "scratch"`."""

    @model_serializer
    def _as_written(self) -> str:
        return "scratch"


_Table = DebianBase | ImageBase | RecipeBase | ArchiveBase
_KINDS: dict[str, type[_Table]] = {
    "debian": DebianBase,
    "image": ImageBase,
    "recipe": RecipeBase,
    "archive": ArchiveBase,
}
KEYS = tuple(_KINDS)
_OF_SEVERAL = ("python", "device")


def read_base(value: Any, info: ValidationInfo) -> _Table | ScratchBase:
    """Return the base that `value` says; ValueError, or pydantic's own error, when it says none."""
    if isinstance(value, _Table | ScratchBase):
        return value
    if isinstance(value, str):
        return _read_word(value)
    if not isinstance(value, dict):
        raise ValueError(f"must be a table: {_HOW}")  # noqa: TRY004 - pydantic collects ValueErrors
    return read_table(value, info.context)


def read_table(value: dict[str, Any], context: Any = None) -> _Table:
    """Return the base that the table `value` says, looking at the disk only with a `context`; else raise."""
    given = [key for key in KEYS if key in value]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other; keep one")
    if not given:
        near = next((hint for key in value if (hint := did_you_mean(key, KEYS))), "")
        named = [key for key in value if key not in _OF_SEVERAL]
        if named and not near:
            raise ValueError(f'"{named[0]}" is no key of a base, and no plugin here offers it; {_HOW}')
        raise ValueError(f"says nothing to build on; {_HOW}{near}")
    if any(key in value for key in _OF_SEVERAL):
        words = " and ".join(key for key in _OF_SEVERAL if key in value)
        raise ValueError(f"{words} chooses among several bases; write base = [{{ ... }}, {{ ... }}]")
    return _KINDS[given[0]].model_validate(value, context=context)


def _read_word(word: str) -> ScratchBase:
    if word == "scratch":
        return ScratchBase()
    if word in CODENAMES or word == "debian":
        kind, word = "debian", word if word in CODENAMES else "bookworm"
    elif word.endswith(".toml"):
        kind = "recipe"
    else:
        kind = "archive" if word.endswith(".tar") else "image"
    raise ValueError(f'must be a table; write base = {{ {kind} = "{word}" }}')


OneBase = _Table | ScratchBase


def _read(value: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> OneBase:
    return read_base(value, info)


Base = Annotated[OneBase, WrapValidator(_read, json_schema_input_type=_Table | Literal["scratch"])]
