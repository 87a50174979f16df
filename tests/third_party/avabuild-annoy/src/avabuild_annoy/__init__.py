"""The framework `annoy` for avabuild: nearest neighbours, compiled from the project's one source."""

from __future__ import annotations

from avabuild.api import Apt, Compile, Framework, ProjectFile, Release, Request, hookimpl

AVABUILD_CONTRACT = 1

SOURCE = ProjectFile(
    name="annoy",
    version="1.17.3",
    filename="annoy-1.17.3.tar.gz",
    sha256="9cbfebefe0a5f843eba29c6be4c84d601f4f41ad4ded0486f1b88c3b07739c15",
)

# Its own build asks for a test runner that is no more, and says -march=native, for the compiling machine alone.
SHELL = """\
tar -xf $SOURCES/annoy-1.17.3.tar.gz --strip-components=1
sed -i /setup_requires/d setup.py
$PYTHON setup.py --quiet build --build-lib=built
mkdir -p $OUT$SITE
cp -R built/annoy $OUT$SITE/
"""

CHECK = """\
from annoy import AnnoyIndex

index = AnnoyIndex(2, "euclidean")
for number in range(100):
    index.add_item(number, [number, 2 * number])
index.build(10)
found = index.get_nns_by_vector([50.2, 100.4], 3)
assert found[0] == 50 and set(found) == {49, 50, 51}, found
print("annoy finds", found)
"""


def layers(request: Request) -> list[Apt | Compile]:
    """Compile it with the base's own compiler; at run time it needs the C++ library alone."""
    return [
        Compile(
            name="annoy",
            shell=SHELL,
            packages=("g++", "python3-dev"),
            requirements=("setuptools==75.8.2",),
            sources=(SOURCE,),
            env=(("ANNOY_COMPILER_ARGS", "-O2,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD"),),
        ),
        Apt(packages=("libstdc++6",)),
    ]


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    """Declare annoy."""
    release = Release(
        version="1.17.3",
        pythons=("3.11", "3.13"),
        distributions=("bookworm", "trixie"),
        note="compiled, for the Python of each Debian",
    )
    return [
        Framework(
            name="annoy",
            summary="Annoy, nearest neighbours, compiled",
            releases=(release,),
            layers=layers,
            check=lambda _request: CHECK,
            source="the project's last source",
            checked="2026-11-24",
        )
    ]
