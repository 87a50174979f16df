"""Plan: base, ordered steps and config for one target; pure data, complete, printable."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import Field

from avabuild.common.value import Value
from avabuild.plugins.kinds import Apt, Compile, Files, Layer, Libraries, Python, Run
from avabuild.plugins.target import Target
from avabuild.recipe import Base, Offer
from avabuild.resolve.lock import Distribution, request_digest
from avabuild.store.oci import Settings

Kind_co = TypeVar("Kind_co", bound=Layer, covariant=True)


class Step(Value, Generic[Kind_co]):
    """One layer that a framework, a policy or the recipe asks for, of one kind: `Step[Apt]`.

    Attributes:
        name: unique in its plan; what a person is shown (`apt: frameworks`).
        layer: what to have.
        origins: who asked: framework names, `recipe`, or `avabuild` itself.
    """

    name: str
    layer: Kind_co
    origins: tuple[str, ...]


class Chosen(Value):
    """A framework of the image: the release series that was picked, its plugin, and who asked for it."""

    name: str
    series: str
    distribution: str
    version: str
    required_by: tuple[str, ...] = ()


class Ruled(Value):
    """A policy that was asked: its plugin, and what it added, in words."""

    name: str
    distribution: str
    version: str
    did: tuple[str, ...] = ()


class Check(Value):
    """A Python program that proves a framework works."""

    framework: str
    program: str


class Plan(Value):
    """All that decides an image of one target, before anything is resolved.

    Attributes:
        name: the recipe's name, the image's repository.
        tag: the image's tag.
        base: what it stands on.
        base_offer: by which plugin the recipe came to that, None where it is the recipe's own words.
        target: the point of the matrix.
        system: run steps on the bare base.
        apt: packages of the frameworks, then in `apt_extra` those of the recipe.
        python: requirements of the frameworks; `python_extra` those of the recipe.
        compiled: what stages compile.
        files: files of plugins and recipe, in order.
        last: run steps on top of everything.
        settings: the image config's part.
        frameworks: what was chosen.
        checks: one per framework.
        policies: those that were in force, in the order of names.
        warnings: what policies warn of: the place in the recipe, who, and why.
        index: the package index that a policy has everything come from, None for the host's own.
        python_origins: who asked for each requirement and lone pin of `python`.
        common: the frameworks that are the same for every device, so that many images have their packages.
        constraints: what limits versions without asking for a package.
        constraint_origins: who asked for each of `constraints`: framework names or `recipe`.
        local: the recipe's own wheels and sdists, by path, with the sha256 of their content.
        without: series that the resolver refused, as `keras 3.15`, so that others were chosen; the lock keeps
            them.
        read: other files, as the recipe or a plugin names them, whose content is in the plan: keys.
        libraries: what has to be in the image, by who says so.
        linkage: what a missing library does: `error` fails the build, `warn` tells, `off` doesn't look.
        keep_secrets: patterns of paths of private keys and ids that steps make and that layers may hold.
        build_network: the projects whose sources are built with the network.
        bytecode: whether Python modules are compiled beforehand.
        compression: of the layers.
    """

    name: str
    tag: str
    base: Base
    base_offer: Offer | None = None
    target: Target
    system: tuple[Step[Run], ...] = ()
    apt: Step[Apt] | None = None
    python: Step[Python] | None = None
    python_extra: Step[Python] | None = None
    compiled: tuple[Step[Compile], ...] = ()
    apt_extra: Step[Apt] | None = None
    files: tuple[Step[Files], ...] = ()
    last: tuple[Step[Run], ...] = ()
    settings: Settings = Settings()
    frameworks: tuple[Chosen, ...] = ()
    checks: tuple[Check, ...] = ()
    policies: tuple[Ruled, ...] = ()
    warnings: tuple[str, ...] = ()
    index: str | None = None
    python_origins: tuple[tuple[str, tuple[str, ...]], ...] = ()
    common: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    constraint_origins: tuple[tuple[str, ...], ...] = ()
    local: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = Field(default=(), exclude=True)
    read: tuple[str, ...] = ()
    libraries: tuple[tuple[str, Libraries], ...] = ()
    linkage: Literal["error", "warn", "off"] = "error"
    keep_secrets: tuple[str, ...] = ()
    build_network: tuple[str, ...] = ()
    bytecode: bool = True
    compression: Literal["gzip", "zstd"] = "gzip"

    @property
    def steps(self) -> tuple[Step[Layer], ...]:
        """Every step in the order of the image's layers, lowest first."""
        middle = (self.apt, self.python, self.python_extra, *self.compiled, self.apt_extra)
        return (*self.system, *(step for step in middle if step), *self.files, *self.last)

    @property
    def reference(self) -> str:
        """The image's name in the local storage."""
        return f"localhost/{self.name}:{self.tag}"

    @property
    def apt_steps(self) -> tuple[Step[Apt], ...]:
        """The steps that install packages of the distribution, lowest first."""
        return tuple(step for step in (self.apt, self.apt_extra) if step)

    @property
    def apt_names(self) -> tuple[str, ...]:
        """The packages of the distribution that are asked for by name."""
        return tuple(name for step in self.apt_steps for name in step.layer.packages)

    @property
    def requirements(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The requirements of the frameworks, and those of the recipe's own packages."""
        pair = (self.python, self.python_extra)
        mine, extra = (step.layer.requirements if step else () for step in pair)
        return mine, extra

    @property
    def alone(self) -> tuple[str, ...]:
        """The pins of the frameworks that are installed without what they need."""
        return self.python.layer.alone if self.python else ()

    @property
    def preferred(self) -> tuple[str, ...]:
        """The pins of the frameworks that hold where nothing else wants another version."""
        return self.python.layer.preferred if self.python else ()

    @property
    def request_lines(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """All that a resolver is asked, in words: for the frameworks, and for the recipe."""
        mine, extra = self.requirements
        constrained = [f"constraint {text}" for text in self.constraints]
        constrained += [f"alone {text}" for text in self.alone]
        constrained += [f"preferred {text}" for text in self.preferred]
        constrained += [f"{text} by {name}" for text, names in self.python_origins for name in names]
        constrained += [f"network for {name}" for name in self.build_network]
        local = (f"{path} sha256:{digest}" for path, digest in self.local)
        return (*mine, *constrained), (*extra, *local)

    @property
    def request_digest(self) -> str:
        """The digest of the request and of its platform: a lock with an equal one still holds."""
        target = self.target
        return request_digest(*self.request_lines, target.python or "", target.arch, target.glibc)

    @property
    def plugins(self) -> tuple[Distribution, ...]:
        """The plugin distributions behind the frameworks, the base and the policies."""
        offers = [self.base_offer] if self.base_offer else []
        frameworks = sorted(self.frameworks, key=lambda one: one.name)
        return (
            *(Distribution(framework=f.name, name=f.distribution, version=f.version) for f in frameworks),
            *(Distribution(base=one.name, name=one.distribution, version=one.version) for one in offers),
            *(Distribution(policy=p.name, name=p.distribution, version=p.version) for p in self.policies),
        )
