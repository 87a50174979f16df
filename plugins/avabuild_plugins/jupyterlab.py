"""JupyterLab with its Python kernel."""

from __future__ import annotations

from avabuild.api import Framework, Options, Python, Release, Request, hookimpl

_CHECK = """\
import os, secrets, socket, subprocess, sys, tempfile, time, urllib.error, urllib.request
import jupyterlab
from jupyter_client.kernelspec import KernelSpecManager

kernels = KernelSpecManager().find_kernel_specs()
assert "python3" in kernels, "no python3 kernel, only: %s" % sorted(kernels)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
token = secrets.token_hex(16)
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as log:
    names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
         "--port=%d" % port, "--ServerApp.port_retries=0", "--IdentityProvider.token=" + token],
        env=dict(os.environ, **dict.fromkeys(names, home)), cwd=home, stdout=log, stderr=log,
    )
    answer = None
    deadline = time.monotonic() + 60
    try:
        while answer is None and server.poll() is None and time.monotonic() < deadline:
            try:
                with direct.open("http://127.0.0.1:%d/lab?token=%s" % (port, token), timeout=10) as page:
                    answer = page.status
            except urllib.error.HTTPError as error:
                answer = error.code
            except OSError:
                time.sleep(0.2)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if answer != 200:
        log.seek(0)
        sys.exit(log.read().decode(errors="replace") + "\\n/lab answered %s" % answer)
print("jupyterlab", jupyterlab.__version__, "serves /lab; kernels:", ", ".join(sorted(kernels)))
"""


def _release(version: str, first: int, last: int) -> Release:
    """Return a series: pure Python, so on every device."""
    pythons = tuple(f"3.{minor}" for minor in range(first, last + 1))
    return Release(version=version, pythons=pythons, devices=("any",))


_RELEASES = (
    _release("4.6", 10, 14),
    _release("4.5", 9, 13),
    _release("4.4", 9, 13),
    _release("4.3", 8, 12),
    _release("4.2", 8, 12),
    _release("4.1", 8, 11),
    _release("4.0", 8, 11),
)


def _layers(request: Request) -> tuple[Python, ...]:
    return (Python(requirements=(f"jupyterlab{request.requirement}",)),)


def _check(_request: Request) -> str:
    return _CHECK


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare jupyterlab."""
    return [
        Framework(
            name="jupyterlab",
            summary="JupyterLab with its Python kernel",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="Requires-Python and classifiers of the published wheels",
            checked="2026-11-23",
        )
    ]
