"""A plugin as contract 1 of avabuild has them, with everything that it has. Never edited: see test_contracts.py."""

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
    Device,
    Download,
    Draft,
    Env,
    File,
    Files,
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
    driver_minimum,
    hookimpl,
)

AVABUILD_CONTRACT = 1

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
        raise Impossible(f"level {request.options.level} can't be had", "take a lower one")
    updates = Repository(name="frozen", suite=f"{target.distribution}-updates", components=("main",))
    yield Apt(packages=("frozen-tool",), repositories=(updates,))
    yield Python(
        requirements=(f"idna{request.requirement}",),
        alone=("frozen-alone==1.2",),
        constraints=("frozen-limit<2",),
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
    yield Libraries(sonames=("libfrozen.so.1",), where="image", hint="it is compiled")


def check(request: Request) -> str:
    others = ",".join(f"{name}={release.version}" for name, release in sorted(request.others.items()))
    return f"print({request.release.version!r}, {others!r}, {request.target.python!r})"


def amend(draft: Draft) -> Iterator[object]:
    if draft.offered != "frozen" or draft.base != {"debian": "bookworm"}:
        yield Refuse(reason="stand on the frozen base", where="base")
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
            summary="everything of contract 1",
            releases=(
                Release(
                    version="3.4",
                    pythons=("3.11",),
                    devices=("cpu", "cuda12.5-cudnn9.3"),
                    note="the newest",
                    constraints=('frozen-old<1; python_version < "3.12"',),
                    apt=("libfrozen1",),
                    distributions=("bookworm",),
                ),
                Release(version="1.0", pythons=("3.9",), devices=("any",)),
            ),
            layers=layers,
            check=check,
            options=FrozenOptions,
            requires=lambda options: ("jupyterlab",) if "lab" in options.words else (),
            source="this file",
            checked="2026-11-24",
        )
    ]


@hookimpl
def avabuild_policies() -> Iterator[Policy]:
    yield Policy(name="frozen", summary="a policy of contract 1", amend=amend)


@hookimpl
def avabuild_bases() -> Iterator[OfferedBase]:
    yield OfferedBase(
        name="frozen",
        summary="a base of contract 1",
        options=Frozen,
        resolve=lambda options: {"debian": options.frozen},
    )
