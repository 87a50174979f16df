"""Caffe: compiled from the last source package that Debian had, for the CPU, into the image's environment.

Debian's own python3-caffe is for the system's Python 3.9 alone, and no index has wheels for later Pythons.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from avabuild.api import (
    Apt,
    Compile,
    DebianSource,
    Framework,
    Options,
    ProjectFile,
    Python,
    Release,
    Request,
    SourceFile,
    hookimpl,
)


class CaffeOptions(Options):
    """What a recipe may say of caffe."""

    opencv: bool = Field(
        default=False,
        description="compile with OpenCV, for the layers ImageData and WindowData; "
        "its libraries are some 250 MB of packages",
    )


_CAFFE = DebianSource(
    name="caffe",
    version="1.0.0+git20180821.99bd997-8",
    suite="bullseye",
    files=(
        SourceFile(
            filename="caffe_1.0.0+git20180821.99bd997-8.dsc",
            sha256="c492f4893fc1ba1fb514b2d9b4763bc78dc93571ea24adc6e604eccbb93cdd64",
        ),
        SourceFile(
            filename="caffe_1.0.0+git20180821.99bd997.orig.tar.gz",
            sha256="e0eb3f06794f7402c77b7dec8e8480273ee1a1bb192e9122b621a69d4147ad0c",
        ),
        SourceFile(
            filename="caffe_1.0.0+git20180821.99bd997-8.debian.tar.xz",
            sha256="07cf073227494a6b07234e40cb5df91db566616593eef9baafdc4d06ad159f21",
        ),
    ),
)
# Debian's Boost.Python is for Python 3 alone: for 2.7 it is compiled from the same sources.
_BOOST = DebianSource(
    name="boost1.74",
    version="1.74.0-9",
    suite="bullseye",
    files=(
        SourceFile(
            filename="boost1.74_1.74.0.orig.tar.xz",
            sha256="2467be4af625b5ae4b3c93fc7af196a09eba39c11a7338cd9e8b356fa44d2f45",
        ),
    ),
)
# No index tool that compiles use knows Python 2.7, so its numpy is a source, and read from where it is.
_NUMPY_27 = ProjectFile(
    name="numpy",
    version="1.16.6",
    filename="numpy-1.16.6-cp27-cp27mu-manylinux1_x86_64.whl",
    sha256="1680c8d5086a88d293dfd1a10b6429a09140cacee878034fa2308472ec835db4",
)

_BUILD = (
    "cmake", "g++", "libboost-dev", "libboost-filesystem-dev", "libboost-system-dev", "libboost-thread-dev",
    "libgflags-dev", "libgoogle-glog-dev", "libhdf5-dev", "libleveldb-dev", "liblmdb-dev",
    "libopenblas-dev", "libprotobuf-dev", "libsnappy-dev", "make", "patch", "protobuf-compiler", "xz-utils",
)  # fmt: skip
_RUNTIME = ("libgflags2.2", "libleveldb1d", "liblmdb0", "libopenblas0-pthread")


@dataclass(frozen=True, slots=True)
class _Debian:
    """What a release of Debian calls the libraries that Caffe needs, and its protobuf's Python side."""

    libraries: tuple[str, ...]
    boost: str
    opencv: tuple[str, ...]
    protobuf: str


