"""`avabuild login` and `avabuild logout`: the credentials that buildah, podman and skopeo share."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from avabuild.cli.options import InsecureOption
from avabuild.cli.shown import echo


def login(
    registry: Annotated[
        str, typer.Argument(metavar="REGISTRY", help="Registry as image names have it: HOST[:PORT].")
    ],
    username: Annotated[
        str | None,
        typer.Option("--username", "-u", metavar="NAME", help="Your user name (default: ask)."),
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the standard input.")
    ] = False,
    insecure: InsecureOption = False,
) -> None:
    """Log in to a registry; the password is tried before it is kept.

    It is kept where buildah, podman and skopeo look: $REGISTRY_AUTH_FILE, or the user's auth.json.

    Example: avabuild login registry.example.com --username ava
    """
    from avabuild.cli.options import host_for
    from avabuild.registries.connections import BRIEF, Registries
    from avabuild.registries.credentials import Credentials

    host, mine = _host(registry), host_for()
    user = username or (_asked("User name") if not password_stdin else "")
    if not user:
        raise typer.BadParameter("is needed with --password-stdin", param_hint="--username")
    password = sys.stdin.read().rstrip("\r\n") if password_stdin else _asked("Password", hidden=True)
    given = Credentials(user=user, password=password)
    with Registries(mine, insecure=insecure, policy=BRIEF) as registries:
        registries.registry_for(host, given).greet()
        path = registries.files.login(host, given)
    echo(f"logged in to {host} as {user}, kept in {path}", err=True)


def logout(
    registry: Annotated[
        str, typer.Argument(metavar="REGISTRY", help="Registry as image names have it: HOST[:PORT].")
    ],
) -> None:
    """Forget the password for a registry.

    Example: avabuild logout registry.example.com
    """
    from avabuild.cli.options import host_for
    from avabuild.registries.credentials import AuthFiles

    host = _host(registry)
    files = AuthFiles(host_for().environment)
    changed = files.logout(host)
    if left := files.find(host):
        echo(f"avabuild: warning: docker's own configuration knows {left.user} at {host} still", err=True)
    words = f"logged out of {host}" if changed else f"there was no login for {host}"
    echo(words, err=True)


def _host(text: str) -> str:
    """Return the registry without what people copy along with it."""
    from avabuild.registries.name import is_host

    host = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not is_host(host):
        raise typer.BadParameter(f'"{text}" is no registry; write HOST[:PORT]', param_hint="REGISTRY")
    return host


def _asked(words: str, *, hidden: bool = False) -> str:
    """Ask on the terminal; without one say how to do it."""
    if not sys.stdin.isatty():
        hint = "--password-stdin" if hidden else "--username"
        raise typer.BadParameter(f"{words.lower()}: there is no terminal to ask on", param_hint=hint)
    return str(typer.prompt(words, hide_input=hidden, err=True))
