"""A plugin as contract 2 of avabuild has them, with everything that it has. Never edited: see test_contracts.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from avabuild.api import (
    CONTRACT,
    Apt,
    BaseOptions,
    Compile,
    DebianSource,
    Defaults,
    Device,
    Download,
    Draft,
    Env,
    File,
    Files,
    ForDevice,
    Framework,
    Impossible,
    Index,
    Label,
    Libraries,
    Mount,
    OfferedBase,
    Options,
    Policy,
    ProjectFile,
    Python,
    Refuse,
    Release,
    Repository,
    Request,
    Run,
    SourceFile,
    Target,
    Wanted,
    Warn,
    driver_minimum,
    hookimpl,
)

AVABUILD_CONTRACT = 2

ZEROS = "0" * 64


class FrozenOptions(Options):
    """Options with every type that a recipe can write."""

    words: tuple[str, ...] = Field(default=(), description="some words")
    level: int = Field(default=1, description="how much")
    flavour: Literal["plain", "rich"] = Field(default="plain", description="which")

    def allows(self, release: Release) -> bool:
        return super().allows(release) and not (self.flavour == "rich" and release.version == "1.0")


def layers(request: Request) -> Iterator[object]:
    target: Target = request.target
    if request.options.level > 99:
        raise Impossible(f"level {request.options.level} is not available", "take a lower one")
    updates = Repository(name="frozen", suite=f"{target.distribution}-updates", components=("main",))
    yield Apt(packages=("frozen-tool",), repositories=(updates,))
    yield Python(
        requirements=(f"idna{request.requirement}",),
        alone=("frozen-alone==1.2",),
        constraints=("frozen-limit<2",),
        preferred=("idna==3.4.1", "frozen-preferred==5"),
    )
    yield Files(
        files=(
            File(target="/etc/frozen", content=f"level {request.options.level}\n", mode="0644", owner="0:0"),
            File(target="/opt/frozen/", source="/nowhere", only=("*.so",)),
        )
    )
    mount = Mount(source="/nowhere", target="/mnt", writable=False)
    yield Run(shell="true", stage="system", env=(("A", "b"),), secrets=("TOKEN",), mounts=(mount,))
    source = SourceFile(filename="frozen_1.dsc", sha256=ZEROS)
    yield Compile(
        name="frozen",
        shell="make install DESTDIR=$OUT",
        packages=("gcc",),
        requirements=("cython==3.0.11",),
        sources=(
            Download(url="https://example.invalid/frozen.tar.gz", sha256=ZEROS),
            DebianSource(name="frozen", version="1", suite="bookworm", files=(source,)),
            ProjectFile(name="frozen", version="1", filename="frozen-1.tar.gz", sha256=ZEROS),
        ),
        env=(("LC_ALL", "C"),),
        distribution="bookworm",
    )
    where = f"{request.site_packages}/frozen"
    yield Env(
        variables=(("FROZEN_HOME", where), ("FROZEN_PATH", "/opt/frozen")), library_path=("/opt/frozen",)
    )
    yield Defaults(cmd=("frozen", "--serve"), ports=("8080", "53/udp"), workdir="/srv")
    yield Libraries(sonames=("libfrozen.so.1",), where="image", hint="it is compiled")


def check(request: Request) -> str:
    others = ",".join(f"{name}={release.version}" for name, release in sorted(request.others.items()))
    return f"print({request.release.version!r}, {others!r}, {request.target.python!r})"


def requires(options: FrozenOptions, wanted: Wanted) -> tuple[str, ...]:
    lab = wanted.target.device.cuda is None and "frozen" in wanted.frameworks
    return ("jupyterlab",) if lab and "lab" in options.words else ()


def amend(draft: Draft) -> Iterator[object]:
    if draft.offered != "frozen" or draft.base != {"debian": "bookworm"}:
        yield Refuse(reason="stand on the frozen base", where="base")
    yield Warn(reason="it is frozen", where="frameworks.frozen")
    yield Label(name="frozen.image", value=f"{draft.name}:{draft.tag}")
    yield Label(name="frozen.seen", value=" ".join([*draft.frameworks, str(len(draft.run)), str(draft.user)]))
    yield Index(url="https://packages.example.invalid/simple")
    yield Apt(packages=("ca-certificates",))
    yield Python(constraints=("idna<4",))
    yield Files(files=(File(target="/etc/frozen-policy", content="\n".join(draft.apt + draft.python)),))
    yield Env(
        variables=(("FROZEN_SITE", draft.env.get("FROZEN_HOME", "") + draft.labels.get("none", "none")),)
    )


class Frozen(BaseOptions):
    frozen: Literal["bookworm"] = Field(description="the release")
    extra: bool = False


@hookimpl
def avabuild_frameworks() -> list[Framework]:
    assert CONTRACT >= AVABUILD_CONTRACT
    assert driver_minimum(Device.parse("cuda12.5").cuda or "")
    return [
        Framework(
            name="frozen",
            summary="everything of contract 2",
            releases=(
                Release(
                    version="3.4",
                    pythons=("3.11",),
                    devices=("cpu", "cuda12"),
                    note="the newest",
                    constraints=('frozen-old<1; python_version < "3.12"',),
                    apt=("libfrozen1",),
                    distributions=("bookworm",),
                    by_device=(
                        ForDevice(device="cpu", constraints=("frozen-cpu<3",), apt=("libfrozen-cpu",)),
                        ForDevice(device="cuda12", constraints=("frozen-cuda<3",), apt=("libfrozen-cuda",)),
                    ),
                ),
                Release(version="1.0", pythons=("3.9",), devices=("any",)),
            ),
            layers=layers,
            check=check,
            options=FrozenOptions,
            requires=requires,
            source="this file",
            checked="2026-12-01",
        )
    ]


@hookimpl
def avabuild_policies() -> list[Policy]:
    return [Policy(name="frozen", summary="everything of contract 2", amend=amend)]


@hookimpl
def avabuild_bases() -> list[OfferedBase]:
    resolve = lambda options: {"debian": options.frozen}
    return [OfferedBase(name="frozen", summary="the frozen base", options=Frozen, resolve=resolve)]
