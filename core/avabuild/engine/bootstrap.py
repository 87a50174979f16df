"""How a Debian is bootstrapped here: a pure choice among the ways that mmdebstrap has of being root."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Literal

from packaging.version import Version

from avabuild.common.errors import HostError
from avabuild.common.value import Value
from avabuild.host.means import Mode

PROGRAMS = ("fakechroot", "fakeroot")
_MADE = (
    'take a base that is made already: an image, base = { archive = "..." }, or that of a shared cache, '
    "AVABUILD_SHARED_CACHE=DIR"
)


class Way(Value):
    """A way to bootstrap.

    Attributes:
        mode: mmdebstrap's.
        inside: whether it runs in the build's namespace, where one id is mapped: all files are root's then.
            Every other way keeps their owners, and comes to the same bytes.
        warning: what the user is told of it.
    """

    mode: Literal["root", "unshare", "fakechroot"]
    inside: bool = False
    warning: str = ""


def way_of(mode: Mode, programs: Collection[str], *, older: bool = False) -> Way:
    """Return the way for a user of `mode`; `programs` are those of PROGRAMS that are there.

    `older` says that the release has an older C library than this host: fakechroot has the release's own
    programs load the host's library of fakeroot, which needs this one.

    Raises:
        HostError: there is none; says what would make one.
    """
    if mode == "root":
        return Way(mode="root")
    if mode == "subuid":
        return Way(mode="unshare")
    missing = [name for name in PROGRAMS if name not in programs]
    if not missing and not older:
        return Way(mode="fakechroot")
    if mode == "single":
        better = "a host that is no newer" if older else f"the packages {' and '.join(PROGRAMS)}"
        warning = (
            "all files of the Debian base are owned by root: this user has one id here; "
            f"{better} would keep owners"
        )
        return Way(mode="root", inside=True, warning=warning)
    if older:
        raise HostError(
            "a Debian that is older than this host can't be made where there are no user namespaces",
            hint=_MADE,
        )
    raise HostError(
        f"a Debian base needs {' and '.join(missing)} where there are no user namespaces",
        hint=f"apt-get install {' '.join(missing)}; or {_MADE}",
    )


def is_older(glibc: str, host: str | None = None) -> bool:
    """Whether a release's C library is older than this host's; `host` is what confstr(3) says of that."""
    here = (host or os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    return bool(here) and Version(glibc) < Version(here)
