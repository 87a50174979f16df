"""Judging an image's linkage: which needed sonames are missing, whose they are, and how bad that is. Pure."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from avabuild.engine.check.loader import Tree
from avabuild.engine.check.nvidia import advice, is_cuda, is_driver, plain
from avabuild.layer.inventory import Distribution

# A Python extension module, of any Python: what `import` loads, where a lib*.so waits to be asked for.
_MODULE = re.compile(r"(?!lib)[^/]*?(\.(cpython|abi3|pypy)[\w-]*)?\.so")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """Libraries that one file needs and no loader finds.

    Attributes:
        owner: distribution and version (`mxnet-cu90 1.5.1`), or empty for files that are of none.
        file: the file, absolute.
        missing: the sonames.
        fatal: whether what needs them can't work; else a part of it that may never be asked for.
    """

    owner: str
    file: str
    missing: tuple[str, ...]
    fatal: bool

    def __str__(self) -> str:
        what = posixpath.basename(self.file) if self.owner else self.file
        names = ", ".join(self.missing[:_SHOWN])
        more = len(self.missing) - _SHOWN
        names += f" and {more} more" if more > 0 else ""
        are = "which is not in the image" if len(self.missing) == 1 else "which are not in the image"
        return f"{self.owner + ': ' if self.owner else ''}{what} needs {names}, {are}"

    @property
    def hint(self) -> str:
        """What to do about it."""
        cuda = tuple(name for name in self.missing if is_cuda(name))
        if cuda:
            return advice(cuda)
        return package_hint(self.missing[:_SHOWN], {})


def package_hint(sonames: Sequence[str], packages: Mapping[str, str]) -> str:
    """Return what to do about missing libraries; `packages` are those that have them, where that is known."""
    if not packages:
        guessed = " ".join(dict.fromkeys(map(package_guess, sonames)))
        return f"add the packages that have them to [packages] apt; they may be called {guessed}"
    named = " ".join(dict.fromkeys(packages[name] for name in sonames if name in packages))
    lost = ", ".join(name for name in sonames if name not in packages)
    return f"add to [packages] apt: {named}" + (
        f"; no package of the distribution has {lost}" if lost else ""
    )


def package_guess(soname: str) -> str:
    """Return how Debian would name the package of `soname` (Policy 8.1): `libgomp1`, `libpython3.11`."""
    stem, _, version = soname.partition(".so")
    version = version.lstrip(".").removesuffix(".0") if stem[-1:].isdigit() else version.lstrip(".")
    joint = "-" if stem[-1:].isdigit() and version[:1].isdigit() else ""
    return f"{stem}{joint}{version}".lower().replace("_", "-")


class _Judge:
    def __init__(
        self, tree: Tree, owned: Sequence[Distribution], judged: Mapping[int, bool], *, cuda: bool
    ) -> None:
        self.tree = tree
        self.cuda = cuda
        self.judged = judged
        self.by_name = {one.name: one for one in owned}
        self.owner = {file: one for one in owned for file in one.files}
        self.names = [name for name in tree.elves if tree.origins[name] in judged]
        self.inherited: dict[str, tuple[str, ...]] = {}
        self.users: defaultdict[str, set[str]] = defaultdict(set)
        self.uses: defaultdict[str, set[str]] = defaultdict(set)
        self.missing: dict[str, tuple[str, ...]] = {}
        self._provided: dict[str, Mapping[str, str]] = {}

    def run(self) -> tuple[Finding, ...]:
        machines = [self.tree.elves[name].machine for name in self.names]
        main = max(set(machines), key=machines.count, default="")
        waiting = [name for name in self.names if self.tree.elves[name].machine == main]
        while waiting:
            waiting = self._resolve(waiting)
        return tuple(
            Finding(self._words(name), f"/{name}", missing, fatal)
            for name, missing, fatal in map(self._judged, sorted(self.missing))
            if missing
        )

    def _resolve(self, names: Sequence[str]) -> list[str]:
        """Resolve what `names` need; return those whose search a loader of theirs has widened since."""
        widened = []
        for name in names:
            elf, lacking = self.tree.elves[name], []
            directories = self.tree.search(name, self.inherited.get(name, ()))
            passed_on = (*self.tree.rpath(name), *self.inherited.get(name, ())) if not elf.runpath else ()
            for soname in elf.needed:
                found = self.tree.find(soname, elf, directories) or self._loaded_before(name, soname)
                if found is None:
                    lacking.append(soname)
                    continue
                self.users[found].add(name)
                self.uses[name].add(found)
                before = self.inherited.get(found, ())
                if fresh := tuple(d for d in passed_on if d not in before):
                    self.inherited[found] = (*before, *fresh)
                    widened.append(found)
            self.missing[name] = tuple(s for s in lacking if not is_driver(s))
        return list(dict.fromkeys(widened))

    def _loaded_before(self, name: str, soname: str) -> str | None:
        """Return a file of the same distribution, or of one that it stands on or that stands on it.

        A loader takes what the process has loaded already, wherever it came from, and packages rely on it:
        they load their own libraries, and those of packages that they import, before they need them.
        """
        one = self.owner.get(name)
        if one is None:
            return None
        if one.name not in self._provided:
            related = self._related(one.name)
            files = [file for other in related for file in self.by_name[other].files]
            self._provided[one.name] = {
                label: file
                for file in reversed(files)
                if file in self.tree.elves
                for label in (self.tree.elves[file].soname, posixpath.basename(file))
                if label
            }
        return self._provided[one.name].get(soname)

    def _related(self, name: str) -> tuple[str, ...]:
        required_by: defaultdict[str, set[str]] = defaultdict(set)
        for one in self.by_name.values():
            for other in one.requires:
                required_by[other].add(one.name)
        below = self._reachable(name, lambda other: self.by_name[other].requires)
        above = self._reachable(name, lambda other: required_by[other])
        return tuple(dict.fromkeys([name, *below, *above]))

    def _reachable(self, name: str, step: Callable[[str], Iterable[str]]) -> list[str]:
        found, waiting = list[str](), [name]
        while waiting:
            for other in step(waiting.pop()):
                if other in self.by_name and other not in found and other != name:
                    found.append(other)
                    waiting.append(other)
        return sorted(found)

    def _judged(self, name: str) -> tuple[str, tuple[str, ...], bool]:
        """Return the file with what is worth telling of it, and whether it is fatal."""
        missing = self.missing[name]
        if _is_program_of_a_package(name):  # which no import loads
            return name, (), False
        cuda = tuple(soname for soname in missing if is_cuda(soname))
        if not missing or (name in self.owner and self._is_called_for(name)):
            return name, missing, bool(missing)
        if name in self.owner:
            return name, cuda, self.cuda and bool(cuda)
        return name, missing, self.judged[self.tree.origins[name]] or (self.cuda and bool(cuda))

    def _is_called_for(self, name: str) -> bool:
        """Whether a file is sure to be loaded: a module, what modules load, or all that its owner is for.

        Libraries have parts for hardware and programs that few machines have, loaded where these are: a part
        is what nothing needs, beside a library of the same owner that works.
        """
        if any(_MODULE.fullmatch(posixpath.basename(one)) for one in self._above(name)):
            return True
        owner = self.owner[name]
        return not any(
            self._is_sound(file) and (self._is_main(file) or _is_part(name, file))
            for file in owner.files
            if file in self.missing
        )

    def _is_main(self, name: str) -> bool:
        """Whether a library is not there for others of its owner alone."""
        owner, users = self.owner[name], self.users[name]
        return not users or any(self.owner.get(user) is not owner for user in users)

    def _above(self, name: str) -> set[str]:
        found, waiting = {name}, [name]
        while waiting:
            fresh = self.users[waiting.pop()] - found
            found |= fresh
            waiting += fresh
        return found

    def _is_sound(self, name: str) -> bool:
        seen, waiting = {name}, [name]
        while waiting:
            current = waiting.pop()
            if self.missing.get(current):
                return False
            fresh = self.uses[current] - seen
            seen |= fresh
            waiting += fresh
        return True

    def _words(self, name: str) -> str:
        one = self.owner.get(name)
        return f"{one.name} {one.version}" if one else ""


def _is_program_of_a_package(name: str) -> bool:
    """Whether a file is a program that a Python package keeps among its modules: tests, helpers."""
    return ("/site-packages/" in name or "/dist-packages/" in name) and ".so" not in posixpath.basename(name)


def _is_part(name: str, main: str) -> bool:
    """Whether a library is named as a part of another: `libcufile_rdma.so.1` of `libcufile.so.0`."""
    part, whole = (posixpath.basename(one).partition(".so")[0] for one in (name, main))
    return part.startswith((f"{whole}_", f"{whole}-"))


def judge(
    tree: Tree, owned: Sequence[Distribution], judged: Mapping[int, bool], *, cuda: bool
) -> tuple[Finding, ...]:
    """Return what is missing in an image, by file.

    Args:
        tree: the image.
        owned: its Python distributions.
        judged: the layers whose files are looked at (what dpkg installed it answers for), each with whether
            all of it is meant to work, and not only what Python distributions need.
        cuda: whether the image is for CUDA: then a part that lacks CUDA is called for too.
    """
    return _Judge(tree, owned, judged, cuda=cuda).run()


def wasted(tree: Tree, base: int) -> tuple[int, tuple[str, ...]]:
    """Return the bytes and names of CUDA's libraries that the lowest `base` layers and others both have."""
    below: dict[str, int] = {}
    above: set[str] = set()
    for name, elf in tree.elves.items():
        soname = plain(elf.soname or posixpath.basename(name))
        if not is_cuda(soname):
            continue
        if tree.origins[name] < base:
            below[soname] = elf.size
        else:
            above.add(soname)
    both = tuple(sorted(set(below) & above))
    return sum(below[soname] for soname in both), both
