"""The closed set of layer kinds: what a plugin or a recipe may ask to have in an image.

A kind is data. Nothing here says how it is made; that is the engine's, which is why a plugin that needs a
new verb asks for a new kind instead of passing a callable.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from packaging.requirements import Requirement
from pydantic import AfterValidator, Field, model_validator

from avabuild.common.addresses import refuse_login, refuse_login_in_shell
from avabuild.common.value import Value
from avabuild.plugins.sources import DebianSource, Source, SourceFile, Word

Mode = Annotated[str, Field(pattern=r"^0?[0-7]{3,4}$")]
OWNER = re.compile(r"[0-9]+(:[0-9]+)?")
WHITEOUT = ".wh."  # how a layer says that a file below is gone (OCI image-spec, layer.md)
_LAST_ID = (1 << 32) - 2  # the kernel's; one more means "as it is", and what is above begins at root again
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
GIVEN_TO_COMPILES = ("OUT", "SOURCES", "JOBS", "PYTHON", "SITE")


def checked_owner(text: str) -> str:
    """Return `text`, numeric ids; ValueError when the kernel has no such owner."""
    if not OWNER.fullmatch(text) or any(
        int(part.lstrip("0")[:11] or "0") > _LAST_ID for part in text.split(":")
    ):
        raise ValueError(f'"{text[:40]}" is no owner: the highest id is {_LAST_ID}')
    return text


def checked_target(text: str) -> str:
    """Return `text`, a path of an image; ValueError when a part of it means that a file is to vanish."""
    if any(part.startswith(WHITEOUT) for part in text.split("/")):
        raise ValueError(f'"{text}" has the name of a whiteout, which would remove files of the image')
    return text


Owner = Annotated[str, Field(pattern=r"^[0-9]+(:[0-9]+)?$"), AfterValidator(checked_owner)]


def _is_pin(text: str) -> str:
    pins = tuple(Requirement(text).specifier)
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith(".*"):
        raise ValueError(f'"{text}" is no exact pin; write name==version')
    return text


class Repository(Value):
    """An APT repository beside the distribution's own, for one apt layer; the image never holds it.

    Attributes:
        name: lower-case word; what the lock and messages call it.
        suite: the distribution in the repository (`bookworm`), or for a flat one its directory: `/`.
        components: `("main",)`, or none for a flat repository.
        uri: where it is: http, https or `file:`; None for the distribution's own mirror, for its other
            suites and components.
        key: the public key that signs it: its ASCII armour, or a file's path. None with the distribution's
            own mirror, whose key the base has.
        fingerprint: of that key, 40 hex digits: a key that has another is refused. Empty takes the key's own.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    suite: Annotated[str, Field(pattern=r"^[^\s,#]+$")]
    components: tuple[Annotated[str, Field(pattern=r"^[^\s,#]+$")], ...] = ("main",)
    uri: Annotated[str, Field(pattern=r"^(https?://|file:/)\S+$"), AfterValidator(refuse_login)] | None = None
    key: str | None = None
    fingerprint: Annotated[str, Field(pattern=r"^([0-9A-F]{40})?$")] = ""

    @model_validator(mode="after")
    def _has_a_key(self) -> Repository:
        if (self.uri is None) != (self.key is None):
            what = "needs the key that signs it" if self.key is None else "has a key, so it needs a uri"
            raise ValueError(f"the repository {self.name} {what}")
        if self.suite.endswith("/") == bool(self.components):
            what = "is flat and has no components" if self.components else "needs its components"
            raise ValueError(f"the repository {self.name} {what}")
        return self

    @property
    def identity(self) -> str:
        """What it is, wherever it is: equal ones serve what one key has signed for one suite."""
        signed = self.fingerprint or "the distribution's own key"
        return " ".join([self.name, self.suite, *sorted(self.components), f"({signed})"])


class Apt(Value):
    """Packages of the base's distribution and of `repositories`, installed without recommended ones.

    Attributes:
        packages: their names, as APT takes them: `libgomp1`, `g++-12`, `libcudnn8=8.1.*+cuda11.2`.
        repositories: APT repositories that have some of them, beside the distribution's own.
    """

    kind: Literal["apt"] = "apt"
    packages: tuple[str, ...]
    repositories: tuple[Repository, ...] = ()

    @property
    def identities(self) -> tuple[str, ...]:
        """What tells the repositories from others, sorted."""
        return tuple(sorted(one.identity for one in self.repositories))


class Python(Value):
    """Python requirements (PEP 508), resolved together with every other framework's.

    Attributes:
        requirements: what is wanted, with all that it needs.
        alone: exact pins (`ava-sdk==0.1.3`) that are installed without what they say they need, and have no
            part in the resolution: for packages whose metadata can't be met.
        constraints: requirements that limit versions without asking for a package.
        preferred: exact pins of what is among the requirements, or comes with them, that hold where nothing
            else in the image wants another version; they ask for nothing.
    """

    kind: Literal["python"] = "python"
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()


