"""The recipe's own packages: Debian's by name, Python's as requirements, files or git repositories."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from avabuild.common.addresses import refuse_login
from avabuild.common.value import Value
from avabuild.plugins.kinds import Repository
from avabuild.recipe.fields import ExistingFile, Text, existing_file

# Debian Policy 5.6.1 (names) and 5.6.12 (versions)
_APT = re.compile(r"[a-z0-9][a-z0-9+.-]+(=(?:\d+:)?\d[A-Za-z0-9.+~-]*)?")
_GIT = re.compile(r"git\+(?:https?|ssh|file)://\S+")
_SDIST_ENDINGS = (".tar.gz", ".zip")
_FILE_ENDINGS = (".whl", *_SDIST_ENDINGS)
_EDITABLE = "an editable install needs the host's source tree, which no image has; name a wheel instead"
_OPTIONS = {
    "-e": _EDITABLE,
    "--editable": _EDITABLE,
    "-r": "list the requirements here instead of a requirements file",
    "--requirement": "list the requirements here instead of a requirements file",
    "-c": "put constraints in packages.constraints",
    "--constraint": "put constraints in packages.constraints",
}

PipKind = Literal["index", "file", "git"]


def pip_kind(text: str) -> PipKind:
    """Return where an entry of `packages.pip` comes from: an index (or its own URL), a local file, or git."""
    if _GIT.match(text) or re.match(r"[\w.\[\],-]+\s*@\s*git\+", text):
        return "git"
    if text.startswith(("./", "../", "/")) or (text.endswith(_FILE_ENDINGS) and "@" not in text):
        return "file"
    return "index"


def _apt(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(f'"{text}" is an option; list only packages')
    if not _APT.fullmatch(text):
        near = text.lower().replace("_", "-").replace("==", "=")
        hint = f'; did you mean "{near}"?' if near != text and _APT.fullmatch(near) else ""
        raise ValueError(f'"{text}" is no Debian package; write "git" or "git=1:2.39.2-1.1"{hint}')
    return text


def _pip(text: str, info: ValidationInfo) -> str:
    refuse_login(text)
    if text.startswith("-"):
        option = re.split(r"[\s=]", text, maxsplit=1)[0]
        why = _OPTIONS.get(
            option, "indexes and other settings are read from the host's own pip and uv configuration"
        )
        raise ValueError(f'"{text}" is an option of pip; {why}')
    if "://" in text and "@" not in text and not _GIT.fullmatch(text):
        raise ValueError(f'"{text}" needs its name in front: "NAME @ {text}"')
    if re.fullmatch(r"(?![./])[^\s@=<>~!]+\.(txt|in|toml|lock|cfg|ya?ml)", text):
        raise ValueError(f'"{text}" is a file and no package; {_OPTIONS["-r"]}')
    match pip_kind(text):
        case "file":
            return _local(text, info)
        case "git" if _GIT.fullmatch(text):
            return text
    return _requirement(text)


def _local(text: str, info: ValidationInfo) -> str:
    existing_file(text, info)
    filename = text.rsplit("/", 1)[-1]
    if filename.endswith(_SDIST_ENDINGS):  # whose name is in its metadata
        return text
    try:
        if filename.endswith(".whl"):
            parse_wheel_filename(filename)
        else:
            parse_sdist_filename(filename)
    except InvalidWheelFilename:
        raise ValueError(
            f'"{filename}" is not a wheel file name; keep the name it was built with, like '
            "mine-1.0-py3-none-any.whl"
        ) from None
    except InvalidSdistFilename:
        raise ValueError(
            f'"{filename}" is not a wheel or sdist; build one with "pip wheel --no-deps"'
        ) from None
    return text


def _requirement(text: str) -> str:
    refuse_login(text)
    try:
        Requirement(text)
    except InvalidRequirement as error:
        if single := re.fullmatch(r"([\w.-]+(?:\[[\w,. -]*\])?)\s*=\s*([\w.*+-]+)", text):
            raise ValueError(
                f'"{text}" is no requirement; did you mean "{single[1]}=={single[2]}"?'
            ) from None
        why = str(error).splitlines()[0].rstrip(":")
        raise ValueError(f'"{text}" is no requirement (PEP 508): {why[:1].lower()}{why[1:]}') from None
    return text


def _project(text: str) -> str:
    try:
        return str(canonicalize_name(text, validate=True))
    except InvalidName:
        raise ValueError(f'"{text}" is not the name of a Python project') from None


def _word(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", text):
        raise ValueError(f'"{text}" is no name of a repository; use lower-case words, like "nvidia-cuda"')
    return text


def _uri(text: str) -> str:
    refuse_login(text)
    if not re.fullmatch(r"https?://\S+|file:/\S+", text):
        raise ValueError(f'"{text}" is no address; it begins with http://, https:// or file:/')
    return text


def _fingerprint(text: str) -> str:
    bare = text.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9A-F]{40}", bare):
        raise ValueError(f'"{text}" is no fingerprint: it has 40 hexadecimal digits')
    return bare


class RepositoryEntry(Value):
    """An APT repository beside the distribution's own, for the recipe's own packages."""

    name: Annotated[Text, AfterValidator(_word)] = Field(description="What the lock and messages call it")
    suite: Text = Field(
        description='Its distribution, like "bookworm"; of a flat repository its directory: "/"'
    )
    components: tuple[Text, ...] = Field(
        default=("main",), description='Its components, like ["main"]; a flat repository has none: []'
    )
    uri: Annotated[Text, AfterValidator(_uri)] | None = Field(
        default=None, exclude=True, description="Its address; left out: the distribution's own mirror"
    )
    key: ExistingFile | None = Field(
        default=None, exclude=True, description="File of the public key that signs it, relative to the recipe"
    )
    fingerprint: Annotated[Text, AfterValidator(_fingerprint)] | None = Field(
        default=None, description="Fingerprint that the key must have, 40 hexadecimal digits"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> RepositoryEntry:
        if self.value is None:  # its own checks raise
            raise AssertionError
        return self

    @property
    def value(self) -> Repository:
        """The repository that an apt layer has."""
        return Repository(
            name=self.name,
            suite=self.suite,
            components=self.components,
            uri=self.uri,
            key=self.key,
            fingerprint=self.fingerprint or "",
        )


class Packages(Value):
    """What the recipe adds on top of its frameworks."""

    apt: tuple[Annotated[Text, AfterValidator(_apt)], ...] = Field(
        default=(), description='Debian packages, "git" or "git=1:2.39.2-1.1"'
    )
    pip: tuple[Annotated[Text, AfterValidator(_pip)], ...] = Field(
        default=(),
        description="Python packages: requirements (PEP 508), wheels and sdists by path, git+https://...",
    )
    constraints: tuple[Annotated[Text, AfterValidator(_requirement)], ...] = Field(
        default=(), description="Requirements (PEP 508) that limit versions without asking for a package"
    )
    build_network: tuple[Annotated[Text, AfterValidator(_project)], ...] = Field(
        default=(),
        alias="build-network",
        description="Projects whose sources are built with the network; all others are built without",
    )
    repositories: tuple[RepositoryEntry, ...] = Field(
        default=(), description="APT repositories beside the distribution's own, for the packages of apt"
    )

    @field_validator("repositories")
    @classmethod
    def _names_differ(cls, entries: tuple[RepositoryEntry, ...]) -> tuple[RepositoryEntry, ...]:
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two repositories are named "{name}"')
        return entries
