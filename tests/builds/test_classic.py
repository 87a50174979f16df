"""Python 2.7 on Debian bullseye, really built: one base and one image for all that is to be seen of it."""

from __future__ import annotations

import io
import json
import os
import tarfile
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .user import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from .origins import Index

pytestmark = [pytest.mark.build, pytest.mark.one_builder, pytest.mark.network]

RECIPE = """
    name = "ava-classic-test"
    base = { debian = "bullseye" }
    [matrix]
    python = ["2.7"]
    [frameworks]
    classic = "*"
    [packages]
    apt = ["libgomp1"]
    pip = ["mxnet==1.6.0", "requests"]
"""

# A plugin of the test's own: JupyterLab's last release for Python 2, and a package whose pins can't be met.
PLUGIN = '''
from avabuild.api import Framework, Python, Release, hookimpl

CHECK = """
import subprocess, sys, time, urllib2
import ava
command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=18927"]
server = subprocess.Popen(command + ["--NotebookApp.token=", "--NotebookApp.port_retries=0"])
direct = urllib2.build_opener(urllib2.ProxyHandler({}))
status, deadline = None, time.time() + 60
try:
    while status is None and server.poll() is None and time.time() < deadline:
        try:
            status = direct.open("http://127.0.0.1:18927/lab", timeout=10).getcode()
        except IOError:
            time.sleep(0.2)
finally:
    server.terminate()
    server.wait()
assert status == 200, status
print("/lab answers %s" % status)
"""


def layers(request):
    return [
        Python(
            requirements=("jupyterlab==0.33.12",),
            alone=("ava-sdk==0.1.3",),
            constraints=("Send2Trash<2", "six==1.16.0"),
        )
    ]


@hookimpl
def avabuild_frameworks():
    release = Release(version="0.33", pythons=("2.7",))
    return [Framework(name="classic", summary="", releases=(release,), layers=layers, check=lambda _: CHECK)]
'''

# Prints, for each project named, what RECORD says that is on disk: path, mode, and the hash of its content.
ON_DISK = """
import csv, hashlib, json, os, pkg_resources, sys
found = {}
for name in sys.argv[1:]:
    dist = pkg_resources.get_distribution(name)
    rows = [row for row in csv.reader(dist.get_metadata_lines("RECORD"))]
    files = found[name] = {}
    for row in rows:
        path = os.path.normpath(os.path.join(dist.location, row[0]))
        with open(path, "rb") as stream:
            content = stream.read()
        script = path.startswith("/usr/local/bin/") and b"sys.exit(" in content
        kept = content.split(b"\\n")[0] if script else "" if path.endswith("RECORD") else content
        files[path] = ["%o" % os.stat(path).st_mode, hashlib.sha256(kept).hexdigest(), row[1:] * (not script)]
print(json.dumps(found))
"""


# Puts what it can find out into the module that it installs.
SETUP = """
import glob, os, socket
from setuptools import setup
found = [repr(dict(os.environ))]
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/run/avabuild*/*"):
    try:
        with open(path) as stream:
            found.append(stream.read())
    except (IOError, OSError):
        pass
try:
    server = socket.create_connection(("127.0.0.1", int("PORT")), 5)
    server.sendall(b"GET /setup-py-was-here HTTP/1.0\\r\\n\\r\\n")
    server.recv(9)
except (IOError, OSError):
    pass
with open("avatestevil.py", "w") as stream:
    stream.write("FOUND = %r" % "".join(found))
setup(name="avatestevil", version="1.0", py_modules=["avatestevil"], install_requires=["six"])
"""


@pytest.fixture(scope="module")
def plugin(everyones: Path) -> Path:
    """A directory from which the plugin is found as if it were installed."""
    directory = everyones / "plugin"
    directory.mkdir()
    (directory / "avabuild_classic.py").write_text(PLUGIN)
    info = directory / "avabuild_classic-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: avabuild-classic\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[avabuild]\nclassic = avabuild_classic\n")
    return directory


