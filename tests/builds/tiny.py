"""A root file system of a few megabytes, made of this host's own programs: a base in a moment, without a mirror."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = ("sh", "cat", "chown", "cp", "env", "id", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv",
            "rm", "sleep", "stat", "tar", "touch", "true", "hostname", "dd", "chmod", "readlink")  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nada:x:33:33::/home/ada:/bin/sh\n",
    "etc/group": "root:x:0:\nada:x:33:\n",
    "etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n",
}
DIRECTORIES = ("bin", "dev", "etc", "home/ada", "lib64", "proc", "root", "run", "sys", "tmp", "usr/bin")


def write_tiny(path: Path, programs: Iterable[str] = PROGRAMS) -> Path:
    """Write the tar of a root file system with `programs` and the libraries that they need."""
    found = [
        Path(subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip())
        for name in programs
    ]
    said = subprocess.run(["ldd", *map(str, found)], capture_output=True, text=True, check=False).stdout
    libraries = set(re.findall(r"(/\S+\.so\S*)", said))
    with tarfile.open(path, "w") as tar:
        for directory in DIRECTORIES:
            info = tarfile.TarInfo(directory)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(info)
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        for program in found:
            _add(tar, program, f"bin/{program.name}")
        for library in sorted(libraries):
            _add(tar, Path(library), library.lstrip("/"))
    return path


def _add(tar: tarfile.TarFile, source: Path, name: str) -> None:
    data = source.resolve().read_bytes()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    tar.addfile(info, io.BytesIO(data))
