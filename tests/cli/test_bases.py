"""Bases as `plan` meets them: of other machines, of several, in registries, and out of reach."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from avabuild.store import oci as image

HERE, ELSEWHERE = "amd64", "arm64"
ELF = {HERE: 62, ELSEWHERE: 183}
Files = Mapping[str, bytes]


@pytest.fixture(autouse=True)
def machine() -> None:
    import platform

    assert platform.machine() == "x86_64", "these tests know one machine from another by its name"


def tar_of(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def elf(arch: str) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(12) + ELF[arch].to_bytes(2, "little") + bytes(44)


def root_of(arch: str, suite: str = "bookworm") -> Files:
    release = f"ID=debian\nVERSION_CODENAME={suite}\n".encode()
    return {"etc/os-release": release, "usr/bin/python3.11": elf(arch), "bin/sh": elf(arch)}


class Made:
    """An image of one layer for a machine, as blobs by digest."""

    def __init__(self, arch: str, suite: str = "bookworm", **config: Any) -> None:
        self.arch = arch
        tar = tar_of(root_of(arch, suite))
        self.layer = gzip.compress(tar, mtime=0)
        diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()
        self.config = image.encode(
            {"architecture": arch, "os": "linux", "config": {},
             "rootfs": {"type": "layers", "diff_ids": [diff_id]}, **config}
        )  # fmt: skip
        described = image.descriptor(f"{image.TAR}+gzip", self.layer)
        self.manifest = image.encode(image.manifest(self.config, [described], {}))

    @property
    def blobs(self) -> Sequence[bytes]:
        return self.layer, self.config, self.manifest

    def entry(self, *, platform: bool = True) -> dict[str, Any]:
        entry = image.descriptor(image.MANIFEST, self.manifest)
        return {**entry, "platform": {"architecture": self.arch, "os": "linux"}} if platform else entry


def oci_archive(path: Path, *made: Made, platform: bool = True) -> None:
    blobs = {hashlib.sha256(data).hexdigest(): data for one in made for data in one.blobs}
    index = {
        "schemaVersion": 2,
        "mediaType": image.INDEX,
        "manifests": [one.entry(platform=platform) for one in made],
    }
    files = {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    layout = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": image.encode(index)}
    path.write_bytes(tar_of({**layout, **files}))


def nested_archive(path: Path, *made: Made) -> None:
    """Write what buildx does: an index of one index, and what is no image beside the images."""
    attestation = Made(HERE, "sid")
    unknown = {**attestation.entry(), "platform": {"architecture": "unknown", "os": "unknown"}}
    inner = image.encode(
        {"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [unknown, *(one.entry() for one in made)]}
    )
    blobs = {hashlib.sha256(data).hexdigest(): data for one in (*made, attestation) for data in one.blobs}
    blobs[hashlib.sha256(inner).hexdigest()] = inner
    outer = {
        "schemaVersion": 2,
        "mediaType": image.INDEX,
        "manifests": [image.descriptor(image.INDEX, inner)],
    }
    layout = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": image.encode(outer)}
    path.write_bytes(tar_of({**layout, **{f"blobs/sha256/{name}": data for name, data in blobs.items()}}))


def docker_archive(path: Path, *made: Made) -> None:
    files, listed = {}, []
    for number, one in enumerate(made):
        files |= {f"{number}.json": one.config, f"{number}.tar": one.layer}
        listed.append(
            {"Config": f"{number}.json", "RepoTags": [f"mine:{one.arch}"], "Layers": [f"{number}.tar"]}
        )
    path.write_bytes(tar_of({"manifest.json": json.dumps(listed).encode(), **files}))


def rootfs(path: Path, *made: Made) -> None:
    path.write_bytes(tar_of(root_of(made[0].arch)))


RECIPE = 'name = "mine"\nbase = {{ {base} }}\n[matrix]\npython = ["3.11"]\n'


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, environment: dict[str, str]) -> None:
    """The one wheel that every environment has, and no index."""
    directory = tmp_path / "wheels"
    directory.mkdir()
    files = {
        "METADATA": "Metadata-Version: 2.1\nName: pip\nVersion: 26.0\n",
        "WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(directory / "pip-26.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"pip-26.0.dist-info/{name}", text)
    environment.pop("UV_DEFAULT_INDEX")
    environment |= {"PIP_FIND_LINKS": str(directory), "PIP_NO_INDEX": "1"}


@pytest.fixture
def planned(avabuild, tmp_path: Path) -> Callable[..., Any]:
    def plan(base: str, *options: str, command: str = "plan", **variables: str) -> Any:
        (tmp_path / "mine.toml").write_text(RECIPE.format(base=base))
        return avabuild(command, "mine.toml", *options, **variables)

    return plan


@pytest.mark.parametrize("write", [oci_archive, docker_archive, rootfs])
def test_an_archive_for_another_machine_is_refused_in_a_plan(planned, tmp_path, write):
    write(tmp_path / "base.tar", Made(ELSEWHERE))
    said = planned('archive = "base.tar"')
    assert said.returncode == 4, said.stderr
    assert "mine.toml:2" in said.stderr
    assert "the base is for arm64 machines, and this one is amd64" in said.stderr
    assert planned('archive = "base.tar"').returncode == 4, "and so it is when the base is known"
    write(tmp_path / "base.tar", Made(HERE))
    assert planned('archive = "base.tar"').returncode == 0


@pytest.mark.parametrize("platform", [True, False])
def test_of_an_archive_for_several_machines_this_one_s_image_is_taken(planned, tmp_path, platform):
    def archive(path: Path, *made: Made) -> None:
        oci_archive(path, *made, platform=platform)

    for write in (archive, docker_archive, nested_archive):
        for made in ((Made(ELSEWHERE), Made(HERE, "trixie")), (Made(HERE, "trixie"), Made(ELSEWHERE))):
            write(tmp_path / "base.tar", *made)
            said = planned('archive = "base.tar"', "--json")
            assert said.returncode == 0, said.stderr
            (plan,) = json.loads(said.stdout)
            assert plan["target"]["distribution"] == "trixie"


def test_an_archive_of_several_images_for_this_machine_or_of_none_says_which(planned, tmp_path):
    nested_archive(tmp_path / "base.tar", Made(ELSEWHERE))
    said = planned('archive = "base.tar"')
    assert (said.returncode, "base.tar is not for x86_64" in said.stderr) == (4, True), said.stderr
    docker_archive(tmp_path / "base.tar", Made(HERE), Made(HERE, "trixie"))
    said = planned('archive = "base.tar"')
    assert (said.returncode, "holds 2 images for amd64: mine:amd64, mine:amd64" in said.stderr) == (2, True)
    oci_archive(tmp_path / "base.tar", Made(ELSEWHERE), Made(ELSEWHERE, "trixie"))
    said = planned('archive = "base.tar"')
    assert (said.returncode, "holds images for arm64, and none for amd64" in said.stderr) == (2, True)


@pytest.mark.parametrize("rootfs", [None, [1], {}, {"diff_ids": []}, {"diff_ids": 1}, {"diff_ids": [1]}])
def test_an_image_whose_config_is_none_of_its_layers_is_no_base(planned, tmp_path, rootfs):
    oci_archive(tmp_path / "base.tar", Made(HERE, rootfs=rootfs))
    for _ in range(2):
        said = planned('archive = "base.tar"')
        assert (said.returncode, "base.tar is not an image to build on" in said.stderr) == (14, True), (
            said.stderr
        )


def test_an_interpreter_that_only_root_can_reach_is_refused_in_a_plan(planned, tmp_path):
    with tarfile.open(tmp_path / "base.tar", "w") as tar:
        for name, kind, mode, link in (
            ("root", tarfile.DIRTYPE, 0o700, ""),
            ("root/python", tarfile.REGTYPE, 0o755, ""),
            ("usr/bin/python3.11", tarfile.SYMTYPE, 0o777, "/root/python"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, mode, link
            tar.addfile(info)
    said = planned('archive = "base.tar"')
    assert said.returncode == 4
    assert "/usr/bin/python3.11 leads to /root/python: /root lets only its owner in" in said.stderr


# -- registries -----------------------------------------------------------------------------------------------


@pytest.fixture
def plain_registry(make_distribution) -> Any:
    """A registry without TLS and passwords, on IPv4 and IPv6."""
    made = make_distribution(certificate="", auth={})
    made.settings = {"http": {"addr": f":{made.port}"}}
    made.start()
    return made


def upload(registry: Any, name: str, made: Made) -> str:
    """Push an image to a registry without TLS; return its digest."""
    import httpx

    with httpx.Client(base_url=f"http://{registry.host}/v2/{name}/", trust_env=False) as client:
        for data in (made.layer, made.config):
            where = client.post("blobs/uploads/").headers["Location"]
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            url = httpx.URL(where).copy_merge_params({"digest": digest})
            client.put(url, content=data).raise_for_status()
        kind = {"Content-Type": image.MANIFEST}
        client.put("manifests/one", content=made.manifest, headers=kind).raise_for_status()
    return "sha256:" + hashlib.sha256(made.manifest).hexdigest()


def test_a_base_is_pulled_by_tag_and_digest_from_a_registry_that_is_let_off(planned, plain_registry):
    digest = upload(plain_registry, "base", Made(HERE))
    base = f'image = "{plain_registry.host}/base:one@{digest}"'
    refused = planned(base)
    assert "is not available here" in refused.stderr
    for command in ("plan", "lock"):
        said = planned(base, "--insecure", command=command)
        assert (said.returncode, "is not available" in said.stderr) == (0, False), said.stderr
    assert digest[:19] in planned(base).stdout, "it is here now, and is no longer asked for"


def test_a_base_is_pulled_from_a_registry_by_its_ipv6_address(planned, plain_registry):
    digest = upload(plain_registry, "base", Made(HERE))
    said = planned(f'image = "[::1]:{plain_registry.port}/base:one"', "--insecure")
    assert (said.returncode, said.stderr) == (0, "")
    assert digest[:19] in said.stdout


def test_an_image_for_another_machine_is_refused_in_a_plan(planned, plain_registry):
    upload(plain_registry, "base", Made(ELSEWHERE))
    for host in (plain_registry.host, f"[::1]:{plain_registry.port}"):
        said = planned(f'image = "{host}/base:one"', "--insecure")
        assert (said.returncode, "is for arm64 machines" in said.stderr) == (4, True), said.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python:3.11-slim-bookworm", "planning from its name alone"),
        ("debian:12", "planning from its name alone"),
        ("mine/what:1", "planning from the Pythons that the recipe names"),
    ],
)
def test_a_plan_goes_by_name_where_a_registry_shows_nothing(planned, name, words):
    said = planned(f'image = "127.0.0.1:9/{name}"')
    assert said.returncode == 0, said.stderr
    assert words in said.stderr


def test_a_digest_is_no_name_to_push_to(avabuild):
    digest = "sha256:" + "0" * 64
    for command in ("push", "tag"):
        for name in (f"registry.example/x@{digest}", f"registry.example/x:y@{digest}"):
            said = avabuild(command, "nothing-here", name)
            assert (said.returncode, "names a digest" in said.stderr.replace("\n", " ")) == (2, True)
