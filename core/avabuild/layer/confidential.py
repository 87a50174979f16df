"""Confidential: what a step made for one machine alone, which every machine that runs the image would share.

Private keys are found by their content, ids and symmetric keys by their place; of a key that is left out the
public half goes, too, and links to either. Files that a Debian package itself holds, and files that are older
than the step (unpacked from somewhere), are nobody's secret. Standard library only: it runs in the namespace.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

# Where programs keep what is theirs on a machine. Keys below /usr and /opt come with programs: test data.
_PLACES = ("etc", "home", "root", "srv", "usr/local/etc", "var")
_LIBRARIES = frozenset({"site-packages", "dist-packages", "node_modules", "gems"})
_MOST = 1 << 20  # bytes: no key is bigger
_PRIVATE = re.compile(
    rb"^(-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
    rb"|PuTTY-User-Key-File-\d|AGE-SECRET-KEY-1|[ \t]*secret[ \t]+\"[A-Za-z0-9+/=]{16,}\"[ \t]*;)",
    re.MULTILINE,
)
_EMPTIED = ("etc/machine-id",)  # an empty one is made anew when a machine starts (machine-id(5))
_IDS = ("var/lib/dbus/machine-id", "etc/hostid", "etc/nvme/hostid", "etc/nvme/hostnqn",
        "etc/iscsi/initiatorname.iscsi", "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret",
        "var/lib/urandom/random-seed")  # fmt: skip
_KEYS = ("etc/munge/munge.key", "etc/bind/rndc.key", "etc/rndc.key", "etc/ssh/ssh_host_*_key",
         "etc/krb5.keytab", "var/lib/samba/private/*.tdb")  # fmt: skip
_PUBLIC = frozenset({".pub", ".pem", ".crt", ".cert", ".csr"})
# How they come back, by what a package has for it.
_REMEDIES = {
    "etc/ssh/ssh_host_*": "ssh-keygen -A",
    "etc/ssl/private/ssl-cert-snakeoil.key": "make-ssl-cert generate-default-snakeoil",
    "etc/munge/munge.key": "mungekey --create",
    "etc/bind/rndc.key": "rndc-confgen -a",
    "var/lib/dbus/machine-id": "dbus-uuidgen --ensure",
}


def confidential(
    merged: Path, began: float, keep: Sequence[str] = ()
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of what to leave out of the layer, and of what to have empty in it.

    `merged` is the container's root, `began` when its step started (seconds since the epoch); `keep` are
    patterns of absolute paths that somebody wants in the image.
    """
    files, links = _made(merged, began)
    keys = {name for name in files if _is_key(merged, name)}
    if keys:
        keys -= _packaged(merged)
    stems = {posixpath.splitext(posixpath.basename(name))[0] for name in keys}
    halves = {
        name
        for name in files
        if posixpath.splitext(name)[1] in _PUBLIC and posixpath.splitext(posixpath.basename(name))[0] in stems
    }
    gone = {name for name in keys | halves | {one for one in files if one in _IDS} if not _kept(name, keep)}
    gone |= {name for name, target in links.items() if target in gone and not _kept(name, keep)}
    emptied = {name for name in files if name in _EMPTIED and not _kept(name, keep)}
    return frozenset(gone), frozenset(emptied)


def words(gone: Sequence[str], emptied: Sequence[str]) -> str:
    """Return what to say of files that were left out or emptied, and how they come back."""
    made = [command for pattern, command in _REMEDIES.items() if fnmatch.filter(gone, pattern)]
    parts = []
    if gone:
        parts.append(f"left out of the layer: {', '.join(f'/{name}' for name in sorted(gone))}")
    if emptied:
        parts.append(f"emptied: {', '.join(f'/{name}' for name in sorted(emptied))}")
    told = f"; a container makes its own with {', '.join(made)}" if made else ""
    return f"keys and ids of one machine were {'; '.join(parts)}{told} (build.keep_secrets keeps them)"


def _made(merged: Path, began: float) -> tuple[frozenset[str], dict[str, str]]:
    """Return the regular files that the step made, and its links with the names that they lead to."""
    files: set[str] = set()
    links: dict[str, str] = {}
    for place in _PLACES:
        for name in _below(merged, place):
            with suppress(OSError):
                state = (merged / name).lstat()
                if state.st_mtime <= began:
                    continue
                if stat.S_ISREG(state.st_mode):
                    files.add(name)
                elif stat.S_ISLNK(state.st_mode):
                    target = str((merged / name).readlink())
                    links[name] = posixpath.normpath(posixpath.join("/", posixpath.dirname(name), target))[1:]
    return frozenset(files), links


def _below(merged: Path, place: str) -> Iterator[str]:
    """Yield the names of all but directories below a place, never through a link."""
    waiting = [place] if not _has_link(merged, place) else []
    while waiting:
        directory = waiting.pop()
        try:
            entries = list(os.scandir(merged / directory))
        except OSError:
            continue
        for entry in entries:
            name = f"{directory}/{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif entry.name not in _LIBRARIES:
                waiting.append(name)


def _has_link(merged: Path, place: str) -> bool:
    path = merged
    for part in place.split("/"):
        path /= part
        if path.is_symlink():
            return True
    return False


def _is_key(merged: Path, name: str) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _KEYS):
        return True
    with suppress(OSError):
        if (merged / name).lstat().st_size <= _MOST:
            return _PRIVATE.search((merged / name).read_bytes()) is not None
    return False


def _packaged(merged: Path) -> frozenset[str]:
    """Return the names of all files that Debian packages hold."""
    found: set[str] = set()
    with suppress(OSError):
        for entry in os.scandir(merged / "var/lib/dpkg/info"):
            if entry.name.endswith(".list") and entry.is_file(follow_symlinks=False):
                found |= {line[1:] for line in Path(entry.path).read_text(errors="replace").splitlines()}
    return frozenset(found)


def _kept(name: str, keep: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(f"/{name}", pattern) for pattern in keep)
