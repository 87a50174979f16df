"""What a compile starts from: files by address, of a Debian source package or a Python project, by hash."""

from __future__ import annotations

from posixpath import basename
from typing import Annotated, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from avabuild.common.addresses import refuse_login
from avabuild.common.value import Value

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[^/.\x00-\x20'\x7f][^/\x00-\x20'\x7f]*$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._~:-]*$")]


class Download(Value):
    """A file by its address, checked against its hash; found at `$SOURCES/` and the address's last part."""

    kind: Literal["download"] = "download"
    url: Annotated[str, Field(pattern=r"^(https?|file)://[^\s]+$"), AfterValidator(refuse_login)]
    sha256: Sha256

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        SourceFile(filename=self.filename, sha256=self.sha256)
        return self

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return basename(unquote(urlsplit(self.url).path))

    @property
    def words(self) -> str:
        """What a person is shown of it."""
        return self.filename


class SourceFile(Value):
    """One file of a source: the name under which it is known and found, and the hash it must have."""

    filename: FileName
    sha256: Sha256


class DebianSource(Value):
    """A Debian source package: its files, from whichever mirror the host uses.

    Attributes:
        name: of the source package.
        version: its whole version, as the mirror's index has it.
        suite: the code name under which the mirror has it; need not be the image's own.
        files: all of its files: the .dsc and what that names.
    """

    kind: Literal["debian"] = "debian"
    name: Word
    version: Word
    suite: Word
    files: Annotated[tuple[SourceFile, ...], Field(min_length=1)]

    @property
    def words(self) -> str:
        """What a person is shown of it."""
        return f"{self.name} {self.version}"


class ProjectFile(Value):
    """An sdist or wheel of a Python project, from whichever package index the host uses."""

    kind: Literal["project"] = "project"
    name: Word
    version: Word
    filename: FileName
    sha256: Sha256

    @property
    def words(self) -> str:
        """What a person is shown of it."""
        return f"{self.name} {self.version}"


Source = Annotated[Download | DebianSource | ProjectFile, Field(discriminator="kind")]