@pytest.fixture(scope="module")
def user(make_user: Callable[[str, bool], User], plugin: Path) -> User:
    """A user whose one image is there for all tests; with a range: fakechroot can't bootstrap so old a release."""
    made = make_user("classic", True)
    made.env["PYTHONPATH"] += f"{os.pathsep}{plugin}"
    return made


@pytest.fixture(scope="module")
def image(user: User) -> str:
    """The image of RECIPE, whose check has asked JupyterLab for a page."""
    outcome = user.avabuild("recipe", user.recipe(RECIPE), "--json", timeout=900)
    assert outcome.code == 0, outcome.err
    return str(outcome.image["reference"])


def program(user: User, text: str) -> str:
    """Return the shell text that runs the Python program `text` in a container."""
    return f"python - <<'PROGRAM'\n{textwrap.dedent(text)}\nPROGRAM\n"


def test_frameworks_work_and_users_find_what_they_expect(user: User, image: str) -> None:
    said = user.inside(
        image,
        "set -e; python --version 2>&1; which python pip jupyter; pip check | tail -1 || true\n"
        + program(
            user, "import mxnet, sys; print(sys.executable, (mxnet.nd.ones((2, 2)) * 3).sum().asscalar())"
        )
        + "pip install --no-index --no-deps /usr/share/python-wheels/*.whl 2>/dev/null || true\n"
        "pip list --format=freeze\npip uninstall --yes --quiet requests\n"
        "ls -d /usr/local/lib/python2.7/dist-packages/requests || echo it is gone",
    )
    assert "Python 2.7" in said
    assert "/usr/local/bin/python\n/usr/local/bin/pip\n/usr/local/bin/jupyter\n" in said
    assert "('/usr/local/bin/python', 12.0)" in said
    listed = set(said.splitlines())
    assert {"jupyterlab==0.33.12", "ava-sdk==0.1.3", "six==1.16.0", "pip==20.3.4", "mxnet==1.6.0"} <= listed
    assert said.endswith("it is gone\n")


