"""Policy: what a site asks of every image, declared by a plugin: labels, an index, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from avabuild.common.value import Value
from avabuild.plugins.framework import Release
from avabuild.plugins.kinds import Apt, Env, Files, Python
from avabuild.plugins.target import Target


def _is_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https", "file"} or not (parts.netloc or parts.path):
        raise ValueError("an index is named by its http, https or file address")
    if parts.username or parts.password:
        raise ValueError("an index is named without a login: that is each host's own")
    return url


class Label(Value):
    """A label that the image must carry; a recipe that gives the same name another value is refused."""

    kind: Literal["label"] = "label"
    name: Annotated[str, Field(min_length=1)]
    value: Annotated[str, Field(pattern=r"^[^\r\n]*$")]


class Index(Value):
    """The one package index that Python packages come from, in place of those that the host names.

    Attributes:
        url: without a login: a host that has one for the same address, in a configured index, uses it. No
            lock and no image ever holds it.
    """

    kind: Literal["index"] = "index"
    url: Annotated[str, AfterValidator(_is_address)]


class Refuse(Value):
    """The image is not to be built.

    Attributes:
        reason: what is wrong, and what would be right: the user is shown it.
        where: the key of the recipe that it is about, dotted (`base`, `packages.pip`); empty for the whole.
    """

    kind: Literal["refuse"] = "refuse"
    reason: Annotated[str, Field(min_length=1)]
    where: str = ""


class Warn(Value):
    """The image is built all the same, and avabuild warns of it in plan and build.

    Attributes:
        reason: what is wrong, and what would be better: the user is shown it.
        where: the key of the recipe that it is about, as of `Refuse`.
    """

    kind: Literal["warn"] = "warn"
    reason: Annotated[str, Field(min_length=1)]
    where: str = ""


Amendment = Label | Index | Refuse | Warn | Apt | Python | Files | Env


@dataclass(frozen=True, slots=True)
class Draft:
    """An image as a policy is shown it, with what earlier policies added.

    Attributes:
        name: of the image, with its `tag`.
        base: what the recipe stands on: `{"debian": "bookworm"}`, `{"image": "..."}`, `{"archive": "..."}`,
            or nothing for `scratch`. A base that a plugin offers is what it resolved to.
        offered: the key by which the recipe named an offered base (`ubuntu`), empty for avabuild's own.
        target: the point of the matrix.
        frameworks: the chosen release series by name.
        apt: packages asked for, by frameworks and recipe, sorted; `python` likewise, as requirements.
        run: the text of every shell step.
        labels: of the image; `env` its variables. What the base itself has is not in them.
        user: that a container starts as, None for the base's own.
    """

    name: str
    tag: str
    base: Mapping[str, str]
    target: Target
    offered: str = ""
    frameworks: Mapping[str, Release] = field(default_factory=dict)
    apt: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class NotYet(BaseException):  # not an Exception: a plugin that catches those must not catch this
    """Raised where a policy reads what is known only once the base is here."""


class EarlyDraft(Draft):
    """An image whose base is not here yet: what depends on the base raises `NotYet` when it is read.

    A policy that refuses by the base's name is heard before anything is fetched; one that must know more
    is asked again later, as ever.
    """

    __slots__ = ()
    _LATER = frozenset({"tag", "target", "frameworks", "apt", "python", "run", "labels", "env"})

    def __getattribute__(self, name: str) -> Any:
        """Return a field that is known by now."""
        if name in EarlyDraft._LATER:
            raise NotYet(name)
        return object.__getattribute__(self, name)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site asks of every image. Its callable is pure: same draft, same answer.

    Attributes:
        name: the entry point's name in the group `avabuild.policies`; policies are asked in its order.
        summary: one line for `avabuild plugins`.
        amend: draft -> what to add (`Label`, `Index`, `Apt`, `Python`, `Files`, `Env`), or `Refuse`
            and `Warn` values; an empty answer means that the image is fine as it is.
    """

    name: str
    summary: str
    amend: Callable[[Draft], Iterable[Amendment]]
