"""The argv of every outside tool, as pure functions. `buildah`'s own are for 1.28 and later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avabuild.common.value import Value


class Bind(Value):
    """A host path that a command in a container sees at `target`."""

    source: str
    target: str
    writable: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.target}:{'rw' if self.writable else 'ro'}"


# No cgroup and no OCI runtime can refuse this isolation.
_CHROOT = ("--isolation", "chroot")
# Who may change the root directory again walks out of one that chroot(2) gave.
_RUN = ("run", *_CHROOT, "--cap-drop", "CAP_SYS_CHROOT", "--network", "host")
_APT_PARTIAL = ("/var/cache/apt/archives/partial", "/var/lib/apt/lists/partial")


def pull(layout: str) -> list[str]:
    """`buildah pull` of an OCI layout, whose directory's name becomes the image's."""
    return ["pull", "--quiet", f"oci:{layout}"]


def import_layer(layer: str, parent: str) -> list[str]:
    """`containers-storage import-layer`: extract a tar on another layer, or on none."""
    return ["import-layer", "--json", "--id", layer, *([parent] if parent else [])]


def delete_layers(layers: Sequence[str]) -> list[str]:
    """`containers-storage delete-layer`: delete those that nothing uses."""
    return ["delete-layer", *layers]


def tag(image: str, name: str) -> list[str]:
    """`buildah tag`: give a local image one more name."""
    return ["tag", image, name]


def remove_images(names: Sequence[str], *, force: bool = False) -> list[str]:
    """`buildah rmi`: take names away, and images with their last ones; by `force` with their containers."""
    return ["rmi", *(["--force"] if force else []), *names]


def start(image: str, name: str, profile: str = "") -> list[str]:
    """`buildah from`: a working container on a local image; a file says what calls `run` refuses in it."""
    refused = ["--security-opt", f"seccomp={profile}"] if profile else []
    return ["from", "--pull-never", "--name", name, *_CHROOT, *refused, image]


def run(container: str, command: Sequence[str], binds: Sequence[Bind] = (), workdir: str = "/") -> list[str]:
    """`buildah run`: one command in a working container. Its environment comes by file, never here."""
    fixed = ["--user", "0:0", "--workingdir", workdir]
    return [*_RUN, *fixed, *_volumes(binds), container, "--", *command]


def run_as_image(
    container: str,
    command: Sequence[str],
    binds: Sequence[Bind] = (),
    env: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """`buildah run` with the image's own user and directory, and its environment with `env` on top."""
    variables = [flag for name, value in env for flag in ("--env", f"{name}={value}")]
    return [*_RUN, *variables, *_volumes(binds), container, "--", *command]


def _volumes(binds: Sequence[Bind]) -> list[str]:
    return [flag for bind in binds for flag in ("--volume", str(bind))]


def remove_container(name: str) -> list[str]:
    """`buildah rm`: drop a working container."""
    return ["rm", name]


def mount(container: str) -> list[str]:
    """`buildah mount`: print where a working container's file system is."""
    return ["mount", container]


def inspect(image: str) -> list[str]:
    """`buildah inspect`: what is known of a local image as JSON, its config under `OCIv1`."""
    return ["inspect", "--type", "image", image]


def inspect_container(name: str) -> list[str]:
    """`buildah inspect`: what is known of a working container as JSON, its image's config under `OCIv1`."""
    return ["inspect", "--type", "container", name]


def containers() -> list[str]:
    """`buildah containers`: all working containers as JSON."""
    return ["containers", "--json"]


def images() -> list[str]:
    """`buildah images`: names and ids of the local images as JSON."""
    return ["images", "--json", "--no-trunc"]


def info() -> list[str]:
    """`buildah info`: storage and host facts as JSON."""
    return ["info"]


def copy(source: str, destination: str, *, verify: bool = True) -> list[str]:
    """`skopeo copy` between two transports, keeping digests; `verify` is about a source's TLS."""
    trust = [] if verify else ["--src-tls-verify=false"]
    return ["copy", "--quiet", "--insecure-policy", *trust, source, destination]


def bootstrap(
    suite: str, tarball: Path, mirror: str | None, arch: str, mode: str, *, inside: bool = False
) -> list[str]:
    """`mmdebstrap`: a minimal Debian, signatures checked against the host's keyring.

    `mode` is how it comes by the rights of root: `root`, `unshare` or `fakechroot`; `inside` says that it has
    one id and may make no device. The tool's own mirror is used unless one is given. Caches and logs stay out
    of the archive by its default hooks. SOURCE_DATE_EPOCH in the environment makes two runs alike, and so
    does giving APT's two directories to its user: the tool leaves them to root below a TMPDIR that APT's
    user can't enter. Quietly it would not say why it failed.
    """
    flags = [f"--mode={mode}", "--variant=minbase", f"--architectures={arch}", "--include=ca-certificates"]
    flags.append(f'--customize-hook=chroot "$1" chown _apt {" ".join(_APT_PARTIAL)}')
    if inside:
        flags += ["--skip=chroot/mount/dev", '--aptopt=APT::Sandbox::User "root"']
    return [*flags, suite, str(tarball), *([mirror] if mirror else [])]


def inspect_manifest(source: str) -> list[str]:
    """`skopeo inspect --raw`: an image's manifest, byte for byte."""
    return ["inspect", "--raw", source]


def inspect_config(source: str) -> list[str]:
    """`skopeo inspect --config`: an image's config; of an image for several machines that for this one."""
    return ["inspect", "--config", "--raw", source]


def push(image: str, destination: str) -> list[str]:
    """`buildah push`: write a local image elsewhere."""
    return ["push", "--quiet", image, destination]
