"""What `pip_worker.py` changes of pip 20.3.4, beside which it lies: run by Python 2.7 and 3.5.

No code of a package runs, and no source is unpacked: the request tells what sources say of themselves, and
the first of which it tells nothing ends the run. Metadata of wheels is asked for alone (PEP 658, else by
ranges of bytes) and kept beside pip's cache; nothing more is fetched after the resolution; versions of an
older lock are tried first; and a conflict leads back to what it comes from.
"""

import functools
import hashlib
import os
import shutil


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

from pip._internal.exceptions import InstallationError, InstallationSubprocessError
from pip._internal.index import collector, package_finder
from pip._internal.network.utils import HEADERS
from pip._internal.operations import prepare
from pip._internal.operations.prepare import RequirementPreparer
from pip._internal.resolution.resolvelib import resolver as resolution
from pip._internal.utils.pkg_resources import DictMetadata
from pip._internal.vcs import vcs
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.pkg_resources import DistInfoDistribution
from pip._vendor.resolvelib.resolvers import Resolution

# What pip does itself, before any of it is changed.
find, resolve = package_finder.PackageFinder.find_best_candidate, resolution.Resolver.resolve
by_ranges = RequirementPreparer._fetch_metadata_using_lazy_wheel
pin = Resolution._attempt_to_pin_criterion
prepared, save = prepare._get_prepared_distribution, RequirementPreparer.save_linked_requirement

sources = {}  # what is told of sources, by what tells each from any other
unknown = []  # the source of which nothing is told
kept_in = []  # the directory for files of sources
preferences = {}
unreachable = []
finders = []
separate = set()  # addresses of the wheels whose metadata an index serves apart from them
found = []


def install(versions, told, out):
    """Change pip; `versions` (name -> version) are tried first.

    `told` is what sources say of themselves; the file of one of which nothing is told is left in `out`.
    """
    preferences.update(versions)
    kept_in.append(out)
    sources.update(told)
    prepare._get_prepared_distribution = without_code
    prepare.unpack_file = lambda path, location, content_type=None: None
    RequirementPreparer.save_linked_requirement = save_file
    collector._handle_get_page_fail = note_failure
    package_finder.parse_links = links_of
    package_finder.check_requires_python = memoised()(package_finder.check_requires_python)
    package_finder.PackageFinder.find_best_candidate = preferred_last
    resolution.Resolver.resolve = resolve_and_keep
    Resolution._attempt_to_pin_criterion = pin_and_keep
    Resolution._backtrack = backjump
    RequirementPreparer._fetch_metadata_using_lazy_wheel = metadata_alone
    RequirementPreparer.prepare_linked_requirements_more = lambda self, reqs, parallel_builds=False: None


def note_failure(link, reason, meth=None):
    """Take note of an index page that could not be had, unless the index just does not know the project."""
    status = getattr(getattr(reason, "response", None), "status_code", None)
    if status != 404:
        unreachable.append("{}: {}".format(link.url_without_fragment, reason))


class RefusedError(InstallationSubprocessError):
    """A source that can't be used; pip goes on with another version, as when its own setup.py fails."""

    def __init__(self, words):
        InstallationSubprocessError.__init__(self, 1, words)

    def __str__(self):
        """Return the words alone: no command failed."""
        return self.description


def without_code(req, req_tracker, finder, build_isolation):
    """Return the distribution of a wheel, or of a source as the request tells it."""
    if req.link.is_wheel and not req.editable:
        return prepared(req, req_tracker, finder, build_isolation)
    if req.link.is_vcs:
        commit, sha256 = _revision(req.link, req.source_dir), ""
        source = "{}#{}".format(commit, req.link.subdirectory_fragment or "")
    elif req.local_file_path and os.path.isfile(req.local_file_path):
        commit, sha256 = "", _sha256(req.local_file_path)
        source = sha256
    else:
        raise InstallationError("{} is a directory".format(req.link))
    known = sources.get(source)
    if known is None:
        if sha256 and not req.link.is_file:
            shutil.copy(req.local_file_path, os.path.join(kept_in[0], req.link.filename))
        unknown.append({"req": req, "commit": commit, "sha256": sha256, "source": source})
        raise InstallationError("nothing is known of {}".format(req.link))
    if "refused" in known:
        raise RefusedError(known["refused"])
    return DistInfoDistribution(
        location=req.link.filename,
        metadata=DictMetadata({"METADATA": known["metadata"].encode("utf-8")}),
        project_name=known["name"],
        version=known["version"],
    )


def save_file(self, req):
    """Keep a source that is a file; pip would make an archive of a repository by asking its setup.py."""
    if not req.link.is_vcs:
        save(self, req)


def _sha256(path):
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()


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
    if not candidate.source_link.is_vcs:
        return ""
    return _revision(candidate.source_link, candidate.get_install_requirement().source_dir)


def _revision(link, directory):
    return vcs.get_backend_for_scheme(link.scheme).get_revision(directory)
