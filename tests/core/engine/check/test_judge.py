"""Missing libraries are told by whose they are; what works, or is the driver's, or is never loaded, is not."""

from __future__ import annotations

import pytest

from avabuild.engine.check.judge import judge, package_guess, package_hint, wasted
from avabuild.engine.check.loader import Tree
from avabuild.layer.elf import Elf
from avabuild.layer.inventory import Distribution, Inventory

SITE = "opt/venv/lib/python3.11/site-packages"


def elf(*needed: str, soname: str = "", size: int = 0, **fields) -> Elf:
    return Elf("EM_X86_64/64", soname=soname, needed=needed, size=size, **fields)


def dist(name: str, *files: str, requires: tuple[str, ...] = ()) -> Distribution:
    return Distribution(name, "1.0", requires, tuple(f"{SITE}/{file}" for file in files))


def found(
    files: dict[str, Elf],
    *owned: Distribution,
    cuda: bool = False,
    base=("lib/libc.so.6",),
    path: str = "",
    whole=False,
):
    layers = [
        Inventory(elves={name: elf() for name in base}),
        Inventory(elves={name if name[0] == "/" else f"{SITE}/{name}": one for name, one in files.items()}),
    ]
    layers[1].elves = {name.lstrip("/"): one for name, one in layers[1].elves.items()}
    return judge(Tree(layers, path), owned, {1: whole}, cuda=cuda)


def test_a_missing_cuda_is_named_by_package_and_library_with_ways_to_give_it():
    (one,) = found(
        {"mxnet/libmxnet.so": elf("libcudart.so.9.0", "libc.so.6", "libcuda.so.1")},
        dist("mxnet-cu90", "mxnet/libmxnet.so"),
    )
    assert str(one) == "mxnet-cu90 1.0: libmxnet.so needs libcudart.so.9.0, which is not in the image"
    assert one.fatal
    assert "CUDA 9.0 is wanted" in one.hint
    assert 'cuda = { directory = "' in one.hint


def test_what_is_in_the_base_or_on_a_search_path_is_not_missing():
    files = {
        "a/_a.so": elf("libc.so.6", "libx.so", runpath="$ORIGIN/libs"),
        "a/libs/libx.so": elf(soname="libx.so"),
        "nvidia/cublas/lib/libcublas.so.11": elf(soname="libcublas.so.11"),
        "b/_b.so": elf("libcublas.so.11"),
    }
    owned = dist("a", "a/_a.so", "a/libs/libx.so"), dist("b", "b/_b.so")
    assert found(files, *owned, path=f"/{SITE}/nvidia/cublas/lib") == ()
    (one,) = found(files, *owned)
    assert one.missing == ("libcublas.so.11",)


@pytest.mark.parametrize(
    "soname", ["libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-encode.so.1", "libnvcuvid.so.1"]
)
def test_the_drivers_libraries_are_the_hosts(soname):
    assert found({"a/_a.so": elf(soname)}, dist("a", "a/_a.so")) == ()


def test_a_package_may_load_its_own_libraries_and_those_of_packages_it_requires_beforehand():
    files = {
        "torch/lib/libc10.so": elf(soname="libc10.so"),
        "torchvision/_C.so": elf("libc10.so"),
        "scipy.libs/libgfortran-abc.so": elf("libquadmath-abc.so"),
        "scipy.libs/libquadmath-abc.so": elf(),
        "tfio/plugin.so": elf("libtf.so.2"),
        "tf/libtf.so.2": elf(),
    }
    owned = (
        dist("torch", "torch/lib/libc10.so"),
        dist("torchvision", "torchvision/_C.so", requires=("torch",)),
        dist("scipy", "scipy.libs/libgfortran-abc.so", "scipy.libs/libquadmath-abc.so"),
        dist("tfio", "tfio/plugin.so"),
        dist("tf", "tf/libtf.so.2", requires=("tfio",)),
    )
    assert found(files, *owned) == ()


def test_packages_that_have_nothing_to_do_with_each_other_do_not_help_each_other():
    files = {"mxnet/libmxnet.so": elf("libcudart.so.11.0"), "nvidia/lib/libcudart.so.11.0": elf()}
    (one,) = found(files, dist("mxnet", "mxnet/libmxnet.so"), dist("nvidia", "nvidia/lib/libcudart.so.11.0"))
    assert one.owner == "mxnet 1.0"


def test_a_part_for_rare_hardware_beside_a_library_that_works_is_not_told():
    files = {
        "nvidia/cufile/lib/libcufile.so.0": elf("libc.so.6"),
        "nvidia/cufile/lib/libcufile_rdma.so.1": elf("libibverbs.so.1", "libcufile.so.0"),
        "nvidia/nvshmem/lib/libnvshmem_host.so.3": elf("libc.so.6"),
        "nvidia/nvshmem/lib/nvshmem_bootstrap_mpi.so.3": elf("libmpi.so.40"),
    }
    owned = (
        dist("cufile", *list(files)[:2]),
        dist("nvshmem", *list(files)[2:]),
    )
    assert found(files, *owned) == ()