class File(Value):
    """One file, or a directory's whole content, put at `target`.

    Attributes:
        target: absolute path in the image; a trailing `/` means "into this directory".
        source: absolute path on the host, or None when `content` is given.
        content: the text of the file itself, or None.
        mode: octal permission bits, or None to keep the executable bit and nothing else.
        owner: numeric `UID` or `UID:GID`.
        only: shell patterns of names; of a directory, only its own files and links with such a name are
            taken, and nothing below it. None takes all.
        exclude: patterns of what is left out of a directory, relative to it, as of .dockerignore (since
            contract 2).
    """

    target: Annotated[str, AfterValidator(checked_target)]
    source: str | None = None
    content: str | None = None
    mode: Mode | None = None
    owner: Owner = "0:0"
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Files(Value):
    """Files of the recipe or the plugin, streamed into a layer without a container.

    Attributes:
        files: in the order in which they are put there; later ones win.
    """

    kind: Literal["files"] = "files"
    files: tuple[File, ...]


class Mount(Value):
    """A host directory or file that one run step sees, and the image never holds.

    Attributes:
        source: absolute path on the host.
        target: absolute path in the step.
        writable: whether the step may change what is there.
    """

    source: str
    target: str
    writable: bool = False


class Run(Value):
    """A shell command that runs as root in a working container.

    Attributes:
        shell: the text given to `sh -ec`.
        stage: `system` runs on the base before any package; `last` on top of everything.
        env: variables of this step alone; they never reach the image's config.
        secrets: names of host environment variables passed to this step alone, never stored or logged.
        mounts: host paths this step sees.
        network: the host's, or none but a loopback device.
        privileges: `userns` for user namespaces of its own, and what can be done in them.
        timeout: seconds after which the step is stopped and the build fails.
    """

    kind: Literal["run"] = "run"
    shell: Annotated[str, AfterValidator(refuse_login_in_shell)]
    stage: Literal["system", "last"] = "last"
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: Literal["host", "none"] = "host"
    privileges: tuple[Literal["userns"], ...] = ()
    timeout: float | None = Field(default=None, gt=0)


class Compile(Value):
    """A layer that is compiled in a stage: a throw-away container whose tools never reach the image.

    The stage stands on the image's base and its `system` steps. What the text leaves below `$OUT` becomes
    the layer, paths as in the image, owned by root and dated alike. It is kept by its inputs and never
    compiled again while they are the same.

    Attributes:
        name: what is compiled: `caffe`.
        shell: given to `sh -e`, as root, in an empty directory, with `OUT`, `SOURCES` (the directory of
            `sources`), `JOBS` (cores), `PYTHON` (the stage's) and `SITE` (the image's site-packages).
        packages: what the distribution has to be installed for it: compilers, headers.
        repositories: APT repositories of `packages` beside the distribution's own.
        requirements: exact pins of what `PYTHON` needs, such as numpy's headers, without dependencies.
        sources: what it starts from, fetched and verified before.
        env: variables of the text alone.
        distribution: the Debian release of the stage where that must not be the image's own.
    """

    kind: Literal["compile"] = "compile"
    name: Word
    shell: Annotated[str, Field(min_length=1), AfterValidator(refuse_login_in_shell)]
    packages: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    requirements: tuple[Annotated[str, AfterValidator(_is_pin)], ...] = ()
    sources: tuple[Source, ...] = ()
    env: tuple[tuple[Variable, str], ...] = ()
    distribution: Literal["bullseye", "bookworm", "trixie"] | None = None

    @model_validator(mode="after")
    def _names_are_clear(self) -> Self:
        names = [file.filename for file in self.source_files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sources have a file {', '.join(twice)}")
        if taken := sorted({name for name, _ in self.env} & set(GIVEN_TO_COMPILES)):
            raise ValueError(f"{', '.join(taken)} is what the stage sets")
        return self

    @property
    def source_files(self) -> tuple[SourceFile, ...]:
        """Every file that the stage sees at `$SOURCES`."""
        return tuple(
            file
            for source in self.sources
            for file in (
                source.files
                if isinstance(source, DebianSource)
                else (SourceFile(filename=source.filename, sha256=source.sha256),)
            )
        )


class Env(Value):
    """Environment variables of the image's config.

    Attributes:
        variables: by name; a recipe's own win.
        library_path: directories put before those that the base's LD_LIBRARY_PATH has.
    """

    kind: Literal["env"] = "env"
    variables: tuple[tuple[str, str], ...] = ()
    library_path: tuple[str, ...] = ()


class Defaults(Value):
    """What the image's config says where the recipe says nothing of it; `Env` does the same for variables.

    Two frameworks with different values for one field are an error until the recipe chooses.

    Attributes:
        cmd: the command that a container runs.
        ports: what it listens on: `8888`, `53/udp`.
        workdir: the directory in which it starts.
    """

    kind: Literal["defaults"] = "defaults"
    cmd: tuple[str, ...] | None = None
    ports: tuple[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}(/(tcp|udp|sctp))?$")], ...] = ()
    workdir: Annotated[str, Field(pattern=r"^/")] | None = None


class Libraries(Value):
    """Shared libraries that have to be where every program of the image finds them; makes no layer.

    Attributes:
        sonames: such as `libcudart.so.9.0`.
        where: `base` when the base has to have them, `host` when the `Files` of the same framework bring
            them from this host: both are looked at before anything is made. `image` is looked at at the end.
        hint: how to give them, for the message that says which one is missing.
    """

    kind: Literal["libraries"] = "libraries"
    sonames: tuple[str, ...]
    where: Literal["base", "host", "image"] = "image"
    hint: str = ""


Layer = Annotated[
    Apt | Python | Files | Run | Compile | Env | Defaults | Libraries, Field(discriminator="kind")
]
