"""ClassicResolver: the answers of pip 20.3.4, run by the target's own Python in a container, as packages."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from os.path import relpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from avabuild.common.errors import AvabuildError, ResolveError, StepError, UnavailableError, WheelError
from avabuild.resolve.about import UNNAMED, About, metadata
from avabuild.resolve.fetch import file_path
from avabuild.resolve.indexes import Indexes, redact
from avabuild.resolve.lock import Package
from avabuild.resolve.needed_by import UNKNOWN, Origins, asking, by_origin
from avabuild.resolve.pylock import Resolved
from avabuild.resolve.requirements import file_name, requirement_line
from avabuild.resolve.resolver import kept_versions, together
from avabuild.resolve.uv import Command, Runner, default_index
from avabuild.store.whole import make_directory, open_up, publish

_WORKER = ("pip_worker.py", "pip_changes.py")  # programs for the interpreter in the container

# The last versions that run on Python 2.7 and 3.5.
TOOLS = (
    Package(
        name="pip",
        version="20.3.4",
        filename="pip-20.3.4-py2.py3-none-any.whl",
        sha256="217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d",
        size=1522101,
    ),
    Package(
        name="setuptools",
        version="44.1.1",
        filename="setuptools-44.1.1-py2.py3-none-any.whl",
        sha256="27a714c09253134e60a6fa68130f78c7037e5562c4f21f8f318f2ae900d152d5",
        size=583493,
    ),
    Package(
        name="wheel",
        version="0.37.1",
        filename="wheel-0.37.1-py2.py3-none-any.whl",
        sha256="4bdcd7d840138086126cd09254dc6195fb4fc6f01c050a1d7236f2630db1d22a",
        size=35301,
    ),
)


def unpack_tools(wheels: Iterable[Path], directory: Path) -> None:
    """Unpack `wheels` into `directory` at once: a path from which Python imports them as they are."""
    if directory.is_dir():
        return
    partial = directory.with_name(f".{directory.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial)
    partial.replace(directory)


@dataclass(frozen=True, slots=True)
class ClassicResolver:
    """Asks pip, one target at a time; needs a container with the target's Python, which `run` gives it.

    Attributes:
        indexes: what to ask.
        recipe_dir: what the recipe's own files are relative to.
        workdir: an existing directory for inputs and outputs, of this resolver alone.
        files: the directory of fetched files, which gets those that pip had to download.
        run: how pip is run.
        interpreter: the Python that runs pip, as `run` sees it.
        learn: finds out what an sdist or a commit says of itself, where foreign code may run; pip runs none.
        known: what was found out so, as pip is told it.
    """

    indexes: Indexes
    recipe_dir: Path
    workdir: Path
    files: Path
    run: Runner | None = None
    interpreter: Path = Path("python")
    learn: Callable[[Resolved], About] | None = None
    known: dict[str, dict[str, str]] = field(default_factory=dict)

    def resolve(
        self,
        requirements: Sequence[str],
        extras: Sequence[str] = (),
        *,
        alone: Sequence[str] = (),
        origins: Origins = UNKNOWN,
        preferences: Sequence[Package] = (),
        preferred: Sequence[str] = (),
        upgrade: frozenset[str] = frozenset(),
        constraints: Sequence[str] = (),
        build: bool = False,  # noqa: ARG002 - foreign code may run wherever `learn` is
    ) -> tuple[Resolved, ...]:
        """Resolve the frameworks' `requirements` and the recipe's own `extras` together, as `Resolver` does.

        Raises:
            ResolveError: the requirements contradict each other, or name what has no version for this Python.
            UnavailableError: an index did not answer.
        """
        lines = {text: requirement_line(text, self.recipe_dir) for text in (*requirements, *extras)}
        kept = kept_versions(preferences, preferred, upgrade)
        limits = self._path("constraints.txt")
        limits.write_text("".join(f"{text}\n" for text in constraints), encoding="utf-8")
        self._path("out").mkdir(exist_ok=True)
        told = self._ask(
            {
                "argv": [
                    *("--progress-bar", "off", "--use-feature", "2020-resolver"),
                    *("--prefer-binary", *(["--no-index"] if self.indexes.no_index else [])),
                ],
                "options": ["--constraint", str(limits)],
                "lines": list(lines.values()),
                "asked": by_origin(requirements, origins, lines),
                "alone": {pin: asking(origins, pin) for pin in alone},
                "preferences": {p.name: p.version for p in kept if p.kind in {"wheel", "sdist"}},
                "out": str(self._path("out")),
                "answer": str(self._path("answer.json")),
            }
        )
        from avabuild.resolve.simple_index import Pages  # noqa: PLC0415 - brings httpx, which most builds don't need

        with Pages(self.indexes) as pages:
            everything = [*told["packages"], *told["alone"]]
            sizes = pages.sizes([one["url"] for one in everything if not self._local(one)])
        resolved, pinned = (
            [self._resolved(one, sizes) for one in told[key]] for key in ("packages", "alone")
        )
        return together(resolved, pinned)

    def locate(self, packages: Sequence[Package]) -> dict[str, str]:
        """Return the URL of every file among `packages`, by sha256, from the pages of their projects.

        Raises WheelError when no index has a file of that hash, UnavailableError when one does not answer.
        """
        own = {p.sha256: (self.recipe_dir / p.path).resolve().as_uri() for p in packages if p.kind == "file"}
        direct = {p.sha256: p.url for p in packages if p.kind in {"wheel", "sdist"} and p.url}
        indexed = [p for p in packages if p.kind in {"wheel", "sdist"} and not p.url]
        from avabuild.resolve.simple_index import Pages  # noqa: PLC0415 - brings httpx, which most builds don't need

        with Pages(settled(self.indexes)) as pages:
            found = pages.locate(indexed)
        if missing := [p for p in indexed if p.sha256 not in found]:
            raise WheelError(
                "no configured index has " + ", ".join(f"{p.filename} (sha256 {p.sha256})" for p in missing),
                hint=f"resolve again: --upgrade {missing[0].name}",
            )
        return {**found, **own, **direct}

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have pip answer `request`; it is asked again whenever it wanted to know of a source."""
        while True:
            told = self._ask_pip({**request, "sources": self.known})
            wanted = told.get("unknown")
            if wanted is None:
                return told
            source = str(wanted.pop("source"))
            if self.learn is None or source in self.known:
                raise ResolveError(f"nothing is known of {wanted['filename'] or redact(str(wanted['url']))}")
            self.known[source] = self._learned(self.learn, self._source(wanted))

    def _learned(self, learn: Callable[[Resolved], About], found: Resolved) -> dict[str, str]:
        """Return what `found` says of itself, or why nobody can use it: pip may find another version then."""
        try:
            about = learn(found)
        except (ResolveError, WheelError) as error:
            return {"refused": error.message}
        except StepError as error:
            if not (error.place or "").startswith("build "):
                raise
            return {"refused": f"{error.message}:\n{_indented(error.tail.strip())}"}
        return {"name": about.name, "version": about.version, "metadata": metadata(about)}

    def _source(self, wanted: dict[str, Any]) -> Resolved:
        """Return the file or the commit that pip wants to know of."""
        with suppress(ResolveError):
            wanted["version"] = file_name(Path(str(wanted["filename"])))[1]
        wanted["name"] = wanted["name"] or UNNAMED
        return self._resolved(wanted, {})

    def _ask_pip(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the worker with `request` and return its answer; raise what an error in it stands for."""
        assert self.run, "a classic resolver is asked in a container"  # noqa: S101
        for name in _WORKER:
            text = resources.files("avabuild.resolve").joinpath(name).read_text("utf-8")
            self._path(name).write_text(text, encoding="utf-8")
        asked = self._path("request.json")
        asked.write_text(json.dumps(request), encoding="utf-8")
        Path(request["answer"]).unlink(missing_ok=True)
        argv = (str(self.interpreter), "-s", str(self._path(_WORKER[0])), str(asked))
        environment = tuple(sorted(settled(self.indexes).pip_environment().items()))
        reads = (self.recipe_dir.resolve(), *self.indexes.local_paths())
        outcome = self.run(Command(argv, environment, self.workdir.resolve(), reads))
        answer = Path(request["answer"])
        if outcome.status != 0 or not answer.exists():
            tail = redact(outcome.stderr).strip()
            raise ResolveError(f"pip ended without an answer:\n{_indented(tail) or '  it said nothing'}")
        told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in told:
            raise _failure(str(told["error"]), redact(str(told["words"])))
        return told

    def _local(self, one: Mapping[str, Any]) -> bool:
        return one["kind"] == "git" or str(one["url"]).startswith("file:") or self._saved(one).exists()

    def _saved(self, one: Mapping[str, Any]) -> Path:
        return self._path("out") / Path(str(one["filename"])).name

    def _resolved(self, one: Mapping[str, Any], sizes: Mapping[str, int]) -> Resolved:
        fields: dict[str, Any] = {key: one[key] for key in ("name", "version", "kind")}
        fields["by"] = tuple(one["by"])
        url = str(one["url"])
        if one["kind"] == "git":
            address = redact(url).removeprefix("git+").replace("***@", "").rpartition("@")
            fields |= {"url": address[0] or address[2], "commit": one["commit"]}
            return Resolved(Package(**fields, subdirectory=one["subdirectory"]), "")
        fields["filename"] = str(one["filename"])
        parts = urlsplit(url)
        if parts.scheme == "file":
            path = Path(unquote(parts.path))
            fields |= _described(path)
            if one["direct"]:
                path_ = relpath(path.resolve(), self.recipe_dir.resolve())
                return Resolved(Package(**{**fields, "kind": "file"}, path=path_), path.as_uri())
            return Resolved(Package(**fields), path.as_uri())
        if (saved := self._saved(one)).exists():
            fields |= _described(saved)
            if one["sha256"] and one["sha256"] != fields["sha256"]:
                raise WheelError(f"{saved.name} differs from the hash that the index gives")
        else:
            fields |= {"sha256": one["sha256"], "size": sizes.get(url, 0)}
        package = Package(**fields, url=redact(url).replace("***@", "") if one["direct"] else "")
        if saved.exists():
            _adopt(saved, file_path(self.files, package))
        return Resolved(package, url)

    def _path(self, name: str) -> Path:
        return self.workdir.resolve() / name


def settled(indexes: Indexes) -> Indexes:
    """Return `indexes` with the main one named, also where that is uv's own default."""
    if indexes.index or indexes.no_index:
        return indexes
    return replace(indexes, index=default_index())


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _adopt(file: Path, target: Path) -> None:
    """Move a file that pip downloaded to where files of its hash are."""
    if not target.exists():
        make_directory(target.parent)
        partial = target.with_name(f".{file.name}.{id(file)}")
        shutil.move(file, partial)
        open_up(partial, target.parent)
        publish(partial, target)


def _failure(kind: str, words: str) -> AvabuildError:
    if kind == "unavailable":
        hint = "try again later, or check the index settings (UV_*, PIP_* or pip.conf), proxies, certificates"
        return UnavailableError(f"an index did not answer:\n{_indented(words)}", hint=hint)
    return ResolveError(f"the requirements can't be resolved:\n{_indented(words) or '  pip gave no reason'}")


def _indented(words: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in words.splitlines())
