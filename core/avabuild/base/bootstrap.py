"""How a Debian is bootstrapped here: a pure choice among the ways that mmdebstrap has of being root."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from avabuild.errors import HostError
from avabuild.host.means import Mode
from avabuild.value import Value

PROGRAMS = ("fakechroot", "fakeroot")


class Way(Value):
    """A way to bootstrap.

    Attributes:
        mode: mmdebstrap's.
        inside: whether it runs in the build's namespace, where one id is mapped: all files are root's then.
            Every other way keeps their owners, and comes to the same bytes.
    """

    mode: Literal["root", "unshare", "fakechroot"]
    inside: bool = False


def way_of(mode: Mode, programs: Collection[str]) -> Way:
    """Return the way for a user of `mode`; `programs` are those of PROGRAMS that are there.

    Raises:
        HostError: there is none; says what would make one.
    """
    if mode == "root":
        return Way(mode="root")
    if mode == "subuid":
        return Way(mode="unshare")
    missing = [name for name in PROGRAMS if name not in programs]
    if not missing:
        return Way(mode="fakechroot")
    if mode == "single":
        return Way(mode="root", inside=True)
    raise HostError(
        f"a Debian base needs {' and '.join(missing)} where there are no user namespaces",
        hint=f"apt-get install {' '.join(missing)}; or take a base that is made already: an image, "
        'base = { archive = "..." }, or that of a shared cache, AVABUILD_SHARED_CACHE=DIR',
    )
