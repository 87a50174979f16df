"""Account: which ids and home a container's own files give a user.

Read by hand: the C library's functions might load code from the container for it.
Source: OCI image-spec, config.md (`User`); passwd(5), group(5).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """Ids, further groups, and the home directory."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/root"


def account(user: str, root: Path = Path("/")) -> Account:
    """Return what `user` is in the file system at `root`: `name`, `uid`, `name:group` or `uid:gid`.

    Raises:
        ValueError: a name that is not in the container's files.
    """
    name, _, group = user.partition(":")
    people, groups = _lines(root / "etc/passwd"), _lines(root / "etc/group")
    entry = next((one for one in people if len(one) > 5 and name and name in {one[0], one[2]}), None)
    if entry is None and name and not name.isdigit():
        raise ValueError(f"the image has no user {name}")
    uid = int(entry[2]) if entry else int(name or 0)
    home = entry[5] if entry else "/root" if uid == 0 else "/"
    if group:
        return Account(uid, _group(group, groups), (), home)
    gid = int(entry[3]) if entry else 0
    more = tuple(int(one[2]) for one in groups if len(one) > 3 and entry and entry[0] in one[3].split(","))
    return Account(uid, gid, more, home)


def _group(name: str, groups: list[list[str]]) -> int:
    found = next((int(one[2]) for one in groups if len(one) > 2 and name == one[0]), None)
    if found is None and not name.isdigit():
        raise ValueError(f"the image has no group {name}")
    return int(name) if found is None else found


def _lines(path: Path) -> list[list[str]]:
    with suppress(OSError):
        return [line.split(":") for line in path.read_text("utf-8", "replace").splitlines() if line]
    return []
