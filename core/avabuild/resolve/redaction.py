"""Hiding users and passwords in texts that people see."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=://)[^\s/@\"']+(?:@[^\s/@\"']+)*@")


def redact(text: str) -> str:
    """Return `text` with the user and password of every URL in it replaced by `***`."""
    return _USERINFO.sub("***@", text)
