"""The driver's libraries for checks: this host's where there is a GPU, else libcuda of Debian's package.

A library that is linked with the driver can't even be loaded without it. The package's stands in for that:
it is fetched once, kept by its hash, and mounted into the check's container alone. No image ever holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avabuild.common.errors import AvabuildError, ResolveError, StoreError
from avabuild.common.tars import passing
from avabuild.engine.context import Context
from avabuild.engine.exec.apt_run import (
    ARCHIVES,
    UPDATE,
    archives,
    ask_apt,
    fetching,
    file_name,
    keep_debs,
    named_debs,
    private_lists,
)
from avabuild.engine.exec.stack import Chain
from avabuild.engine.layout import Composed
from avabuild.plugins.kinds import Repository
from avabuild.store import Store, oci
from avabuild.store.store import file_digest
from avabuild.store.whole import publish
from avabuild.tools.argv import Bind

PLACE = "/run/avabuild-driver"
_PACKAGE = "libcuda1"
_LIBRARY = re.compile(r".*/libcuda\.so\.\d[\d.]+")
_OF_HOST = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvidia-nvvm.so.4")
_DIRECTORIES = (
    "usr/lib/{arch}-linux-gnu",
    "usr/lib64",
    "usr/lib/wsl/lib",
    "usr/lib/{arch}-linux-gnu/nvidia/current",
)


@dataclass(frozen=True, slots=True)
class Driver:
    """Libraries mounted into the container of checks, and the variables that have them found."""

    binds: tuple[Bind, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


NO_DRIVER = Driver()


def driver_of_host(arch: str, root: Path = Path("/")) -> tuple[Path, ...]:
    """Return the driver's libraries of this host, none where there is no GPU."""
    if not (root / "dev" / "nvidiactl").exists():
        return ()
    places = [root / directory.format(arch=arch) for directory in _DIRECTORIES]
    found = (next((p / name for p in places if (p / name).exists()), None) for name in _OF_HOST)
    return tuple(path for path in found if path)


def driver_for_checks(context: Context, chain: Chain, composed: Composed) -> Driver:
    """Return what checks of an image that wants a GPU are given; `chain` is of what it stands on."""
    config = oci.decode(context.store.read(composed.config))
    return driver_with(context, chain, config, None)


def driver_with(
    context: Context, chain: Chain, config: Mapping[str, object], container_of: str | None
) -> Driver:
    """Return what checks are given in an image with `config`.

    The package is fetched in a container of the image `container_of`, or of the chain.
    """
    libraries = driver_of_host(context.host.arch)
    if not libraries:
        context.report.note("no GPU found: checks run on the CPU with a stub of the CUDA driver")
        try:
            libraries = (stand_in(context, chain, container_of),)
        except AvabuildError as error:
            context.report.warn(
                f"no stand-in for libcuda.so.1 can be had, so checks run without: {error.message}"
            )
            return NO_DRIVER
    binds = tuple(Bind(source=str(path.resolve()), target=f"{PLACE}/{path.name}") for path in libraries)
    inner = config.get("config")
    env = dict(
        e.split("=", 1) for e in (inner.get("Env") or [] if isinstance(inner, dict) else []) if "=" in e
    )
    path = ":".join(part for part in (PLACE, env.get("LD_LIBRARY_PATH", "")) if part)
    return Driver(binds, (("LD_LIBRARY_PATH", path),))


def stand_in(context: Context, chain: Chain, container_of: str | None) -> Path:
    """Return the path of a libcuda.so.1 from Debian's package, fetched unless the store has it whole."""
    store, key = context.store, f"{context.host.arch}"
    if (known := _kept(store, key)) is not None:
        return known
    with store.lock("driver", key), context.report.step(f"fetch {_PACKAGE} for the checks", "check"):
        if (known := _kept(store, key)) is not None:
            return known
        package = _fetched(context, chain, container_of)
        digest = file_digest(store, package).removeprefix("sha256:")
        directory = store.root / "driver" / digest
        directory.mkdir(parents=True, exist_ok=True)
        path, partial = directory / "libcuda.so.1", directory / f".{context.scratch.build}"
        partial.write_bytes(_library(package))
        partial.chmod(0o755)
        publish(partial, path)
        store.record("driver", key, {"package": digest, "sha256": file_digest(store, path)})
        return path


def _kept(store: Store, key: str) -> Path | None:
    known = store.recall("driver", key)
    if not isinstance(known, dict):
        return None
    path = store.root / "driver" / str(known.get("package")) / "libcuda.so.1"
    return path if path.exists() and file_digest(store, path) == known.get("sha256") else None


def _fetched(context: Context, chain: Chain, container_of: str | None) -> Path:
    """Download the package where APT is: in a container that goes away, with the archives' signatures."""
    suite = chain.target.distribution
    other = Repository(name="driver", suite=suite, components=("contrib", "non-free"))
    asked = f"apt-get download -qq --print-uris {_PACKAGE}"  # APT names no address of what is there already
    shell = f"{UPDATE}\ncd {ARCHIVES}\n{asked}\napt-get download -qq {_PACKAGE} >&2\n"
    started = chain.container("driver") if container_of is None else context.container(container_of, "driver")
    with started as container, private_lists(context) as lists, fetching(context) as fetched:
        debs = named_debs(ask_apt(chain, container, shell, lists, fetched, (other,)))[:1]
        if not debs:
            raise ResolveError("the package is on no mirror")
        with context.store.lock("apt", "archives"):
            keep_debs(context.store, fetched, debs)
    return archives(context.store) / file_name(debs[0])


def _library(package: Path) -> bytes:
    """Return the driver's library out of a Debian package (deb(5)): an ar archive with a tar in it."""
    with package.open("rb") as file:
        for name, size in _members(file):
            if name.startswith("data.tar"):
                data = package.with_name(f".{package.name}.data")
                try:
                    data.write_bytes(file.read(size))
                    return _from_tar(data)
                finally:
                    data.unlink(missing_ok=True)
            file.seek(size + size % 2, 1)
    raise StoreError(f"{package.name} is no Debian package", hint=f"remove {package}")


def _members(file: BinaryIO) -> Iterator[tuple[str, int]]:
    if file.read(8) != b"!<arch>\n":
        return
    while len(header := file.read(60)) == 60:
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])


def _from_tar(path: Path) -> bytes:
    with passing(path) as tar:
        for member in tar:
            if member.isreg() and _LIBRARY.fullmatch(f"/{member.name}"):
                file = tar.extractfile(member)
                return file.read() if file else b""
    raise StoreError(f"{_PACKAGE} holds no libcuda.so", hint="try again with another suite's")
