"""An image with JupyterLab starts as anybody, by the lines of docs/recipe.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .user import User

pytestmark = [pytest.mark.build, pytest.mark.network, pytest.mark.root_builder]
ROOT = Path(__file__).parents[2]

ASK = """
import json, os, socket, subprocess, sys, time, urllib.error, urllib.request

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
place = "http://127.0.0.1:%d" % port
own = ["--port=%d" % port, "--ServerApp.port_retries=0", "--IdentityProvider.token=word"]
server = subprocess.Popen([*json.loads(sys.argv[1]), *own])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(path, data=None):
    request = urllib.request.Request(place + path, data, {"Authorization": "token word"})
    with opener.open(request, timeout=60) as answer:
        return answer.read()

page = b""
while not page and server.poll() is None:
    try:
        page = ask("/lab")
    except (urllib.error.URLError, OSError):
        time.sleep(0.3)
assert page, "the server has ended"
kernel = json.loads(ask("/api/kernels", b"{}"))
assert [one["id"] for one in json.loads(ask("/api/kernels"))] == [kernel["id"]]
print(os.getuid(), os.getgid(), os.environ["HOME"], kernel["name"])
server.terminate()
server.wait()
"""


def test_jupyterlab_starts_a_kernel_as_uid_1000_and_as_a_number_that_nobody_knows(builder: User) -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    (text,) = re.findall(r'```toml\n(name = "ava-lab".*?)```', page, re.DOTALL)
    path = builder.recipe(text.replace("ava-lab", "ava-test-lab"), "lab.toml")
    outcome = builder.avabuild("recipe", path, "--json", "--no-check", timeout=900)
    assert outcome.code == 0, outcome.err
    reference = str(outcome.image["reference"])
    config = json.loads(builder.buildah("inspect", "--type", "image", reference))["OCIv1"]["config"]
    assert config["User"] == "1000:0"
    for user in ("1000:0", "1000650000:0"):
        container = builder.buildah("from", "--pull-never", reference).strip()
        try:
            how = ("run", "--isolation", "chroot", "--user", user, container, "--")
            said = builder.buildah(*how, "python", "-c", ASK, json.dumps(config["Cmd"]))
        finally:
            builder.buildah("rm", container)
        assert said == f"{user.replace(':', ' ')} /tmp python3\n"