def test_what_is_locked_needs_no_container_and_no_index(user: User, image: str) -> None:
    lock = (user.home / "recipe.lock").read_text()
    assert "http" not in lock
    assert 'name = "ava-sdk", version = "0.1.3", kind = "sdist"' in lock
    needed = {line.split('"')[1]: "by = " in line for line in lock.splitlines() if "version = " in line}
    assert not any(needed[name] for name in ("mxnet", "requests", "urllib3"))
    assert all(needed[name] for name in ("jupyterlab", "jinja2", "ava-sdk", "pip"))
    env = user.env | {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    offline = replace(user, env=env)
    again = offline.avabuild(
        "recipe", user.home / "recipe.toml", "--json", "--output", f"oci:{user.home}/out"
    )
    assert again.code == 0, again.err
    assert again.image["made"] == []
    steps = {str(event.get("step")) for event in again.events if event["event"] == "start"}
    assert not [step for step in steps if step.startswith(("resolve", "build", "import"))]


def test_a_layer_is_what_pip_itself_installs(user: User, image: str) -> None:
    names = "six pyzmq notebook jsonschema numpy setuptools wheel pip ipykernel tornado scandir"
    said = user.inside(
        image,
        f"set -e; cat > /tmp/look.py <<'PROGRAM'\n{ON_DISK}\nPROGRAM\n"
        f"python -B /tmp/look.py {names} > /tmp/ours; pip freeze --all | sort > /tmp/all\n"
        f'for name in {names}; do grep -i "^$name==" /tmp/all; done > /tmp/pins\n'
        "umask 022; pip download --quiet --no-deps --dest /tmp/wheels --requirement /tmp/pins 2>/tmp/err || cat /tmp/err\n"
        "pip wheel --quiet --no-deps --wheel-dir /tmp/wheels --requirement /tmp/pins 2>/tmp/err || cat /tmp/err\n"
        "pip install --quiet --no-index --find-links /tmp/wheels --no-deps --no-compile --force-reinstall "
        "--requirement /tmp/pins 2>/tmp/err || cat /tmp/err\n"
        f"python -B /tmp/look.py {names} > /tmp/theirs\ncat /tmp/ours /tmp/theirs",
    )
    ours, theirs = map(json.loads, said.strip().splitlines()[-2:])
    for name in names.split():
        extra = {path for path in theirs[name] if path.endswith(("REQUESTED", "direct_url.json"))}
        assert set(ours[name]) == set(theirs[name]) - extra, name
        for path, (mode, digest, row) in ours[name].items():
            if path.endswith("/RECORD"):
                continue
            assert [mode, digest, row] == theirs[name][path], path


def test_modules_are_compiled_beforehand_and_none_is_written_at_import(user: User, image: str) -> None:
    said = user.inside(
        image,
        "set -e; count() { find / -xdev -name '*.pyc' | wc -l; }; before=$(count)\n"
        "python -v -c 'import notebook.notebookapp, numpy, requests' 2> /tmp/said\n"
        "grep -c 'precompiled from /usr/local' /tmp/said; grep '# wrote ' /tmp/said || echo nothing written\n"
        "[ $before = $(count) ] && echo as many as before",
    )
    count, *rest = said.splitlines()
    assert int(count) > 200
    assert rest == ["nothing written", "as many as before"]


def test_a_setup_py_has_neither_network_nor_logins_and_says_what_it_needs(
    user: User, index: Index, tmp_path: Path
) -> None:
    setup = SETUP.replace("PORT", str(index.server.server_port))
    files = {"setup.py": setup, "pyproject.toml": "[build-system]\nrequires = ['setuptools<45', 'wheel']\n"}
    path = tmp_path / "avatestevil-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"avatestevil-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    index.add("avatestevil", path)
    secrets = {"UV_INDEX": index.url.replace("//", "//someone:ava-secret@")}
    secrets["ftp_proxy"] = "http://me:ava-secret@127.0.0.1:9"
    own = RECIPE.replace("ava-classic-test", "ava-test-evil")  # the others look into the image of that name
    text = own.split("[frameworks]", maxsplit=1)[0] + "[packages]\n    pip = ['avatestevil']\n"
    outcome = replace(user, env=user.env | secrets).avabuild("recipe", user.recipe(text, "evil.toml"))
    assert outcome.code == 0, outcome.err
    assert 'name = "six"' in (user.home / "evil.lock").read_text()
    (wheel,) = (user.cache / "built").rglob("avatestevil-1.0-*.whl")
    with zipfile.ZipFile(wheel) as archive_:
        found = archive_.read("avatestevil.py").decode()
    assert "PYTHONPATH" in found
    assert "ava-secret" not in found
    assert index.url not in found
    assert not any("setup-py-was-here" in request for request in index.requests)


def test_a_conflict_is_told_in_pips_words(user: User) -> None:
    text = (
        RECIPE.split("[frameworks]", maxsplit=1)[0]
        + "[packages]\n    pip = ['notebook==5.7.16', 'tornado<4']\n"
    )
    outcome = user.avabuild("recipe", user.recipe(text, "bad.toml"))
    assert outcome.code == 9
    assert "notebook 5.7.16 depends on tornado<7 and >=4.1" in outcome.err
    assert user.leftovers() == []


def test_a_mirror_that_has_dropped_the_release_says_what_to_do(
    builder: User, index: Index, tmp_path: Path
) -> None:
    builder.cache = tmp_path / "own-cache"
    builder.env["AVABUILD_DEBIAN_MIRROR"] = index.url
    outcome = builder.avabuild("recipe", builder.recipe(RECIPE.split("[frameworks]", maxsplit=1)[0]))
    assert outcome.code == 9, outcome.err
    assert "debian bullseye can't be bootstrapped: the mirror does not have it" in outcome.err
    assert "AVABUILD_DEBIAN_MIRROR" in outcome.err
    assert "archive" in outcome.err
