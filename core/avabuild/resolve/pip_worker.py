"""Resolves for a classic Python (2.7, 3.5): run by that very interpreter with pip 20.3.4 on its path.

Reads a request from the JSON file argv[1]: `argv` and `options` of pip, the requirement `lines`, which of
them each framework has `asked` for, the pins that stand `alone` with who asks for each, `preferences`
(name -> version), what `sources` say of themselves, the directory `out`, and where to write the `answer`:
{"packages": [...], "alone": [...]} as `package` has them, {"unknown": what `package` has of a source of which
nothing is told, with its key `source`}, or {"error": "conflict", "unavailable" or "failed", "words": text}.
Files of sources are left in `out`; wheels of an index are not downloaded. No code of a package runs here.

pip has no option for any of this, but its version is pinned by hash, so its internals are as good as an
interface: `pip_changes.py` changes them.
"""

import json
import logging
import sys

# Beside this file, and before pip: Python 2.7 has no `functools.lru_cache` for it until then.
from pip_changes import canonicalize_name, finders, found, install, unknown, unreachable

# isort: split
from pip._internal.commands import create_command
from pip._vendor.pkg_resources import Requirement
from pip._vendor.requests.exceptions import RequestException


class Words(logging.Handler):
    """Keeps what pip says of its failures."""

    def __init__(self):
        logging.Handler.__init__(self)
        self.lines = []
        self.broken = False  # the network failed, rather than the resolution

    def emit(self, record):
        """Keep what explains a failure."""
        text = record.getMessage()
        if record.exc_info and isinstance(record.exc_info[1], RequestException):
            self.broken = True
            self.lines.append(str(record.exc_info[1]))
        elif record.exc_info and record.levelno >= logging.ERROR:
            self.lines.append("{}: {}".format(record.exc_info[0].__name__, record.exc_info[1]))
        elif record.levelno >= logging.ERROR or "conflict is caused by" in text or "Discarding" in text:
            kept = text.split("\n\nTo fix this")[0].strip()
            self.lines.extend([] if kept.startswith("ResolutionImpossible") else [kept])


words = Words()


def package(candidate, by):
    """Return what is to be known of a chosen candidate; `by` names those who need it."""
    link = candidate.source_link
    kind = "git" if link.is_vcs else "wheel" if link.is_wheel else "sdist"
    return {
        "name": candidate.project_name,
        "version": str(candidate.version),
        "kind": kind,
        "filename": link.filename,
        "url": link.url_without_fragment,
        "sha256": link.hash if link.hash_name == "sha256" else "",
        "direct": _is_direct(candidate),
        "commit": candidate.commit,
        "subdirectory": link.subdirectory_fragment or "",
        "by": by,
    }


def source(req, commit, sha256, source):
    """Return what is to be known of a source of which nothing is told."""
    link = req.link
    return {
        "name": canonicalize_name(req.name) if req.name else "",
        "version": "0",
        "kind": "git" if link.is_vcs else "sdist",
        "filename": link.filename,
        "url": link.url_without_fragment,
        "sha256": sha256,
        "direct": req.original_link is not None,
        "commit": commit,
        "subdirectory": link.subdirectory_fragment or "",
        "by": [],
        "source": source,
    }


def closure(candidates, lines):
    """Return the names of the candidates that the requirements `lines` need, directly or not."""
    known = {candidate.project_name: candidate for candidate in candidates}
    queue, seen = [], set()
    for line in lines:
        if "://" in line and "@" not in line.partition("://")[0]:  # a bare address, whose name pip found out
            queue.extend(Requirement.parse(name) for name, c in known.items() if _is_direct(c))
        else:
            queue.append(Requirement.parse(line))
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.project_name)
        asked = (name, requirement.extras)
        if asked in seen or name not in known:
            continue
        seen.add(asked)
        declared = known[name].dist.extras
        queue.extend(known[name].dist.requires([e for e in requirement.extras if e in declared]))
    return {name for name, _ in seen}


def _is_direct(candidate):
    return candidate.get_install_requirement().original_link is not None


def run(argv):
    """Let pip resolve; return the chosen candidates, None when it failed."""
    del found[:]
    status = create_command("download").main([_native(word) for word in argv])
    return list(found) if status == 0 else None


def _native(text):
    return text if str is not bytes else text.encode("utf-8")


def failure():
    """Return what pip wants to know of a source, or why it failed, in its own words."""
    if unknown:
        return {"unknown": source(**unknown[0])}
    if unreachable or words.broken:
        return {"error": "unavailable", "words": "\n".join(unreachable[:3] + words.lines[-2:])}
    for line in list(words.lines):
        if line.startswith("No matching distribution found for "):
            name = line.partition(" for ")[2].split(" (")[0]
            words.lines.append(_offer(Requirement.parse(name).project_name))
    conflict = any("conflict" in line or "No matching" in line for line in words.lines)
    return {"error": "conflict" if conflict else "failed", "words": "\n".join(words.lines)}


def _offer(name):
    """Say which versions of a project there are for this Python."""
    versions = sorted({c.version for c in finders[-1].find_all_candidates(name)})
    python = "{}.{}".format(*sys.version_info[:2])
    if not versions:
        return "no version of {} is for Python {}".format(name, python)
    shown = ", ".join(str(version) for version in versions[-6:])
    older = "..., " if len(versions) > 6 else ""
    return "of {}, Python {} can have {}{}".format(name, python, older, shown)


def answer(request):
    """Return the answer to `request`."""
    common = request["argv"] + ["--dest", request["out"]]
    together = run(common + request["options"] + request["lines"]) if request["lines"] else []
    if together is None:
        return failure()
    common.append("--no-deps")
    alone = run(common + sorted(request["alone"])) if request["alone"] else []
    if alone is None:
        return failure()
    needed = {origin: closure(together, lines) for origin, lines in request["asked"].items()}
    packages = [package(c, sorted(o for o in needed if c.project_name in needed[o])) for c in together]
    pins = request["alone"]
    who = {canonicalize_name(Requirement.parse(pin).project_name): pins[pin] for pin in pins}
    return {"packages": packages, "alone": [package(c, who[c.project_name]) for c in alone]}


if __name__ == "__main__":
    with open(sys.argv[1]) as stream:
        asked = json.load(stream)
    install(asked["preferences"], asked["sources"], asked["out"])
    logging.getLogger("pip").addHandler(words)
    told = answer(asked)
    with open(asked["answer"], "w") as stream:
        json.dump(told, stream)