_DEBIANS = {
    "bullseye": _Debian(
        libraries=("libgoogle-glog0v5", "libhdf5-103-1", "libhdf5-hl-100", "libprotobuf23"),
        boost="1.74.0",
        opencv=("libopencv-imgcodecs4.5", "libopencv-imgproc4.5"),
        protobuf="protobuf<3.21",  # what its protoc 3.12 generates is refused by later ones
    ),
    "bookworm": _Debian(
        libraries=("libgoogle-glog0v6", "libhdf5-103-1", "libhdf5-hl-100", "libprotobuf32"),
        boost="1.74.0",
        opencv=("libopencv-imgcodecs406", "libopencv-imgproc406"),
        protobuf="protobuf>=3.20",
    ),
    "trixie": _Debian(
        libraries=("libgoogle-glog0v6t64", "libhdf5-310", "libhdf5-hl-310", "libprotobuf32t64"),
        boost="1.83.0",
        opencv=("libopencv-imgcodecs410", "libopencv-imgproc410"),
        protobuf="protobuf>=3.20",
    ),
}
# What is compiled against these headers runs with any numpy from 1.19 on (2.7: from 1.16).
_NUMPY = {"3.9": "numpy==2.0.2", "3.11": "numpy==2.2.6", "3.13": "numpy==2.2.6"}

# The orig archive has no directory of its own. Its first fix is for protobuf 3.6 and later, the others for
# what numpy 2 and scikit-image 0.16 have removed.
_UNPACK = """\
tar -xf $SOURCES/caffe_1.0.0+git20180821.99bd997.orig.tar.gz
tar -xf $SOURCES/caffe_1.0.0+git20180821.99bd997-8.debian.tar.xz
for name in @PATCHES@; do patch -s -p1 < debian/patches/$name; done
sed -i 's/SetTotalBytesLimit(kProtoReadBytesLimit, 536870912)/SetTotalBytesLimit(kProtoReadBytesLimit)/' \\
    src/caffe/util/io.cpp
sed -i -e 's/as_grey=/as_gray=/' -e 's/arr\\.tostring()/arr.tobytes()/' \\
    -e 's/np\\.fromstring(datum\\.data, dtype=np\\.uint8)/np.array(bytearray(datum.data), dtype=np.uint8)/' \\
    python/caffe/io.py
include=$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("include"))')
numpy=$($PYTHON -c 'import numpy; print(numpy.get_include())')
multiarch=$(gcc -print-multiarch)
"""
_NUMPY_PATH = """\
export PYTHONPATH=$PWD/numpy
$PYTHON -m zipfile -e $SOURCES/numpy-1.16.6-cp27-cp27mu-manylinux1_x86_64.whl numpy
"""
_BOOST_PYTHON = """\
include=/usr/include/python2.7  # Debian's sysconfig names one below /usr/local
mkdir -p boost/objects
tar -xf $SOURCES/boost1.74_1.74.0.orig.tar.xz -C boost --strip-components=1 --wildcards '*/libs/python/src/*'
find boost/libs/python/src -name '*.cpp' ! -path '*/numpy/*' | sort > boost/sources
xargs -P $JOBS -I SOURCE sh -c 'g++ -c -O2 -fPIC -DBOOST_PYTHON_SOURCE -I'$include' SOURCE \\
    -o boost/objects/$(echo SOURCE | tr / _).o' < boost/sources
g++ -shared -Wl,-soname,libboost_python27.so.1.74.0 -o boost/libboost_python27.so.1.74.0 boost/objects/*.o \\
    -L/usr/lib/$multiarch -lpython2.7
ln -s libboost_python27.so.1.74.0 boost/libboost_python27.so
export LD_LIBRARY_PATH=$PWD/boost  # what is linked with libcaffe finds it there
mkdir -p $OUT/usr/lib/$multiarch
cp boost/libboost_python27.so.1.74.0 $OUT/usr/lib/$multiarch/
strip --strip-unneeded $OUT/usr/lib/$multiarch/libboost_python27.so.1.74.0
sed -i 's/find_package(Boost 1.46 COMPONENTS python)/set(Boost_PYTHON_FOUND TRUE)/' cmake/Dependencies.cmake
"""
_MAKE = """\
mkdir build
cd build
cmake .. -DCMAKE_BUILD_TYPE=Release -DCMAKE_SKIP_RPATH=TRUE -DCMAKE_SHARED_LINKER_FLAGS='@FLAGS@' \\
    -DCPU_ONLY=ON -DBLAS=Open -DUSE_OPENCV=@OPENCV@ -DUSE_LEVELDB=ON -DUSE_LMDB=ON -DBUILD_docs=OFF \\
    -DBUILD_python=ON -DBUILD_python_layer=ON -Dpython_version=@PYTHON@ -DPYTHON_EXECUTABLE=$PYTHON \\
    -DPYTHON_INCLUDE_DIR=$include -DPYTHON_LIBRARY=/usr/lib/$multiarch/libpython@PYTHON@.so \\
    -DNUMPY_INCLUDE_DIR=$numpy
make -j$JOBS caffe pycaffe caffe.bin
cd ..
"""
_INSTALL = """\
mkdir -p $OUT/usr/bin $OUT/usr/lib/$multiarch $OUT$SITE/caffe
cp -d build/lib/libcaffe.so* $OUT/usr/lib/$multiarch/
cp build/tools/caffe $OUT/usr/bin/
cp -r python/caffe/*.py python/caffe/imagenet python/caffe/proto $OUT$SITE/caffe/
cp build/lib/_caffe.so $OUT$SITE/caffe/
strip --strip-unneeded $OUT/usr/bin/caffe $OUT/usr/lib/$multiarch/libcaffe.so.*.* $OUT$SITE/caffe/_caffe.so
find $OUT$SITE -name '*.pyc' -delete
"""

