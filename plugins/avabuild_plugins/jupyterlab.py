"""JupyterLab with its Python kernel."""

from __future__ import annotations

from avabuild.api import Framework, Options, Python, Release, Request, hookimpl

_CHECK = """\
from __future__ import print_function
import binascii, contextlib, os, shutil, socket, subprocess, sys, tempfile, time
try:
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener
except ImportError:
    from urllib2 import HTTPError, ProxyHandler, build_opener
import jupyterlab
from jupyter_client.kernelspec import KernelSpecManager

kernels = KernelSpecManager().find_kernel_specs()
assert "python%d" % sys.version_info[0] in kernels, "no kernel of this Python, only: %s" % sorted(kernels)
with contextlib.closing(socket.socket()) as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
token = binascii.hexlify(os.urandom(16)).decode()
direct = build_opener(ProxyHandler({}))
home = tempfile.mkdtemp()
names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
log = tempfile.TemporaryFile()
server = subprocess.Popen(
    [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
     "--port=%d" % port, "--SERVER.port_retries=0", "--TOKEN.token=" + token],
    env=dict(os.environ, **dict.fromkeys(names, home)), cwd=home, stdout=log, stderr=log,
)
answer = None
deadline = time.time() + 60
try:
    while answer is None and server.poll() is None and time.time() < deadline:
        try:
            url = "http://127.0.0.1:%d/lab?token=%s" % (port, token)
            with contextlib.closing(direct.open(url, timeout=10)) as page:
                answer = page.getcode()
        except HTTPError as error:
            answer = error.code
        except (OSError, IOError):
            time.sleep(0.2)
finally:
    if server.poll() is None:
        server.terminate()
    stopping = time.time() + 10
    while server.poll() is None and time.time() < stopping:
        time.sleep(0.05)
    if server.poll() is None:
        server.kill()
    server.wait()
    shutil.rmtree(home, ignore_errors=True)
if answer != 200:
    log.seek(0)
    sys.exit(log.read().decode("utf-8", "replace") + "\\n/lab answered %s" % answer)
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
    Release(
        version="0.33",
        pythons=("2.7", "3.5", "3.6"),
        devices=("any",),
        note="the last for Python 2.7",
        # 2.0 says that Python 2.7 may have it, and is built by a setuptools that Python 2.7 can't have.
        constraints=('send2trash<2; python_version < "3"',),
    ),
)


def _layers(request: Request) -> tuple[Python, ...]:
    return (Python(requirements=(f"jupyterlab{request.requirement}",)),)


def _check(request: Request) -> str:
    classic = request.release.version == "0.33"
    server, token = ("NotebookApp", "NotebookApp") if classic else ("ServerApp", "IdentityProvider")
    return _CHECK.replace("SERVER", server).replace("TOKEN", token)


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
