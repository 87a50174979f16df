"""Addresses with a login in them: recognised, hidden, and refused where everybody would read them."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^\s/@\"']+(?:@[^\s/@\"']+)*@")
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^\s/?#\"'<>]*)", re.IGNORECASE)
_PLACES = {
    "git": "in the ~/.netrc of whoever builds",
    "": "in ~/.netrc, or for an index in UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD",
}


def redact(text: str) -> str:
    """Return `text` with the user and password of every URL in it replaced by `***`."""
    return _USERINFO.sub("***@", text)


def refuse_login(text: str) -> str:
    """Return `text`; ValueError when an address in it has a password or token, with where that belongs.

    The user's name alone, as git has it before an SSH host, is none.
    """
    if scheme := _scheme_with_login(text):
        where = _PLACES["git" if scheme.startswith("git+") else ""]
        raise ValueError(
            f'"{redact(text)}" has a login in its address, which everyone who has the image could read; '
            f'write "{_USERINFO.sub("", text)}" and keep the login {where}'
        )
    return text


def refuse_login_in_shell(text: str) -> str:
    """Return the shell text; ValueError when an address in it has a login that is no variable's value."""
    if _scheme_with_login(text, variables=True):
        raise ValueError(
            "an address in it has a login, which everyone who has the image could read; "
            "take it from a variable of the host that the step names under secrets"
        )
    return text


def _scheme_with_login(text: str, *, variables: bool = False) -> str:
    """Return the scheme of the first address with a login, empty without; `variables` allows `$NAME`."""
    for found in _ADDRESS.finditer(text):
        scheme, (userinfo, at, _) = found["scheme"].lower(), found["host"].rpartition("@")
        # With http a name alone is a token; before an SSH host it is whose account it is.
        secret = ":" in userinfo or scheme.endswith(("http", "https"))
        if at and secret and not (variables and "$" in userinfo):
            return scheme
    return ""
