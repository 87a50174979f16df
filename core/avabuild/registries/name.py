"""Names of images in registries: `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`. Pure.

Source: OCI distribution-spec 1.1, "Pulling manifests" (repositories, tags); containers/image for what is a
host: the part before the first slash when it has a dot or a colon, or is `localhost`.
"""

from __future__ import annotations

import re

from avabuild.common.value import Value

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:]+\](?::\d+)?")


class Remote(Value):
    """What a name in a registry means; `tag` and `digest` are empty where the name has none."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Remote:
        """Read a name; raise ValueError, with a sentence for people, for what is none."""
        host, slash, rest = text.partition("/")
        if not slash or not is_host(host):
            raise ValueError(f'"{text}" names no registry; write it with one: registry.example.com/{text}')
        rest, _, digest = rest.partition("@")
        repository, _, tag = rest.partition(":")
        if not _REPOSITORY.fullmatch(repository):
            raise ValueError(
                f'"{text}": "{repository}" is no repository: lower-case letters, digits, "._-" and "/" are'
            )
        if tag and not _TAG.fullmatch(tag):
            raise ValueError(f'"{text}": "{tag}" is no tag')
        if digest and not is_digest(digest):
            raise ValueError(f'"{text}": "{digest}" is no digest; write sha256: and 64 hex digits')
        return cls(host=host, repository=repository, tag=tag, digest=digest)

    @property
    def bare(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def reference(self) -> str:
        """What the registry's API is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def tagged(self, tag: str) -> Remote:
        """Return the image of the same repository with that tag."""
        return Remote(host=self.host, repository=self.repository, tag=tag)

    def below(self, name: str, tag: str = "") -> Remote:
        """Return the repository `name` in the namespace that this one is."""
        return Remote(host=self.host, repository=f"{self.repository}/{name}", tag=tag)

    def __str__(self) -> str:
        return self.bare + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_digest(text: str) -> bool:
    """Whether the text is a sha256 digest, and nothing that a path could be made of."""
    return bool(_DIGEST.fullmatch(text))


def is_tag(text: str) -> bool:
    """Whether the text is the tag of an image."""
    return bool(_TAG.fullmatch(text))


def is_repository(text: str) -> bool:
    """Whether the text is the name of a repository."""
    return bool(_REPOSITORY.fullmatch(text))


def is_remote(text: str) -> bool:
    """Whether a name begins with a registry, by the rule that all tools have for it."""
    host, slash, _ = text.partition("/")
    return bool(slash) and is_host(host)


def is_host(text: str) -> bool:
    """Whether the first part of a name is a registry rather than a namespace."""
    return bool(_HOST.fullmatch(text)) and ("." in text or ":" in text or text == "localhost")


def referrers_tag(digest: str) -> str:
    """Return the tag under which clients list what belongs to a manifest, where a registry lists nothing."""
    return digest.replace(":", "-")


def is_referrers_tag(tag: str) -> bool:
    """Whether a tag is such a list's, and no image's."""
    return bool(_DIGEST.fullmatch(tag.replace("-", ":", 1)))
