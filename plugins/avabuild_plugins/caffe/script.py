"""How Caffe is compiled: the sources, and the text that makes them a part of the image."""

from __future__ import annotations

from avabuild.api import DebianSource, ProjectFile, SourceFile

CAFFE = DebianSource(
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
BOOST = DebianSource(
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
NUMPY_27 = ProjectFile(
    name="numpy",
    version="1.16.6",
    filename="numpy-1.16.6-cp27-cp27mu-manylinux1_x86_64.whl",
    sha256="1680c8d5086a88d293dfd1a10b6429a09140cacee878034fa2308472ec835db4",
)

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


def _link_flags(python: str) -> str:
    if python == "2.7":
        # Nothing that comes before it on the command line asks for it: it alone is linked unasked.
        unasked = "-Wl,--push-state,--no-as-needed -lboost_python27 -Wl,--pop-state"
        return f"-Wl,--as-needed -L/stage/work/boost {unasked}"
    return "-Wl,--as-needed"


def shell(python: str, *, opencv: bool) -> str:
    """Return the text that compiles for `python`."""
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
