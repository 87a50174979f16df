"""What is asked of a registry beside an image itself: its repositories, their tags, and why it refused.

Images and tags are read by skopeo, with the user's own credentials; the list of repositories, which skopeo
does not know, by one request of ours (distribution-spec, "Listing repositories" of the Docker registry API).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avabuild import commands
from avabuild.buildah import Tools
from avabuild.errors import AvabuildError, ImageError, StepError, UnavailableError
from avabuild.host import Host

if TYPE_CHECKING:
    import httpx

_NO_ANSWER = ("temporary failure", "could not resolve", "connection refused", "timeout", "timed out",
              "no such host", "network is unreachable", "connection reset", "unexpected eof")  # fmt: skip
_REFUSED = ("unauthorized", "authentication required", "denied", "invalid username/password", "forbidden")
_ABSENT = ("manifest unknown", "name unknown", "name_unknown", "not found")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def is_remote(name: str) -> bool:
    """Whether a name begins with a registry's host, by the rule that all tools have for it."""
    host, slash, _ = name.partition("/")
    return bool(slash) and (host == "localhost" or "." in host or ":" in host)


def tags(repository: str, tools: Tools) -> tuple[str, ...]:
    """Return the tags of a repository, `host/path`."""
    try:
        listed = json.loads(tools.skopeo(commands.list_tags(repository), place=repository))
    except StepError as error:
        raise explained(error, repository) from error
    return tuple(listed.get("Tags") or ())


def explained(error: StepError, name: str) -> AvabuildError:
    """Return what a refusal of skopeo means to a person."""
    tail, host = error.tail.lower(), name.partition("/")[0]
    if any(words in tail for words in _NO_ANSWER):
        return UnavailableError(f"{host} does not answer", hint=f"try again later; full log: {error.log}")
    if any(words in tail for words in _REFUSED):
        return _denied(host, name)
    if "x509" in tail or "certificate" in tail:
        return ImageError(f"the certificate of {host} is not trusted", hint=f"full log: {error.log}")
    if any(words in tail for words in _ABSENT):
        return ImageError(
            f"{host} has no image {name}", hint=f"avabuild images --registry {name.rpartition('/')[0]}"
        )
    return error


def _denied(host: str, name: str) -> ImageError:
    return ImageError(f"{host} does not let you read {name}", hint=f"log in: skopeo login {host}")


def repositories(namespace: str, host: Host) -> tuple[str, ...]:
    """Return the repositories of `registry/path` whose names begin with that path, as `registry/name`.

    Raises:
        UnavailableError: the registry does not answer.
        ImageError: it keeps no list, or not for this user.
    """
    registry, _, path = namespace.strip("/").partition("/")
    inside = f"{path}/" if path else ""
    return tuple(f"{registry}/{name}" for name in _catalog(registry, host) if name.startswith(inside))


def _catalog(registry: str, host: Host) -> Iterator[str]:
    import httpx  # noqa: PLC0415 - a tenth of a second, which no other command needs

    verify: Any = True
    if host.ca_bundle:
        import ssl  # noqa: PLC0415

        verify = ssl.create_default_context(cafile=str(host.ca_bundle))
    headers: dict[str, str] = {}
    with httpx.Client(verify=verify, timeout=30, follow_redirects=True) as client:
        url: str | None = f"https://{registry}/v2/_catalog?n=1000"
        try:
            while url:
                answer = client.get(url, headers=headers)
                if answer.status_code == 401 and not headers:
                    headers = _authorization(client, answer, _credentials(registry, host.environment))
                    answer = client.get(url, headers=headers)
                if answer.status_code in {401, 403}:
                    raise _denied(registry, "its list of repositories")
                if answer.status_code != 200:
                    raise ImageError(
                        f"{registry} has no list of repositories (it answers {answer.status_code})",
                        hint="name a repository: --registry HOST/PATH/NAME",
                    )
                yield from answer.json().get("repositories") or ()
                url = str(answer.url.join(answer.links["next"]["url"])) if "next" in answer.links else None
        except httpx.HTTPError as error:
            raise UnavailableError(f"{registry} does not answer: {error}", hint="try again later") from error


def _authorization(client: httpx.Client, refusal: httpx.Response, credentials: str | None) -> dict[str, str]:
    """Answer a challenge (RFC 7235; distribution's token authentication) with what the user has."""
    basic = {"Authorization": f"Basic {credentials}"} if credentials else {}
    challenge = refusal.headers.get("WWW-Authenticate", "")
    if not challenge.lower().startswith("bearer "):
        return basic
    asked = dict(_CHALLENGE.findall(challenge))
    parameters = {"service": asked.get("service", ""), "scope": "registry:catalog:*"}
    answer = client.get(asked["realm"], params=parameters, headers=basic)
    if answer.status_code != 200:
        return basic
    said = answer.json()
    return {"Authorization": f"Bearer {said.get('token') or said.get('access_token')}"}


def _credentials(registry: str, environ: Mapping[str, str]) -> str | None:
    """Return the user's credentials for a registry, as containers-auth.json(5) keeps them."""
    home = Path(environ.get("HOME", "/"))
    places = [environ.get("REGISTRY_AUTH_FILE")]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        places.append(f"{runtime}/containers/auth.json")
    config = environ.get("XDG_CONFIG_HOME") or home / ".config"
    places += [f"/run/containers/{environ.get('UID', '0')}/auth.json"]
    places += [f"{config}/containers/auth.json", f"{home}/.docker/config.json"]
    for place in filter(None, places):
        try:
            found = json.loads(Path(place).read_bytes())["auths"][registry]["auth"]
            base64.b64decode(found, validate=True)
        except (OSError, ValueError, LookupError, TypeError):
            continue
        return str(found)
    return None
