"""A root file system without its builder: nothing of the machine that bootstrapped it stays in the tar.

Bootstrapping copies the host's name and resolver into the root for its scripts, and whether they are still
there afterwards depends on the mode. Container engines mount files of their own upon these, and some upon
`/etc/localtime`: each has to be there, or the mount fails or leaves one behind.
"""

from __future__ import annotations

import struct
import tarfile
from pathlib import Path
from typing import BinaryIO

from avabuild.common.tars import Tar
from avabuild.layer.blob import BLOCK, MTIME

# UTC as a file (RFC 8536): a header and one type in version 1's form, the same and "UTC0" in version 2's.
_TYPES = struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
_HEADER = struct.pack(">15x6L", 0, 0, 0, 0, 1, 4)
UTC = b"TZif2" + _HEADER + _TYPES + b"TZif2" + _HEADER + _TYPES + b"\nUTC0\n"
EMPTY = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_IDS = ("etc/machine-id", "var/lib/dbus/machine-id")
ZONE = "etc/localtime"
_ENDING = bytes(2 * tarfile.BLOCKSIZE)


def make_neutral(tarball: Path, out: Path) -> None:
    """Copy an uncompressed tar to `out`, every entry as it is but those that tell of a machine.

    EMPTY are empty files, ids that are there are empty, and `/etc/localtime` is what the packages made it,
    else UTC.
    """
    ids: list[str] = []
    with tarball.open("rb") as source, out.open("wb") as target, Tar.open(fileobj=source) as tar:
        members = tar.getmembers()
        ends = [member.offset for member in members[1:]] + [tar.offset]
        there = {member.name.removeprefix("./") for member in members}
        for member, end in zip(members, ends, strict=True):
            name = member.name.removeprefix("./")
            if name in _IDS and member.isreg():
                ids.append(name)
            elif name not in EMPTY:
                _copy(source, target, member.offset, end)
        prefix = "./" if any(member.name.startswith("./") for member in members) else ""
        for name in (*EMPTY, *ids):
            target.write(_entry(prefix + name, b""))
        if ZONE not in there:
            target.write(_entry(prefix + ZONE, UTC))
        target.write(_ENDING)


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    while start < end:
        data = source.read(min(BLOCK, end - start))
        if not data:
            raise tarfile.ReadError("the tar ends within an entry")
        target.write(data)
        start += len(data)


def _entry(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), MTIME, 0o644
    info.uname = info.gname = "root"
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
