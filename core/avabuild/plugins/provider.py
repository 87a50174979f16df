"""Providers: who is installed to provide frameworks, policies and bases, and whom this site allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from typing import Literal

from avabuild.plugins.patience import PATIENCE

Kind = Literal["framework", "policy", "base"]
GROUPS: Mapping[Kind, str] = {
    "framework": "avabuild",
    "policy": "avabuild.policies",
    "base": "avabuild.bases",
}
OWN = "avabuild"  # the distribution whose plugins come with the engine, and are trusted like it


@dataclass(frozen=True, slots=True, order=True)
class Provider:
    """An entry point of one of the groups: who says to provide something, before anything is imported.

    Attributes:
        name: the entry point's name: the word that a recipe uses for a framework or a base.
        module: what to import, as the entry point spells it (`my_plugin` or `my_plugin:part`).
        distribution: the distribution's name, with its `version`; of a local plugin its path, as the recipe
            spells it, with the digest of its text.
        kind: what it provides.
    """

    name: str
    module: str
    distribution: str
    version: str
    kind: Kind = "framework"

    @property
    def who(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}"

    @property
    def is_local(self) -> bool:
        """Whether it is a file that a recipe or a project names."""
        return is_local(self.distribution)

    def __str__(self) -> str:
        return f"{self.name} ({self.who})"


@dataclass(frozen=True, slots=True)
class Trust:
    """What this site says of plugins: whose may be imported, and how long each may take.

    avabuild's own may always be imported.

    Attributes:
        patterns: names of distributions, or shell patterns of them, and local plugins by their absolute paths
            or patterns of those (`/srv/plugins/*.py`, `*.py`); None allows everything that a recipe names.
        origin: what says so, for messages.
        patience: seconds that a plugin has for its import and for each answer.
    """

    patterns: tuple[str, ...] | None = None
    origin: str = ""
    patience: float = PATIENCE

    def allows(self, distribution: str) -> bool:
        """Whether the plugins of `distribution`, or the local plugin of that path, may be imported."""
        return distribution == OWN or self.patterns is None or self.names(distribution)

    def absent(self, providers: Iterable[Provider]) -> tuple[str, ...]:
        """Return the distributions that the site names one by one and of which no provider is.

        A pattern may fit nothing, and a local plugin's path allows that file, wherever it is.
        """
        present = {_normal(one.distribution) for one in providers}
        named = (text for text in self.patterns or () if not is_local(text))
        exact = (text for text in named if not re.search(r"[*?\[]", text))
        return tuple(text for text in exact if _normal(text) not in present)

    def names(self, distribution: str) -> bool:
        """Whether the site itself names `distribution`: what puts its policies in force for every recipe."""
        return any(matches(distribution, pattern) for pattern in self.patterns or ())


def matches(distribution: str, pattern: str) -> bool:
    """Whether a distribution's name, in any spelling (PEP 503), or a local path fits a shell pattern."""
    if is_local(distribution):
        return fnmatchcase(distribution, pattern)
    if is_local(pattern) or re.fullmatch(r".*[*?\[].*\.py", pattern):  # one of files, as discord.py is none
        return False
    return fnmatchcase(_normal(distribution), _normal(pattern))


def is_path(text: str) -> bool:
    """Whether an entry of `plugins` is, or was meant as, a file rather than an installed distribution."""
    return is_local(text) or text.endswith(".py")


def is_local(distribution: str) -> bool:
    """Whether a provider's distribution is a local plugin's path; `discord.py` is an installed one's name."""
    return distribution.startswith(("./", "../", "/"))


def as_local(text: str) -> str:
    """Return the path of a local plugin, `mine.py`, as a recipe spells it."""
    return text if is_local(text) else f"./{text}"


def installed() -> tuple[Provider, ...]:
    """Return every provider that is installed, by name; reads metadata and imports no plugin."""
    points = entry_points()
    return tuple(
        sorted(
            Provider(point.name, point.value, point.dist.name, point.dist.version, kind)
            for kind, group in GROUPS.items()
            for point in points.select(group=group)
            if point.dist
        )
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
