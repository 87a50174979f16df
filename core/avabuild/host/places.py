"""Places: the directories of this user's that may hold the cache, the settings and what builds keep.

Standard library only: a run with nothing to do asks for the cache before anything heavy is imported.
Source: XDG Base Directory Specification.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_OTHERS_WRITE = 0o022
_SUBUID = Path("/etc/subuid")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A directory that may hold what builds keep; `origin` says why it is one."""

    path: Path
    origin: str


def home(environ: Mapping[str, str]) -> Path:
    """Return the user's home: what `HOME` says, else what the system knows."""
    return Path(environ.get("HOME") or "~").expanduser()


def config_path(environ: Mapping[str, str]) -> Path:
    """Return where the user's settings are read from: `avabuild/config.toml` in the XDG config directory."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "config.toml"


def _xdg(environ: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """Return our directory below the one that a variable names, which counts only when it is absolute."""
    named = environ.get(variable, "")
    return (Path(named) if named.startswith("/") else home(environ) / otherwise) / "avabuild"


def candidates(environ: Mapping[str, str], uid: int) -> tuple[Candidate, ...]:
    """Return the directories to keep builds in when the user names none, best first."""
    found = [Candidate(_xdg(environ, "XDG_DATA_HOME", ".local/share"), "XDG_DATA_HOME")]
    mine = f"avabuild-{uid}"
    for variable in ("SLURM_TMPDIR", "LOCAL_SCRATCH"):
        found += [Candidate(Path(environ[variable]) / mine, variable)] if environ.get(variable) else []
    found += [Candidate(Path(top) / mine, top) for top in ("/var/tmp", "/tmp")]  # noqa: S108 - made 0700
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(Candidate(Path(environ["XDG_RUNTIME_DIR"]) / "avabuild", "XDG_RUNTIME_DIR"))
    found.append(Candidate(Path("/dev/shm") / mine, "/dev/shm"))  # noqa: S108 - likewise
    return tuple(one for one in found if one.path.is_absolute())


def trouble(path: Path, uid: int) -> str:
    """Say why `path` can't hold what is the user's alone; empty when it can, or could be made."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        above = existing(path)
        return "" if _writable(above) else f"{above} can't be written"
    except OSError as error:
        return f"can't be looked at: {(error.strerror or str(error)).lower()}"
    against = {
        "is a link, and whoever made it may change where it leads": stat.S_ISLNK(status.st_mode),
        "is no directory": not stat.S_ISDIR(status.st_mode),
        f"belongs to {name(status.st_uid)}": status.st_uid != uid,
        "others may write into it: chmod go-w": bool(status.st_mode & _OTHERS_WRITE),
        "can't be written": not os.access(path, os.W_OK | os.X_OK),
    }
    return next((why for why, so in against.items() if so), "")


def _writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


def existing(path: Path) -> Path:
    """Return `path`, or the nearest directory above it that exists."""
    for one in (path, *path.parents):
        with suppress(OSError):
            one.stat()
            return one
    return Path("/")


def prepare(path: Path, uid: int) -> str:
    """Make `path` for this user alone; say why that can't be, or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        return f"can't be made: {(error.strerror or str(error)).lower()}"
    return trouble(path, uid)


def has_range(uid: int) -> bool:
    """Whether /etc/subuid gives the user ids: where images are kept depends on it. Source: subuid(5)."""
    try:
        lines = _SUBUID.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return bool({name(uid), str(uid)} & {line.partition(":")[0] for line in lines})


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where the cache is: what the user names, the XDG cache directory, or where one may write.

    A home that can't be written has the cache in the first of the candidates that can.
    """
    chosen = environ.get("AVABUILD_CACHE") or setting(environ, "cache")
    if chosen:
        return Path(chosen).expanduser().absolute()
    own, uid = _xdg(environ, "XDG_CACHE_HOME", ".cache"), os.geteuid()
    if own.is_absolute() and _writable(existing(own)):
        return own
    root = environ.get("AVABUILD_ROOT") or setting(environ, "root")
    paths = [Path(root).expanduser().absolute()] if root else [one.path for one in candidates(environ, uid)]
    return next((path / "cache" for path in paths if not trouble(path, uid)), own)


def spare_cache(program: str, environ: Mapping[str, str]) -> Path | None:
    """Return where the cache of another program may be if its own can't be written: in ours."""
    own = _xdg(environ, "XDG_CACHE_HOME", ".cache").with_name(program)
    return None if _writable(existing(own)) else cache_directory(environ) / f"{program}-cache"


def config_text(environ: Mapping[str, str]) -> str:
    """Return what the user's settings say, or nothing."""
    with suppress(OSError, ValueError):
        return config_path(environ).read_text("utf-8")
    return ""


def setting(environ: Mapping[str, str], key: str) -> str | None:
    """Return a text of the settings, unchecked: who reads all of them says what is wrong."""
    text = config_text(environ)
    if key not in text:
        return None
    import tomllib  # noqa: PLC0415 - 4 ms that most users' runs can do without

    with suppress(ValueError):
        found = tomllib.loads(text).get(key)
        return found if isinstance(found, str) else None
    return None


def name(uid: int) -> str:
    """Return the user's name, or the number of one who has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
