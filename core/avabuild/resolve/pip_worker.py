"""Resolves for a classic Python (2.7, 3.5): run by that very interpreter with pip 20.3.4 on its path.

Reads a request from the JSON file argv[1]: `argv` and `options` of pip, the requirement `lines`, which of
them each framework has `asked` for, the pins that stand `alone` with who asks for each, `preferences`
(name -> version), the directory `out`, and where to write the `answer`: {"packages": [...], "alone": [...]}
as `package` has them, or {"error": "conflict", "unavailable" or "failed", "words": text}. Files whose
metadata was not to be had without them (sdists) are left in `out`; wheels of an index are not downloaded.

pip has no option for any of this, but its version is pinned by hash, so its internals are as good as an
interface. What is changed of them: metadata of wheels is asked for alone (PEP 658, else by ranges of bytes)
and kept beside pip's cache; nothing more is fetched after the resolution; versions of an older lock are tried
first; and a conflict leads back to what it comes from.
"""

import functools
import json
import logging
import os
import sys


def memoised(maxsize=None):
    """Make a decorator like `functools.lru_cache`: without one, pip reads index pages again and again."""

    def decorate(function):
        results = {}

        @functools.wraps(function)
        def remembering(*args, **kwargs):
            key = args, tuple(sorted(kwargs.items()))
            if key not in results:
                results[key] = function(*args, **kwargs)
            return results[key]

        return remembering

    return decorate


if not hasattr(functools, "lru_cache"):  # Python 2.7; pip looks for it there
    functools.lru_cache = memoised

try:
    from html.parser import HTMLParser
except ImportError:
    from HTMLParser import HTMLParser

from pip._internal.commands import create_command
from pip._internal.index import collector, package_finder
from pip._internal.network.utils import HEADERS
from pip._internal.operations.prepare import RequirementPreparer
from pip._internal.resolution.resolvelib import resolver as resolution
from pip._internal.utils.pkg_resources import DictMetadata
from pip._internal.vcs import vcs
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.pkg_resources import DistInfoDistribution, Requirement
from pip._vendor.requests.exceptions import RequestException
from pip._vendor.resolvelib.resolvers import Resolution


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
unreachable = []
finders = []
separate = set()  # addresses of the wheels whose metadata an index serves apart from them
found = []


def note_failure(link, reason, meth=None):
    """Take note of an index page that could not be had, unless the index just does not know the project."""
    status = getattr(getattr(reason, "response", None), "status_code", None)
    if status != 404:
        unreachable.append("{}: {}".format(link.url_without_fragment, reason))


def metadata_alone(self, link):
    """Return the distribution of a remote wheel by its metadata, None where the file itself is needed."""
    if link.is_file or not link.is_wheel or link.hash_name != "sha256":
        return None
    directory = os.path.join(os.environ["PIP_CACHE_DIR"], "metadata")
    kept = os.path.join(directory, link.hash)
    if os.path.exists(kept):
        with open(kept, "rb") as stream:
            return _distribution(link, stream.read())
    if link.url_without_fragment in separate:
        response = self._session.get(link.url_without_fragment + ".metadata", headers=HEADERS)
        text = response.content if response.status_code == 200 else None
    else:
        self.use_lazy_wheel = True
        found_by_ranges = by_ranges(self, link)
        text = found_by_ranges and found_by_ranges._provider._metadata["METADATA"]
    if not text:
        return None
    if not os.path.isdir(directory):
        os.makedirs(directory)
    with open(kept + ".part", "wb") as stream:
        stream.write(text)
    os.rename(kept + ".part", kept)
    return _distribution(link, text)


def _distribution(link, text):
    name, version = link.filename.split("-")[:2]
    return DistInfoDistribution(
        location=link.filename,
        metadata=DictMetadata({"METADATA": text}),
        project_name=canonicalize_name(name),
        version=version.replace("_", "-"),
    )


class Anchors(HTMLParser):
    """Reads the anchors of an index page, several times faster than pip's own parser does on Python 2.7."""

    def __init__(self):
        HTMLParser.__init__(self)
        self.found = []
        self.base = None

    def handle_starttag(self, tag, attrs):
        """Keep the attributes of anchors, and what they are relative to."""
        if tag == "a":
            self.found.append({name: value or "" for name, value in attrs})
        elif tag == "base" and self.base is None:
            self.base = dict(attrs).get("href")


