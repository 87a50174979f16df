"""Wheels that were built of sources: what is remembered of them, and what comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from avabuild.engine.stages.workshop import OUT, built_record, built_wheel, checkout_script
from avabuild.resolve.lock import Package
from avabuild.store import Store

KEY = "sha256:" + "a" * 64
PACKAGE = Package(name="x", version="1", kind="sdist", filename="x-1.tar.gz", sha256="f" * 64)


@pytest.fixture
def digest(store: Store) -> str:
    """A wheel that came as a blob, as it does from a registry's cache."""
    digest = store.put(b"a wheel")
    store.record("built", KEY, built_record(PACKAGE, Path("x-1-py3-none-any.whl"), digest))
    return digest


def test_a_wheel_that_came_as_a_blob_gets_its_name(store: Store, digest: str) -> None:
    path = built_wheel(store, KEY)
    assert path
    assert (path.name, path.read_bytes()) == ("x-1-py3-none-any.whl", b"a wheel")
    assert digest == "sha256:" + hashlib.sha256(b"a wheel").hexdigest()
    assert built_wheel(store, KEY) == path


def test_half_a_wheel_never_has_a_wheels_name(
    store: Store, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: Path, target: Path) -> Path:
        Path(target).write_bytes(b"a w")
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        built_wheel(store, KEY)
    assert not list(store.root.glob("built/**/*.whl"))
    monkeypatch.undo()
    path = built_wheel(store, KEY)
    assert path
    assert path.read_bytes() == b"a wheel"
    assert digest


@pytest.fixture
def guarded(tmp_path: Path):
    """A git repository of one file behind a login, as an address and a commit."""
    work, web = tmp_path / "work", tmp_path / "web"
    work.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    (work / "file").write_text("here\n")
    for argv in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *argv], cwd=work, check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", str(work), str(web / "r")], check=True)
    subprocess.run(["git", "update-server-info"], cwd=web / "r", check=True)
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=work, capture_output=True, text=True, check=True)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Keep quiet."""

        def send_head(self):
            wanted = "Basic " + base64.b64encode(b"me:s'e$c\"ret").decode()
            if self.headers.get("Authorization") == wanted:
                return super().send_head()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(web)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/r", told.stdout.strip()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("login", [True, False])
def test_a_repository_behind_a_login_is_fetched_with_the_hosts_own(
    guarded, tmp_path: Path, *, login: bool
) -> None:
    url, commit = guarded
    package = Package(name="x", version="1", kind="git", url=url, commit=commit)
    script = checkout_script(package, login=login)
    assert "s'e$c" not in script
    out = tmp_path / "out"
    out.mkdir()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_TERMINAL_PROMPT": "0",
        "NO_PROXY": "127.0.0.1",
    }
    env |= {"GIT_LOGIN_USER": "me", "GIT_LOGIN_WORD": "s'e$c\"ret"} if login else {}
    done = subprocess.run(["sh", "-e", "-c", script.replace(OUT, str(out))], env=env, check=False)
    assert (done.returncode == 0) == login
    if login:
        assert (out / "checkout/file").read_text() == "here\n"
        assert "ret" not in (out / "checkout/.git/config").read_text()