def test_a_python_module_is_no_such_part():
    files = {
        "cv2/cv2.abi3.so": elf("libGL.so.1"),
        "cv2/_other.cpython-311-x86_64-linux-gnu.so": elf("libc.so.6"),
        "cv2/libhelper.so": elf("libSM.so.6"),
        "cv2/gui.so": elf("libhelper.so"),
    }
    both = found(files, dist("opencv-python", *files))
    assert [one.missing for one in both] == [("libGL.so.1",), ("libSM.so.6",)]
    assert "libgl1" in both[0].hint


def test_a_part_that_lacks_cuda_is_fatal_in_an_image_for_cuda_alone():
    files = {
        "ort/libonnx.so": elf("libc.so.6"),
        "ort/libonnx_cuda.so": elf("libcublasLt.so.12", "libmpi.so.1"),
    }
    owned = dist("ort", *files)
    (on_cpu,) = found(files, owned)
    (on_cuda,) = found(files, owned, cuda=True)
    assert (on_cpu.fatal, on_cpu.missing) == (False, ("libcublasLt.so.12",))
    assert on_cuda.fatal


def test_rpaths_are_inherited_by_what_is_loaded():
    files = {
        "/opt/app/main": elf("liba.so", rpath="/opt/app/one:/opt/app/two"),
        "/opt/app/one/liba.so": elf("libb.so"),
        "/opt/app/two/libb.so": elf(),
    }
    assert found(files, whole=True) == ()
    files["/opt/app/main"] = elf("liba.so", runpath="/opt/app/one:/opt/app/two")
    (one,) = found(files, whole=True)
    assert str(one) == "/opt/app/one/liba.so needs libb.so, which is not in the image"


def test_files_of_nobody_are_fatal_where_all_of_a_layer_is_meant_to_work():
    files = {"/usr/lib/libcaffe.so": elf("libglog.so.1")}
    assert found(files, whole=True)[0].fatal
    assert not found(files)[0].fatal


def test_files_for_another_machine_are_not_looked_at():
    other = {
        "a/_x.so": elf("libc.so.6"),
        "a/_y.so": elf("libc.so.6"),
        "a/arm.so": Elf("EM_ARM/32", needed=("libq.so",)),
    }
    assert found(other, dist("a", *other)) == ()


def test_many_missing_names_are_counted():
    (one,) = found({"a/_a.so": elf(*(f"libn{n}.so.1" for n in range(6)))}, dist("a", "a/_a.so"))
    assert "libn3.so.1 and 2 more, which are not in the image" in str(one)


@pytest.mark.parametrize(
    ("soname", "package"),
    [("libgomp.so.1", "libgomp1"), ("libGL.so.1", "libgl1"), ("libpython3.11.so.1.0", "libpython3.11-1"),
     ("libquadmath.so.0", "libquadmath0")],
)  # fmt: skip
def test_a_package_is_guessed_as_debian_names_them(soname, package):
    assert package_guess(soname).startswith(package[:11])


def test_cuda_that_base_and_wheels_both_bring_is_wasted():
    base = Inventory(elves={"usr/local/cuda/lib64/libcudart.so.10.1.243": elf(soname="libcudart.so.10.1", size=500),
                            "usr/lib/libz.so.1": elf(soname="libz.so.1", size=9)})  # fmt: skip
    wheel = Inventory(elves={f"{SITE}/torch/lib/libcudart-1b201d85.so.10.1": elf(soname="libcudart-1b201d85.so.10.1"),
                             f"{SITE}/x/libz.so.1": elf(soname="libz.so.1")})  # fmt: skip
    assert wasted(Tree([base, wheel]), 1) == (500, ("libcudart.so.10.1",))
    assert wasted(Tree([base]), 1) == (0, ())


def test_packages_that_exist_are_named_once_and_what_none_has_is_said():
    known = {
        "libgthread-2.0.so.0": "libglib2.0-0",
        "libglib-2.0.so.0": "libglib2.0-0",
        "libSM.so.6": "libsm6",
    }
    sonames = ("libgthread-2.0.so.0", "libSM.so.6", "libglib-2.0.so.0", "libodd.so.1")
    assert package_hint(sonames, known) == (
        "add to [packages] apt: libglib2.0-0 libsm6; no package of the distribution has libodd.so.1"
    )
    assert "they may be called libsm6" in package_hint(["libSM.so.6"], {})


@pytest.mark.parametrize("cuda", [False, True])
def test_programs_that_a_package_keeps_among_its_modules_are_not_told(cuda):
    files = {
        "torch/_C.so": elf("libc.so.6"),
        "torch/bin/test_shim": elf("libgtest.so.1"),
        "torch/test/cuda_test": elf("libcudart.so.9.0"),
    }
    owned = dist("torch", "torch/_C.so")
    assert found(files, owned, cuda=cuda) == ()
    (one,) = found({"/opt/tool/bin/tool": elf("libgtest.so.1")}, cuda=cuda, whole=True)
    assert one.fatal
