"""How a Debian is bootstrapped by this user: a pure choice; the bytes are the same whichever it is."""

from __future__ import annotations

from collections.abc import Set
from typing import Literal

from avabuild.errors import HostError
from avabuild.host.means import Mode

Way = Literal["root", "unshare", "fakechroot"]
NEEDED = ("fakechroot", "fakeroot")


def way_of(mode: Mode, programs: Set[str]) -> Way:
    """Return mmdebstrap's mode for a user of `mode`; `programs` are those of NEEDED that are there.

    Each keeps the owners of files, so that the base has one digest: `fakechroot` remembers them beside the
    files, and needs no user namespace at all.

    Raises:
        HostError: none works; says what would.
    """
    if mode == "root":
        return "root"
    if mode == "subuid":
        return "unshare"
    missing = [name for name in NEEDED if name not in programs]
    if not missing:
        return "fakechroot"
    raise HostError(
        f"a Debian base needs {' and '.join(missing)} here: this user has no range of subordinate user ids",
        hint=f"apt-get install {' '.join(missing)}; or ask for a range: usermod --add-subuids 100000-165535 "
        "--add-subgids 100000-165535 USER, and the package uidmap; or take a base that is made already: an "
        'image or base = { archive = "..." } with --output oci:DIR, or that of a shared store, '
        "AVABUILD_SHARED_CACHE",
    )
