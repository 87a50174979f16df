"""Tree: the ELF files and links of all layers of an image together, and where its loader looks for names.

Source: ld.so(8) for the order of the search; Debian's ld.so for the directories that it knows by itself.
"""

from __future__ import annotations

import fnmatch
import functools
import posixpath
from collections.abc import Iterator, Sequence

from avabuild.layer.elf import Elf
from avabuild.layer.inventory import Inventory

_HOPS = 40  # links on one path, as Linux allows (path_resolution(7))
_TRIPLETS = {"EM_X86_64/64": "x86_64-linux-gnu", "EM_AARCH64/64": "aarch64-linux-gnu"}
_FIXED = ("lib64", "usr/lib64", "lib", "usr/lib")


class Tree:
    """The files of an image as far as linkage is concerned; names have no leading slash.

    Args:
        layers: inventories, lowest first.
        library_path: the image's LD_LIBRARY_PATH.
    """

    def __init__(self, layers: Sequence[Inventory], library_path: str = "") -> None:
        self.elves: dict[str, Elf] = {}
        self.origins: dict[str, int] = {}  # which layer a file is of
        self._links: dict[str, str] = {}
        self._search: dict[str, str] = {}
        for number, layer in enumerate(layers):
            self._put(layer, number)
        self.library_path = tuple(path.strip("/") for path in library_path.split(":") if path)
        self._real = functools.cache(self._followed)
        self.default = functools.cache(self._default)

    def _put(self, layer: Inventory, number: int) -> None:
        for gone in layer.gone:
            for held in (self.elves, self._links, self._search):
                below = gone if gone.endswith("/") else f"{gone}/"
                for name in [name for name in held if name == gone or name.startswith(below)]:
                    del held[name]
        for name, elf in layer.elves.items():
            self._links.pop(name, None)
            self.elves[name] = elf
            self.origins[name] = number
        for name, target in layer.links.items():
            self.elves.pop(name, None)
            self._links[name] = target
        self._search.update(layer.search)

    def _followed(self, name: str) -> str:
        """Return `name` with every link on the way followed; a circle ends where it began."""
        left, done, hops = name.split("/"), list[str](), 0
        while left:
            part = left.pop(0)
            if part in {"", "."}:
                continue
            if part == "..":
                done = done[:-1]
                continue
            target = self._links.get("/".join([*done, part]))
            if target is None or hops > _HOPS:
                done.append(part)
                continue
            hops += 1
            done = [] if target.startswith("/") else done
            left = [*target.split("/"), *left]
        return "/".join(done)

    def file(self, name: str) -> str | None:
        """Return the ELF file that `name` is, or is a link to; None for anything else."""
        directory, _, last = name.rpartition("/")
        real = posixpath.join(self._real(directory), last)
        if real not in self.elves:
            real = self._real(real)
        return real if real in self.elves else None

    def find(self, soname: str, wanted: Elf, directories: Sequence[str] = ()) -> str | None:
        """Return the file that a loader takes for `soname`, needed by `wanted`: `directories` come first.

        A file for another machine is passed by, as the loader does.
        """
        if "/" in soname:
            return self.file(soname)
        for directory in (*directories, *self.default(wanted.machine)):
            found = self.file(f"{directory}/{soname}")
            if found and self.elves[found].machine == wanted.machine:
                return found
        return None

    def search(self, name: str, inherited: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the directories that the file `name` adds for what it needs, in the loader's order.

        `inherited` are the RPATHs of those that load it.
        """
        elf, origin = self.elves[name], posixpath.dirname(name)
        runpath = tuple(_expanded(elf.runpath, origin))
        before = () if runpath else (*_expanded(elf.rpath, origin), *inherited)
        return (*before, *self.library_path, *runpath)

    def rpath(self, name: str) -> tuple[str, ...]:
        """Return the directories that what `name` loads may be found in too."""
        elf = self.elves[name]
        return () if elf.runpath else tuple(_expanded(elf.rpath, posixpath.dirname(name)))

    def _default(self, machine: str) -> tuple[str, ...]:
        """Return the directories of every program: those of ld.so.conf, and those that the loader knows."""
        triplet = _TRIPLETS.get(machine)
        known = (f"lib/{triplet}", f"usr/lib/{triplet}") if triplet else ()
        return tuple(dict.fromkeys((*self._configured("etc/ld.so.conf"), *known, *_FIXED)))

    def _configured(self, name: str) -> Iterator[str]:
        for line in self._search.get(name, "").splitlines():
            words = line.partition("#")[0].split()
            if words[:1] == ["include"]:
                for pattern in words[1:]:
                    whole = posixpath.normpath(posixpath.join(posixpath.dirname(name), pattern)).strip("/")
                    for other in sorted(self._search):
                        if other != name and fnmatch.fnmatchcase(other, whole):
                            yield from self._configured(other)
            elif words:
                yield words[0].strip("/")


def _expanded(path: str, origin: str) -> Iterator[str]:
    """Yield the directories of an RPATH, with the loader's own words in it replaced."""
    for entry in path.split(":"):
        if entry:
            text = entry.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", f"/{origin}")
            text = text.replace("${LIB}", "$LIB").replace("$LIB", "lib")
            yield posixpath.normpath(text).strip("/")