def links_of(page):
    """Return the links of an index page, taking note of those that have their metadata apart."""
    anchors = Anchors()
    anchors.feed(page.content.decode(page.encoding or "utf-8"))
    links = []
    for anchor in anchors.found:
        link = collector._create_link_from_element(anchor, page.url, anchors.base or page.url)
        if link is not None:
            links.append(link)
            if anchor.get("data-core-metadata") or anchor.get("data-dist-info-metadata"):
                separate.add(link.url_without_fragment)
    return links


def preferred_last(self, project_name, specifier=None, hashes=None):
    """Find candidates, worst first as pip has them, with the preferred version as the best one."""
    result = find(self, project_name, specifier=specifier, hashes=hashes)
    wanted = preferences.get(canonicalize_name(project_name))
    result._applicable_candidates.sort(key=lambda candidate: str(candidate.version) == wanted)
    return result


def pin_and_keep(self, name, criterion):
    """Try to pin a project, and keep why that failed."""
    self.failed = pin(self, name, criterion)
    return self.failed


def backjump(self):
    """Go back to the last pin that has to do with the failure, as resolvelib does since 1.0.

    The version in pip 20.3.4 tries all versions of everything pinned in between: that may take for ever.
    """
    infos = [info for criterion in self.failed for info in criterion.information]
    concerned = {self._p.identify(info.requirement) for info in infos}
    concerned |= {self._p.identify(info.parent) for info in infos if info.parent is not None}
    while len(self._states) >= 3:
        del self._states[-1]
        broken = self._states.pop()
        name, candidate = broken.mapping.popitem()
        needed = {self._p.identify(requirement) for requirement in self._p.get_dependencies(candidate)}
        if concerned.isdisjoint(needed):
            self._states.append(None)  # as if it had been tried: the next round drops it
            continue
        excluded = [(key, known.incompatibilities) for key, known in broken.criteria.items()]
        excluded.append((name, [candidate]))
        self._push_new_state()
        if all(_exclude(self.state.criteria, key, bad) for key, bad in excluded if bad):
            return True
    return False


def _exclude(criteria, name, candidates):
    """Take `candidates` from what there is of a project; return whether any is left."""
    if name in criteria:
        left = criteria[name].excluded_of(candidates)
        if left is None:
            return False
        criteria[name] = left
    return True


def resolve_and_keep(self, root_reqs, check_supported_wheels):
    """Resolve, and keep the candidates while the sources are still unpacked."""
    finders.append(self.factory._finder)
    try:
        chosen = resolve(self, root_reqs, check_supported_wheels)
    finally:
        if self._result is not None:
            found.extend(c for c in self._result.mapping.values() if c.get_install_requirement() is not None)
    for candidate in found:
        candidate.commit = _commit(candidate)
    return chosen


def _commit(candidate):
    ireq = candidate.get_install_requirement()
    if not candidate.source_link.is_vcs:
        return ""
    return vcs.get_backend_for_scheme(candidate.source_link.scheme).get_revision(ireq.source_dir)


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
    """Return why pip failed, in its own words."""
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
    preferences = asked["preferences"]
    find, resolve = package_finder.PackageFinder.find_best_candidate, resolution.Resolver.resolve
    by_ranges = RequirementPreparer._fetch_metadata_using_lazy_wheel
    collector._handle_get_page_fail = note_failure
    package_finder.parse_links = links_of
    package_finder.check_requires_python = memoised()(package_finder.check_requires_python)
    package_finder.PackageFinder.find_best_candidate = preferred_last
    resolution.Resolver.resolve = resolve_and_keep
    pin = Resolution._attempt_to_pin_criterion
    Resolution._attempt_to_pin_criterion = pin_and_keep
    Resolution._backtrack = backjump
    RequirementPreparer._fetch_metadata_using_lazy_wheel = metadata_alone
    RequirementPreparer.prepare_linked_requirements_more = lambda self, reqs, parallel_builds=False: None
    logging.getLogger("pip").addHandler(words)
    told = answer(asked)
    with open(asked["answer"], "w") as stream:
        json.dump(told, stream)
