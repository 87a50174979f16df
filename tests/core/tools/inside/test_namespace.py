"""The build's namespace where buildah alone may open it: it is asked again where it did not start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.host.means import Means
from avabuild.tools.inside.namespace import Namespace

# buildah 1.28, which now and then fails to seal its copy of itself in memory, and does nothing then.
BUILDAH = """#!/bin/sh
echo asked >>asked
if [ "$(wc -l <asked)" -lt TIMES ]; then echo "Error: sealing memfd copy: busy" >&2; exit 1; fi
shift
exec unshare --user --map-root-user --mount "$@"
"""


@pytest.fixture
def namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Namespace:
    program = tmp_path / "buildah"
    program.write_text(BUILDAH.replace("TIMES", str(request.param)))
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    means = Means(mode="single", place=tmp_path, storage=None, entry="buildah")
    return Namespace(lambda: means, os.environ)


@pytest.mark.parametrize("namespace", [1, 3], indirect=True)
def test_it_is_opened_though_buildah_did_not_start_at_once(namespace: Namespace) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    namespace.open()
    namespace.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("namespace", [9], indirect=True)
def test_it_is_not_tried_for_ever(namespace: Namespace, tmp_path: Path) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(HostError, match="can't be opened: it ended"):
        namespace.open()
    assert len((tmp_path / "asked").read_text().splitlines()) == 3
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
