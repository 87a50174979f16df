"""What changes while a build runs: the image is that of the bytes that were read, and the next run knows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..builds.tiny import write_tiny

pytestmark = pytest.mark.build

RECIPE = """\
name = "changes"
base = { recipe = "below.toml" }
plugins = ["./policy.py"]
[packages]
pip = []
[image]
labels = { first = "1" }
[[files]]
source = "file.txt"
target = "/srv/file"
[[files]]
source = "tree"
target = "/srv/tree"
[[files]]
source = "linked"
target = "/srv/linked"
"""
BELOW = 'name = "below"\nbase = { archive = "base.tar" }\n[image]\nenv = { A = "1" }\n'
# The policy is asked while the recipe is planned: it does then what the test has written down.
POLICY = """\
import json, subprocess
from pathlib import Path
from avabuild.api import Label, Policy, hookimpl

HERE = Path("@HERE@")
VALUE = "1"


def amend(draft):
    todo = HERE / "todo.sh"
    if todo.exists():
        subprocess.run(["/bin/sh", "-e", todo.rename(HERE / "done.sh")], cwd=HERE, check=True)
    return [Label(name="policy", value=VALUE)]


@hookimpl
def avabuild_policies():
    return [Policy(name="mine", summary="mine", amend=amend)]
"""
CHANGES = {
    "the recipe": 'sed -i \'s/first = "1"/first = "2"/\' recipe.toml',
    "a recipe below": 'sed -i \'s/A = "1"/A = "2"/\' below.toml',
    "a file": "echo two > file.txt",
    "a file in place of another": "echo two > new; mv new file.txt",
    "a file's mode": "chmod +x file.txt",
    "a file in a directory": "echo more >> tree/one",
    "a file more": "echo three > tree/sub/three",
    "a file fewer": "rm -f tree/sub/two",
    "a directory more": "mkdir -p tree/empty",
    "a link": "ln -sfn tree/sub linked",
    "what a link leads to": "echo new > away/new",
    "an archive": "cp other.tar base.tar",
    "an archive in place of another": "cp other.tar new.tar; mv new.tar base.tar",
    "a local plugin": 'sed -i \'s/VALUE = "1"/VALUE = "2"/\' policy.py',
    "the project's file": "echo 'plugins = [\"./second.py\"]' > avabuild.toml",
    "nothing but a time": "touch -d '2001-01-01' file.txt",
}


@dataclass(frozen=True)
class Project:
    """A recipe with every kind of input, in a directory that is made anew for each example."""

    place: Path

    def make(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        tree = self.place / "tree" / "sub"
        tree.mkdir(parents=True)
        (self.place / "away").mkdir()
        (self.place / "away" / "far").write_text("far\n")
        (self.place / "linked").symlink_to("away")
        (tree / "two").write_text("two\n")
        (tree.parent / "one").write_text("one\n")
        (tree.parent / "link").symlink_to("one")
        (self.place / "file.txt").write_text("one\n")
        (self.place / "recipe.toml").write_text(RECIPE)
        (self.place / "below.toml").write_text(BELOW)
        policy = POLICY.replace("@HERE@", str(self.place))
        (self.place / "policy.py").write_text(policy)
        (self.place / "second.py").write_text(
            policy.replace('"mine"', '"second"').replace('"policy"', '"second"')
        )
        write_tiny(self.place / "base.tar", ("true",))
        write_tiny(self.place / "other.tar", ("true", "cat"))

    def change(self, how: str) -> None:
        subprocess.run(["/bin/sh", "-ec", how], cwd=self.place, check=True)

    def run(self, cache: str, output: str) -> tuple[subprocess.CompletedProcess[str], str]:
        """Build; return how that ended and the digest of the image in the layout."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AVABUILD_")}
        env = {
            **own,
            "AVABUILD_CACHE": str(self.place / cache),
            "AVABUILD_MODE": "none",
            "HOME": str(self.place),
        }
        program = "from avabuild.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, "recipe", "recipe.toml", "--output", f"oci:{output}"],
            cwd=self.place, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        index = self.place / output / "index.json"
        digest = json.loads(index.read_bytes())["manifests"][-1]["digest"] if index.exists() else ""
        return done, digest


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from(["before", "during", "after"])),
        max_size=3,
    )
)
def test_a_warm_run_makes_what_an_empty_cache_makes_whatever_changed_and_when(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str]]
) -> None:
    project = Project(tmp_path_factory.mktemp("changes"))
    project.make()

    def do(when: str) -> str:
        return "\n".join(CHANGES[what] for what, then in changes if then == when)

    project.change(do("before"))
    (project.place / "todo.sh").write_text(do("during") or "true")
    first, _ = project.run("cache", "out")
    assert first.returncode in {0, 15}, first.stderr
    project.change(do("after"))
    warm, digest = project.run("cache", "out")
    assert warm.returncode == 0, warm.stderr
    cold, fresh = project.run("empty", "other")
    assert cold.returncode == 0, cold.stderr
    assert digest == fresh
    again, _ = project.run("cache", "out")
    assert "up to date" in again.stderr, "what holds still gets its stamp"


def test_a_directory_that_a_link_leads_to_is_in_the_layer_once(tmp_path: Path) -> None:
    project = Project(tmp_path / "linked")
    project.make()
    done, digest = project.run("cache", "out")
    assert done.returncode == 0, done.stderr
    blobs = project.place / "out" / "blobs" / "sha256"
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_bytes())
    listed = subprocess.run(
        ["tar", "-tvf", str(blobs / manifest["layers"][-1]["digest"].removeprefix("sha256:"))],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    names = [line.split()[5] for line in listed]
    assert len(names) == len(set(names)), names
    assert any(line.startswith("d") and line.endswith("srv/linked/") for line in listed)
    assert "srv/linked/far" in names
