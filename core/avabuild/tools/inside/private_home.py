"""The private home of the tools inside: what they would read of the user's is said to them here instead.

A home that can't be written, a stale XDG_RUNTIME_DIR, a full /tmp or somebody else's storage.conf then can't
stop a build. Only what is said of registries is the user's own, by reference: credentials, registries.conf
and certificates.

Source: containers-storage.conf(5), containers.conf(5), containers-policy.json(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from avabuild.host.means import Means, Storage
from avabuild.host.registry_files import auth_files, main_registries_conf, settings_directory

_POLICY = '{"default":[{"type":"insecureAcceptAnything"}]}\n'
_REGISTRIES = 'short-name-mode = "permissive"\n'
_CONTAINERS = '[containers]\ndefault_ulimits = []\nnetns = "host"\n[engine]\nevents_logger = "none"\n'
_DROPPED = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "BUILDAH_ISOLATION",
            "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS")  # fmt: skip


def settle(means: Means, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the tools inside, after its files were written."""
    storage = means.storage
    if storage is None:
        return dict(environ)
    if means.mode == "root" and storage.own:
        return _as_chosen(storage, environ)
    home = means.place / f"home-{means.mode}"
    runtime = home / "runtime"
    for directory in (means.place, home, runtime):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = home / ".config" / "containers"
    config.mkdir(parents=True, exist_ok=True)
    _write(config / "storage.conf", storage_conf(storage, single=means.mode == "single"))
    _write(config / "policy.json", _POLICY)
    _settle_registries(config, environ)
    _write(config / "containers.conf", _CONTAINERS)
    env = {name: value for name, value in environ.items() if name not in _DROPPED}
    env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
    if auth := auth_file(environ):
        env["REGISTRY_AUTH_FILE"] = str(auth)
    if os.geteuid() == 0:  # root's tools look in /etc but for this, in any mode
        env["CONTAINERS_STORAGE_CONF"] = str(config / "storage.conf")
    if means.mode == "root":
        return env
    return {**env, "_CONTAINERS_USERNS_CONFIGURED": "done", "_CONTAINERS_ROOTLESS_UID": str(os.geteuid()),
            "_CONTAINERS_ROOTLESS_GID": str(os.getegid())}  # fmt: skip


def _as_chosen(storage: Storage, environ: Mapping[str, str]) -> dict[str, str]:
    """Return root's own environment, with the driver that was chosen, which may not be the configured one."""
    program = (
        {"STORAGE_OPTS": f"overlay.mount_program={storage.mount_program}"} if storage.mount_program else {}
    )
    return {**environ, "STORAGE_DRIVER": storage.driver, **program}


def storage_conf(storage: Storage, *, single: bool) -> str:
    """Return the text of containers-storage.conf(5) for `storage`."""
    lines = ["[storage]", f'driver = "{storage.driver}"', f'graphroot = "{storage.root}"',
             f'runroot = "{storage.run}"', f"[storage.options.{storage.driver}]"]  # fmt: skip
    if single:
        lines.append('ignore_chown_errors = "true"')
    if storage.driver == "overlay":
        lines.append('mountopt = "nodev"')  # a base's device nodes are files like others
    if storage.mount_program:
        lines.append(f'mount_program = "{storage.mount_program}"')
    return "\n".join(lines) + "\n"


def auth_file(environ: Mapping[str, str]) -> Path | None:
    """Return the user's own file of registry credentials, or None."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return Path(named)
    return next((path for path in auth_files(environ) if os.access(path, os.R_OK)), None)


def _settle_registries(config: Path, environ: Mapping[str, str]) -> None:
    """Have the settings of registries and their certificates that this user has, by reference."""
    conf, own = main_registries_conf(environ), settings_directory(environ)
    if conf and os.access(conf, os.R_OK):
        _link(config / "registries.conf", conf)
    else:
        _write(config / "registries.conf", _REGISTRIES)
    for name in ("registries.conf.d", "certs.d"):
        if os.access(own / name, os.R_OK | os.X_OK):
            _link(config / name, own / name)
        else:
            (config / name).unlink(missing_ok=True)


def _link(path: Path, target: Path) -> None:
    """Have a link to `target` at `path`; at no time is there none."""
    target = target.absolute()
    if path.is_symlink() and path.readlink() == target:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(path)


def _write(path: Path, text: str) -> None:
    """Write the file unless it says so already; nobody sees half of it."""
    if not path.is_symlink() and path.exists() and path.read_text() == text:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
