"""The ways to build: avabuild, and Containerfiles under `buildah build --layers`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from bench.measure import Cost, run
from bench.table import OURS
from bench.variant import BASE, PASSED, Variant, base_recipe, containerfile, recipe, requirements

WAYS = (OURS, "pip", "uv")
AVABUILD = Path(sys.executable).with_name("avabuild")
_CA = "/run/bench-ca.pem"


@dataclass(frozen=True, slots=True)
class Avabuild:
    """avabuild's command, with cache, storage and temporary files under `place`."""

    place: Path
    log: Path

    def prepare(self, base: Path) -> None:
        """Bring the root file system `base` into cache and storage."""
        for name in ("tmp", "recipe"):
            (self.place / name).mkdir(parents=True)
        (self.place / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\n'
            f'graphroot = "{self.place}/store"\nrunroot = "{self.place}/run"\n',
            encoding="utf-8",
        )
        (self.place / "recipe" / "base.tar").symlink_to(base)
        self._recipe(base_recipe(), "base.toml")

    def build(self, variant: Variant) -> Cost:
        """Build to the local storage."""
        return self._recipe(recipe(variant), "bench.toml")

    def export(self, variant: Variant) -> Cost:
        """Build to a compressed OCI layout."""
        return self._recipe(recipe(variant), "bench.toml", "--output", f"oci:{self.place}/layout")

    def _recipe(self, text: str, name: str, *flags: str) -> Cost:
        (self.place / "recipe" / name).write_text(text, encoding="utf-8")
        return self.run(name, *flags)

    def run(self, *words: str) -> Cost:
        """Run `avabuild recipe` with `words` beside the recipes."""
        env = {
            "AVABUILD_CACHE": f"{self.place}/cache",
            "XDG_CACHE_HOME": f"{self.place}/xdg",
            "CONTAINERS_STORAGE_CONF": f"{self.place}/storage.conf",
            "TMPDIR": f"{self.place}/tmp",
        }
        # Without the check: the Containerfiles prove nothing either.
        argv = [str(AVABUILD), "recipe", *words, "--no-check"]
        return run(argv, self.log, env, self.place / "recipe")


@dataclass(frozen=True, slots=True)
class Containerfile:
    """A Containerfile for `installer` (`pip` or `uv`); storage and cache mounts are under `place`."""

    installer: str
    place: Path
    log: Path

    def prepare(self, base: Path) -> None:
        """Bring the root file system `base` into the storage, and the uv binary into the build context."""
        for name in ("tmp", "context"):
            (self.place / name).mkdir(parents=True)
        self.buildah("from", "--name", "bench-base", "scratch")
        self.buildah("add", "--quiet", "bench-base", str(base), "/")
        self.buildah("commit", "--quiet", "--rm", "bench-base", BASE)
        if self.installer == "uv":
            shutil.copy2(uv.find_uv_bin(), self.place / "context" / "uv")

    def build(self, variant: Variant) -> Cost:
        """Build to the storage."""
        context = self.place / "context"
        (context / "Containerfile").write_text(containerfile(self.installer, variant), encoding="utf-8")
        (context / "requirements.txt").write_text(requirements(variant), encoding="utf-8")
        flags = ["--layers", "--isolation", "chroot", "--network", "host", "--pull-never"]
        return self.buildah(
            "build", *flags, *host_settings(os.environ), "--tag", "localhost/bench", str(context)
        )

    def export(self, variant: Variant) -> Cost:
        """Build, then push to a compressed OCI layout: buildah has no shorter way there."""
        return self.build(variant) + self.buildah(
            "push", "--quiet", "localhost/bench", f"oci:{self.place}/layout:bench"
        )

    def buildah(self, *argv: str) -> Cost:
        """Run buildah on the storage of this place."""
        storage = [
            "--root",
            f"{self.place}/store",
            "--runroot",
            f"{self.place}/run",
            "--storage-driver",
            "overlay",
        ]
        # buildah keeps what is in cache mounts under TMPDIR.
        return run(["buildah", *storage, *argv], self.log, {"TMPDIR": f"{self.place}/tmp"})


def way(name: str, place: Path, log: Path) -> Avabuild | Containerfile:
    """Return the way called `name`, one of WAYS."""
    return Avabuild(place, log) if name == OURS else Containerfile(name, place, log)


def host_settings(environ: Mapping[str, str]) -> list[str]:
    """Return the flags of `buildah build` that hand this host's certificates and indexes to the steps."""
    given = {name: environ[name] for name in PASSED if environ.get(name)}
    bundle = given.get("SSL_CERT_FILE") or given.get("PIP_CERT")
    if bundle:
        given |= {"SSL_CERT_FILE": _CA, "PIP_CERT": _CA}
    mount = ["--volume", f"{bundle}:{_CA}:ro"] if bundle else []
    return [*mount, *(flag for name, value in given.items() for flag in ("--build-arg", f"{name}={value}"))]


def remove(place: Path) -> None:
    """Delete a place; buildah leaves its storage mounted on itself."""
    for mounted in (place / "store" / "overlay", place / "store"):
        if mounted.is_mount():
            subprocess.run(["umount", str(mounted)], check=True)
    shutil.rmtree(place)
