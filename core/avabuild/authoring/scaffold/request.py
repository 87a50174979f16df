"""Scaffold: what a new distribution is made from, compared with what a name can be."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from avabuild.authoring.scaffold.table import Row
from avabuild.common.errors import PluginError
from avabuild.plugins.provider import GROUPS, Kind
from avabuild.plugins.registry import BASE_NAME, TAKEN

LICENSES = ("MIT", "BSD-3-Clause", "Apache-2.0")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_PROJECT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST = 40


@dataclass(frozen=True, slots=True)
class Scaffold:
    """What a new distribution is made from.

    Attributes:
        kind: what it provides.
        name: the framework's, policy's or base's: the word of recipes.
        project: what an index calls it.
        imported: what Python calls it.
        license: one of `LICENSES`.
        author: who holds the copyright.
        rows: of its table, newest first.
        day: the ISO date of today, on which the table was compared.
        version: avabuild's own: the oldest that the plugin is for.
        contract: that it is written for.
    """

    name: str
    project: str
    imported: str
    license: str
    author: str
    rows: tuple[Row, ...]
    day: str
    version: str
    contract: int
    kind: Kind = "framework"

    @property
    def group(self) -> str:
        """The entry-point group, as pyproject.toml spells it."""
        group = GROUPS[self.kind]
        return f'"{group}"' if "." in group else group

    @property
    def distribution(self) -> str:
        """The name on the index, and of the directory."""
        return f"avabuild-{self.name.replace('_', '-')}"

    @property
    def module(self) -> str:
        """The package that Python imports."""
        return f"avabuild_{self.name.replace('-', '_')}"


def scaffold_for(
    name: str,
    rows: tuple[Row, ...],
    *,
    project: str | None = None,
    imported: str | None = None,
    license: str = LICENSES[0],  # noqa: A002 - the word of pyproject.toml
    author: str | None = None,
    day: str,
    version: str,
    contract: int,
    kind: Kind = "framework",
) -> Scaffold:
    """Return what a distribution for `name`, of a `kind`, is made from.

    Raises:
        PluginError: something is no name, or the license is none that there is.
    """
    plain = name.removeprefix("avabuild-")
    require_name(plain, kind)
    project = project or plain
    imported = imported or re.sub(r"[-.]", "_", project).lower()
    if not _PROJECT.fullmatch(project):
        raise PluginError(
            f'"{project}" is no name of a project on an index', hint='write it like "scikit-learn"'
        )
    parts = imported.split(".")
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise PluginError(f'"{imported}" can\'t be imported', hint="name it with --import")
    if license not in LICENSES:
        raise PluginError(f'there is no text for the license "{license}"', hint=f"take {', '.join(LICENSES)}")
    holder = author or f"the authors of avabuild-{plain}"
    return Scaffold(plain, project, imported, license, holder, rows, day, version, contract, kind)


def require_name(name: str, kind: Kind = "framework") -> None:
    """Raise PluginError for what can't be the name of a framework, a policy or a base."""
    if kind == "base":
        if name in TAKEN or not BASE_NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _LONGEST:
            raise PluginError(
                f'"{name}" can\'t be the name of a base',
                hint="use lower-case letters, digits and _, beginning with a letter, but none of the keys "
                f"that a base table has: {', '.join(TAKEN)}",
            )
        return
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise PluginError(
            f'"{name}" can\'t be the name of a {kind}',
            hint=f'use lower-case letters, digits and single "-", like "scikit-learn"; at most {_LONGEST}',
        )
