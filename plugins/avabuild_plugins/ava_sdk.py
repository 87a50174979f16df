"""The AVA SDK: the platform's own library, with what it imports in versions that exist."""

from __future__ import annotations

from avabuild.api import Apt, Framework, Options, Python, Release, Request, hookimpl

# The versions that its metadata pins can't be met: opencv-python 3.4.0.12 left the index, and its numpy and
# requests contradict every framework's. These are what it imports, in versions that run it on Python 2.7.
_PY27 = (
    "numpy<1.17",
    "opencv-python==4.2.0.32",
    "pillow==6.2.2",
    "qiniu==7.1.4",
    "requests",
    "rfc3339==5.2",
    "scikit-learn==0.20.4",
    "scipy<1.3",
    "tornado<6",
)

_CHECK = """\
from __future__ import print_function
import importlib, pkgutil
import ava, pkg_resources
from ava.evals.metrics import calculate_acc
from ava.utils.date import get_datetime_in_rfc3339

known = [(name, name.split(".")[-1]) for _, name, _ in pkgutil.walk_packages(ava.__path__, "ava.")]
names = [name for name, last in known if not last.startswith("test_")]
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
allowed = [name for name, why in failed.items() if "mxnet" in why or "caffe" in why]
assert sorted(failed) == sorted(allowed), failed
truth = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
scores = [[0.9, 0, 0], [0.1, 0.8, 0.3], [0.9, 0.2, 0.3], [0.8, 0.5, 0.1]]
assert calculate_acc(["a", "b", "c"], truth, scores) == 0.75
assert get_datetime_in_rfc3339(1500000000).startswith("2017-07-1")
version = pkg_resources.get_distribution("ava-sdk").version
print("ava-sdk", version, "imports %d of %d modules" % (len(names) - len(failed), len(names)))
"""

_RELEASES = (
    Release(
        version="0.1.3",
        pythons=("2.7",),
        devices=("any",),
        note="its own pins can't be met: it is installed without them",
        apt=("libsm6", "libxext6", "libxrender1"),
    ),
)


def _layers(request: Request) -> tuple[Python | Apt, ...]:
    return (
        Python(requirements=_PY27, alone=(f"ava-sdk=={request.release.version}",)),
        Apt(packages=(_glib(request.target.distribution),)),
    )


def _glib(distribution: str) -> str:
    """Return the package of GLib, which opencv-python loads; the change to 64-bit times renamed it."""
    return (
        "libglib2.0-0" if distribution in {"bullseye", "bookworm", "xenial", "jammy"} else "libglib2.0-0t64"
    )


def _check(_request: Request) -> str:
    return _CHECK


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare ava-sdk."""
    return [
        Framework(
            name="ava-sdk",
            summary="the AVA platform's SDK",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=Options,
            source="built and run by hand: imports of its modules on Python 2.7",
            checked="2026-11-23",
        )
    ]