_CHECK = """\
from __future__ import print_function
import os
import tempfile

os.environ["GLOG_minloglevel"] = "2"
import caffe
import numpy as np
from caffe import layers as L, params as P
from PIL import Image

caffe.set_mode_cpu()
where = tempfile.mkdtemp()


def written(name, text):
    path = os.path.join(where, name)
    with open(path, "w") as file:
        file.write(str(text))
    return path


spec = caffe.NetSpec()
spec.data = L.Input(shape=dict(dim=[1, 1, 4, 4]))
ones = dict(type="constant", value=1)
spec.conv = L.Convolution(spec.data, kernel_size=3, num_output=1, weight_filler=ones)
spec.relu = L.ReLU(spec.conv)
net = caffe.Net(written("conv.prototxt", spec.to_proto()), caffe.TEST)
net.blobs["data"].data[...] = np.arange(16).reshape(1, 1, 4, 4)
summed = net.forward()["relu"].reshape(4).tolist()
assert summed == [45.0, 54.0, 81.0, 90.0], summed

spec = caffe.NetSpec()
spec.data = L.Input(shape=dict(dim=[8, 3]))
spec.label = L.Input(shape=dict(dim=[8, 1]))
spec.score = L.InnerProduct(spec.data, num_output=1, weight_filler=dict(type="xavier"))
spec.loss = L.EuclideanLoss(spec.score, spec.label)
model = written("train.prototxt", spec.to_proto())
solver = caffe.SGDSolver(
    written("solver.prototxt", 'net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 200 '
            "snapshot: 0 snapshot_after_train: false display: 0 solver_mode: CPU random_seed: 7" % model)
)
inputs = np.random.RandomState(7).rand(8, 3)
solver.net.blobs["data"].data[...] = inputs
solver.net.blobs["label"].data[...] = inputs.dot([[1.0], [-2.0], [3.0]])
first = float(solver.net.forward()["loss"])
solver.step(200)
last = float(solver.net.forward()["loss"])
assert last < first / 100, (first, last)

weights = os.path.join(where, "weights.caffemodel")
solver.net.save(weights)
again = caffe.Net(model, weights, caffe.TEST)
again.blobs["data"].data[...] = inputs
again.blobs["label"].data[...] = solver.net.blobs["label"].data
assert abs(float(again.forward()["loss"]) - last) < 1e-6

Image.new("L", (4, 2), 51).save(os.path.join(where, "grey.png"))
grey = caffe.io.load_image(os.path.join(where, "grey.png"), color=False)
assert grey.shape == (2, 4, 1) and abs(float(grey[0, 0, 0]) - 0.2) < 1e-6, grey
datum = caffe.io.array_to_datum(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
assert caffe.io.datum_to_array(datum).tolist() == [[[0, 1, 2], [3, 4, 5]]]

kinds = list(caffe.layer_type_list())
assert ("ImageData" in kinds) is @OPENCV@, kinds
print("caffe %s with %d layers, numpy %s; loss %.3f -> %.5f" % (
    caffe.__version__, len(kinds), np.__version__, first, last))
"""


