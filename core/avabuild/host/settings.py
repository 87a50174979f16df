"""Settings: what a user may say of the host themselves; whatever is None is found out.

Each comes from a flag, the environment or config.toml, in that order; `origins` remembers which.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from avabuild.common.errors import Problem, SettingsError
from avabuild.common.value import Value
from avabuild.host.means import Mode, Runner
from avabuild.plugins.patience import PATIENCE
from avabuild.plugins.provider import Trust

DriverChoice = Literal["overlay", "fuse", "vfs"]

VARIABLES = {
    "mode": "AVABUILD_MODE",
    "root": "AVABUILD_ROOT",
    "storage_driver": "AVABUILD_STORAGE_DRIVER",
    "runner": "AVABUILD_RUNNER",
    "cache": "AVABUILD_CACHE",
    "debian_mirror": "AVABUILD_DEBIAN_MIRROR",
    "shared_cache": "AVABUILD_SHARED_CACHE",
    "shared_trust": "AVABUILD_SHARED_TRUST",
    "plugin_timeout": "AVABUILD_PLUGIN_TIMEOUT",
}
"""Setting -> the variable that says it."""

PLUGINS = "AVABUILD_PLUGINS"
"""The variable that lists whose plugins may be imported."""

CHOICES: dict[str, tuple[str, ...]] = {
    "mode": get_args(Mode),
    "storage_driver": get_args(DriverChoice),
    "runner": get_args(Runner),
}
"""Setting -> what it may be, where that is a closed set."""

PATHS = ("root", "cache", "shared_cache")
"""The settings that name a directory."""


class Settings(Value):
    """What the user chose.

    Attributes:
        mode: how namespaces are had; see `means`.
        root: the directory of image storage and of temporary files of builds.
        storage_driver: how layers are stacked: overlays by the kernel, by fuse-overlayfs, or copies.
        runner: what runs steps.
        cache: where layers and wheels are kept.
        debian_mirror: the mirror of Debian bases and packages.
        shared_cache: a cache of others that is looked into; see `sharing`.
        shared_trust: users, and groups with an @, whose word is taken for what is there.
        plugins: distributions, or patterns of them, whose plugins may be imported, and whose policies hold;
            None allows all that recipes name.
        plugin_timeout: seconds that a plugin has for its import and for each answer.
        origins: setting -> what said it (`--mode`, `AVABUILD_MODE`, `config.toml:3`).
    """

    mode: Mode | None = None
    root: Path | None = None
    storage_driver: DriverChoice | None = None
    runner: Runner | None = None
    cache: Path | None = None
    debian_mirror: str | None = None
    shared_cache: Path | None = None
    shared_trust: str | None = None
    plugins: tuple[str, ...] | None = None
    plugin_timeout: float | None = None
    origins: tuple[tuple[str, str], ...] = ()

    @property
    def trust(self) -> Trust:
        """What is said here of plugins: whose may be imported, and how long each may take."""
        return Trust(self.plugins, self.origin("plugins"), self.plugin_timeout or PATIENCE)

    def origin(self, name: str) -> str:
        """Return what said the setting `name`."""
        return dict(self.origins).get(name, name)


def settings_of(
    environ: Mapping[str, str],
    flags: Mapping[str, str | None] | None = None,
    configured: Settings | None = None,
) -> Settings:
    """Return what was chosen, each setting by a flag, else the environment, else what is `configured`.

    `flags` are by setting; paths among them are relative to the working directory.

    Raises:
        SettingsError: a flag or a variable has a value that is none of the setting's.
    """
    chosen: dict[str, Any] = {}
    origins = dict(configured.origins) if configured else {}
    problems = []
    for name, variable in VARIABLES.items():
        said = [(f"--{name.replace('_', '-')}", (flags or {}).get(name)), (variable, environ.get(variable))]
        origin, text = next(((origin, text) for origin, text in said if text), ("", ""))
        if not text:
            chosen[name] = getattr(configured, name, None)
            continue
        if text not in CHOICES.get(name, (text,)):
            problems.append(Problem(origin, "", _not_one_of(text, CHOICES[name])))
        if name == "plugin_timeout" and not _is_seconds(text):
            problems.append(Problem(origin, "", f"must be a number of seconds above 0, not {text!r}"))
        origins[name] = origin
        chosen[name] = Path(text).expanduser().absolute() if name in PATHS else text
    chosen["plugins"] = configured.plugins if configured else None
    if words := environ.get(PLUGINS, "").replace(",", " ").split():
        chosen["plugins"], origins["plugins"] = tuple(words), PLUGINS
    if problems:
        raise SettingsError(tuple(problems))
    return Settings(**chosen, origins=tuple(origins.items()))


def _is_seconds(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _not_one_of(text: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(text, known, n=1)
    return f"must be {', '.join(known[:-1])} or {known[-1]}, not {text!r}" + (
        f"; did you mean {near[0]!r}?" if near else ""
    )
