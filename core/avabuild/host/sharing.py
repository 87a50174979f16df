"""Sharing: where others keep layers, wheels and bases that this user may take, and whose word is believed."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from avabuild.common.errors import Problem, SettingsError
from avabuild.common.value import Value
from avabuild.host.settings import Settings

TRUST = "AVABUILD_SHARED_TRUST"


class Sharing(Value):
    """A cache beside the user's own, which is read and never written.

    Attributes:
        directory: where it is: another user's AVABUILD_CACHE.
        users: ids of those whose entries are believed, root and the user among them.
        members: ids of groups each of whose members is such a user.
        groups: ids of groups that may write there: `members`, and those that are one such user's alone.
    """

    directory: Path
    users: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


def sharing(settings: Settings, uid: int) -> Sharing | None:
    """Return what the user `uid` chose, None when that names no directory.

    Raises:
        SettingsError: it names a user or group that this host does not know.
    """
    if settings.shared_cache is None:
        return None
    users, members = {0, uid}, set[int]()
    for name in (settings.shared_trust or "").replace(",", " ").split():
        try:
            if name.startswith("@"):
                group = grp.getgrgid(int(name[1:])) if name[1:].isdigit() else grp.getgrnam(name[1:])
                members.add(group.gr_gid)
                users.update(_ids(group.gr_mem))
            else:
                users.add(int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid)
        except KeyError:
            kind = "group" if name.startswith("@") else "user"
            problem = f"this host has no {kind} {name.lstrip('@')}"
            hint = f"name users, and groups with an @: {TRUST}=alice,@lab"
            raise SettingsError((Problem(settings.origin("shared_trust"), "", problem),), hint=hint) from None
    alone = (_own_group(user) for user in users)
    return Sharing(
        directory=settings.shared_cache,
        users=tuple(sorted(users)),
        members=tuple(sorted(members)),
        groups=tuple(sorted({0, *members, *(gid for gid in alone if gid is not None)})),
    )


def _ids(names: Iterable[str]) -> Iterator[int]:
    for name in names:
        with suppress(KeyError):
            yield pwd.getpwnam(name).pw_uid


def _own_group(user: int) -> int | None:
    """Return the group that is the user's alone, by the custom that it has their name."""
    with suppress(KeyError):
        known = pwd.getpwuid(user)
        return known.pw_gid if grp.getgrgid(known.pw_gid).gr_name == known.pw_name else None
    return None