def _link_flags(python: str) -> str:
    if python == "2.7":
        # Nothing that comes before it on the command line asks for it: it alone is linked unasked.
        unasked = "-Wl,--push-state,--no-as-needed -lboost_python27 -Wl,--pop-state"
        return f"-Wl,--as-needed -L/stage/work/boost {unasked}"
    return "-Wl,--as-needed"


def _shell(python: str, *, opencv: bool) -> str:
    # Two of Debian's patches say that Python is 3: one names its Boost.Python, one its directory.
    patches = ["cmake-using-basic-blas", "fix-more-float-comparison-precision-issue2", "6693.diff"]
    old = python == "2.7"
    text = (_NUMPY_PATH + _UNPACK + _BOOST_PYTHON if old else _UNPACK) + _MAKE + _INSTALL
    words = {
        "@PATCHES@": " ".join(patches if old else [*patches, "cmake-link-correct-python-lib.patch"]),
        "@FLAGS@": _link_flags(python),
        "@OPENCV@": "ON" if opencv else "OFF",
        "@PYTHON@": python,
    }
    for word, value in words.items():
        text = text.replace(word, value)
    # Python 2.7's own bytecode holds its source's time, which the layer fixes for both.
    unchecked = "" if old else " -s $OUT --invalidation-mode unchecked-hash"
    return f"{text}$PYTHON -m compileall -q $OUT$SITE{unchecked}\n"


def _layers(request: Request) -> tuple[Apt | Python | Compile, ...]:
    python, debian = request.target.python or "", _DEBIANS[request.target.distribution]
    old, opencv = python == "2.7", request.options.opencv
    boost = [
        f"libboost-{part}{debian.boost}" for part in ("filesystem", "thread", *([] if old else ["python"]))
    ]
    headers = ("python2.7-dev",) if old else ("libboost-python-dev", "python3-dev")
    protobuf = "protobuf==3.17.3" if old else debian.protobuf
    libraries = (*_RUNTIME, *debian.libraries, *boost, f"libpython{python}")
    return (
        Compile(
            name="caffe",
            shell=_shell(python, opencv=opencv),
            packages=(*_BUILD, *headers, *(("libopencv-dev",) if opencv else ())),
            requirements=() if old else (_NUMPY[python],),
            sources=(_CAFFE, _BOOST, _NUMPY_27) if old else (_CAFFE,),
        ),
        Apt(packages=(*libraries, *(debian.opencv if opencv else ()))),
        Python(requirements=("numpy", "pillow", "scikit-image", "six", protobuf)),
    )


def _check(request: Request) -> str:
    return _CHECK.replace("@OPENCV@", str(request.options.opencv))


_RELEASES = (
    Release(
        version="1.0",
        pythons=("2.7", "3.9", "3.11", "3.13"),
        distributions=("bullseye", "bookworm", "trixie"),
        note="compiled from Debian's 1.0.0+git20180821.99bd997-8, which takes some minutes, once",
    ),
)


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare caffe."""
    return [
        Framework(
            name="caffe",
            summary="Caffe for the CPU, compiled from Debian's last source package",
            releases=_RELEASES,
            layers=_layers,
            check=_check,
            options=CaffeOptions,
            source="compiled and run on bullseye, bookworm and trixie; the packages of these releases",
            checked="2026-11-24",
        )
    ]
