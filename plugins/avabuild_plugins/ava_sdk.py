"""The AVA SDK: the platform's own library, with what it imports in versions that exist."""

from __future__ import annotations

from avabuild.api import Apt, Compile, Framework, Options, ProjectFile, Python, Release, Request, hookimpl

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

# The same on Python 3, where later versions of all of them work.
_PY3 = (
    "numpy", "opencv-python-headless", "pillow", "qiniu", "requests", "rfc3339", "scikit-learn", "scipy",
    "tornado",
)  # fmt: skip

# Python 3.13 has no lib2to3 any more, so the port is made on Debian 12. Two words are mended by hand: `async`
# is a keyword now, and numpy reads no bytes from strings. The metadata is written anew, with requirements
# that can be met, and RECORD, so that pip lists and removes the package like any other.
_PORT = """\
tar -xf $SOURCES/ava-sdk-0.1.3.tar.gz --strip-components=1
grep -rlw async ava | xargs sed -i 's/\\basync\\b/async_/g'
sed -i 's/np\\.fromstring(image_bytes, np\\.uint8)/np.frombuffer(image_bytes, np.uint8)/' ava/utils/tool.py
$PYTHON -W ignore -m lib2to3 -w -n --no-diffs ava > /dev/null
info=$OUT$SITE/ava_sdk-0.1.3.dist-info
mkdir -p $info
cp -r ava $OUT$SITE/
cat > $info/METADATA << 'END'
Metadata-Version: 2.1
Name: ava-sdk
Version: 0.1.3
Summary: AVA Python SDK, ported to Python 3
@REQUIRES@
END
printf 'Wheel-Version: 1.0\\nGenerator: avabuild\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n' > $info/WHEEL
echo avabuild > $info/INSTALLER
cd $OUT$SITE
find ava ava_sdk-0.1.3.dist-info -type f | sort > /stage/work/files
sed 's/$/,,/' /stage/work/files > $info/RECORD
echo ava_sdk-0.1.3.dist-info/RECORD,, >> $info/RECORD
"""

_CHECK = """\
from __future__ import print_function
import importlib, pkgutil
import ava
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
try:
    from importlib.metadata import version as version_of
except ImportError:
    from pkg_resources import get_distribution
    version_of = lambda name: get_distribution(name).version
version = version_of("ava-sdk")
print("ava-sdk", version, "imports %d of %d modules" % (len(names) - len(failed), len(names)))
"""

_RELEASES = (
    Release(
        version="0.1.3",
        pythons=("2.7", "3.9", "3.11", "3.13"),
        devices=("any",),
        note="its own pins can't be met: it is installed without them. On Python 3 it is avabuild's port",
    ),
)


def _layers(request: Request) -> tuple[Python | Apt | Compile, ...]:
    if request.target.python != "2.7":
        return (_ported(), Python(requirements=_PY3))
    return (
        Python(requirements=_PY27, alone=(f"ava-sdk=={request.release.version}",)),
        Apt(packages=(_glib(request.target.distribution), "libsm6", "libxext6", "libxrender1")),
    )


def _ported() -> Compile:
    return Compile(
        name="ava-sdk",
        shell=_PORT.replace("@REQUIRES@", "\n".join(f"Requires-Dist: {name}" for name in _PY3)),
        packages=("python3-lib2to3",),
        sources=(
            ProjectFile(
                name="ava-sdk",
                version="0.1.3",
                filename="ava-sdk-0.1.3.tar.gz",
                sha256="c18358ae0dce4e27ca26965ef8756283740a4b2480c46dd343226009cfab6ab9",
            ),
        ),
        distribution="bookworm",
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
            source="built and run by hand: imports of its modules on Python 2.7, of the port on 3.11, 3.13",
            checked="2026-11-23",
        )
    ]
