"""Answers of registries as values: challenges, and what an error is in words. Pure.

Source: OCI distribution-spec 1.1, "Error Codes"; RFC 9110, 11.6.1 (WWW-Authenticate); the CNCF
distribution project's "Token Authentication Specification".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avabuild.common.errors import AvabuildError, DiskFullError, RegistryError, UnavailableError

RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_FULL = ("no space left on device", "disk quota exceeded", "not enough space", "insufficient storage")
_FULL_NUMBER = re.compile(r'"err":\s*(28|122)\b')  # ENOSPC and EDQUOT, as distribution's drivers tell them
_SHOWN = 300  # characters of a registry's own words


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry wants to be told who asks: the scheme in lower case and its parameters."""

    scheme: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, headers: Sequence[str]) -> Challenge | None:
        """Return the first challenge that is known here: `bearer` or `basic`."""
        found: dict[str, Challenge] = {}
        for header in headers:
            scheme, _, rest = header.strip().partition(" ")
            given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
            found.setdefault(scheme.lower(), cls(scheme.lower(), given))
        return found.get("bearer") or found.get("basic")


def words(body: bytes) -> str:
    """Return what an error's body says: the codes and messages of its `errors`, else its text."""
    text = body.decode(errors="replace").strip()
    try:
        errors = json.loads(text)["errors"]
        said = [_line(error) for error in errors]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = [] if text.startswith("<") else [text]  # a proxy's page says nothing that its status doesn't
    return "; ".join(dict.fromkeys(line for line in said if line))[:_SHOWN]


def _line(error: Mapping[str, object]) -> str:
    message = str(error.get("message") or error.get("code") or "").strip()
    detail = error.get("detail")
    return f"{message}: {json.dumps(detail)}" if detail and message in {"", "unknown error"} else message


def is_registrys(body: bytes) -> bool:
    """Whether a registry says this, rather than a server that is none: no word, or its errors."""
    try:
        return not body.strip() or bool(json.loads(body)["errors"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def is_full(body: bytes) -> bool:
    """Whether an error says that the registry's disk is full."""
    lowered = body.decode(errors="replace").lower()
    return any(text in lowered for text in _FULL) or _FULL_NUMBER.search(lowered) is not None


_REFUSED = {
    405: (
        "takes nothing",
        "it is read-only, for now or for good; push to another, or ask its administrator",
    ),
    413: (
        "refuses what is so big",
        "a proxy in front of it has a limit on requests: its administrator can raise that",
    ),
}


def failure(host: str, what: str, status: int, body: bytes) -> AvabuildError:
    """Return the error for `what` (`push ava-keras:py311-cpu`) that `host` answered with an HTTP `status`."""
    said = words(body)
    reason = f"HTTP {status}" + (f" ({said})" if said else "")
    if status == 507 or is_full(body):
        return DiskFullError(
            f"{host} has no space left for {what}",
            hint="free some space there and repeat: what has arrived is not sent again",
        )
    if status in RETRIED:
        hint = "try again later: what has arrived is not sent again"
        return UnavailableError(f"{host} can't do this now: {what}: {reason}", hint=hint)
    if status in {401, 403}:
        hint = f"ask for the right to, or be somebody else: avabuild login {host}"
        return RegistryError(f"{host} doesn't let you {what}: {reason}", hint=hint)
    if status in _REFUSED:
        refuses, hint = _REFUSED[status]
        return RegistryError(f"{host} {refuses}: {what}: {reason}", hint=hint)
    if status == 404 and not is_registrys(body):
        hint = "is it a registry? a proxy or a web server may answer in its place"
        return RegistryError(f"{host} knows no such address: can't {what}: {reason}", hint=hint)
    return RegistryError(f"{host} refuses to {what}: {reason}")
