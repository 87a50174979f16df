"""OfferedBase: a kind of base that a plugin adds to the recipe's `base` table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict


class BaseOptions(BaseModel):
    """The `base` table of a recipe that names an offered base; plugins subclass it.

    One field has the base's own name (`ubuntu` for `{ ubuntu = "22.04" }`); the others are options beside it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class OfferedBase:
    """A base that a recipe may name by a key of its own. Its callable is pure: same options, same answer.

    Attributes:
        name: the key, and the entry point's name in the group `avabuild.bases`: lower-case letters, digits
            and `_`.
        summary: one line for `avabuild plugins`.
        options: the class of the whole `base` table.
        resolve: options -> the base that the recipe could have written instead, without conditions:
            `{"image": "registry.example/ubuntu:22.04"}`, `{"debian": "bookworm"}` or
            `{"archive": "/srv/base.tar"}`.
    """

    name: str
    summary: str
    options: type[BaseOptions]
    resolve: Callable[[Any], Mapping[str, str]]
