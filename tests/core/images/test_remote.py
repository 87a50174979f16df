"""Images of a real registry: found, listed, and told apart from what is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from avabuild.common.errors import HostError, ImageError, RegistryError, UnavailableError
from avabuild.images.find import find, listed_remote
from avabuild.images.remote import remote_images
from avabuild.registries.connections import Registries
from avabuild.registries.name import Remote
from avabuild.registries.push import Push
from avabuild.registries.repository import Repository
from avabuild.store import oci as image
from avabuild.tools.cancellation import Cancellation
from avabuild.tools.events import Report, silent


@pytest.fixture
def user(host, distribution) -> Any:
    """The host, as somebody whom the registry lets in."""
    return as_user(host, distribution.environment)


def as_user(host: Any, environment: dict[str, str]) -> Any:
    variables = tuple(environment.items())
    return host.model_copy(update={"variables": variables, "ca_bundle": environment["SSL_CERT_FILE"]})


@pytest.fixture
def there(user, distribution, store, make_image) -> Iterator[Callable[..., Any]]:
    """Return a function that pushes one more image of ours, or of another tool, by these names."""
    with Registries(user) as registries:

        def push(*names: str, own: bool = True) -> Any:
            made = make_image(own=own)
            for name in names:
                remote = Remote.parse(f"{distribution.host}/{name}")
                with Push(registries, remote, store, Report(silent), Cancellation()) as going:
                    going.finish(made.digest, made.config, {blob.digest: blob.size for blob in made.blobs})
            return made

        yield push


@pytest.fixture
def repository(user, distribution) -> Iterator[Callable[[str], Repository]]:
    with Registries(user) as registries:
        yield lambda name: registries.repository(Remote.parse(f"{distribution.host}/{name}"))


def names(found: Any) -> list[str]:
    return [one.reference.partition("/")[2] for one in found]


def test_images_are_listed_below_a_path_of_one_repository_or_of_the_whole_registry(there, user, distribution):
    made = there("list/ava-demo:a", "list/ava-demo:b", "list/deep/er:a", "listing/other:a")
    there("list/foreign:a", own=False)
    host = distribution.host
    found = listed_remote(f"{host}/list", user)
    assert names(found) == ["list/ava-demo:a", "list/ava-demo:b", "list/deep/er:a"]
    assert {(one.digest, one.size) for one in found} == {(made.digest, made.size)}
    assert found[0].description.frameworks == {"jupyterlab": "4.6"}
    assert names(listed_remote(f"docker://{host}/list/ava-demo/", user)) == names(found)[:2]
    assert "list/foreign:a" in names(listed_remote(f"{host}/list", user, everything=True))
    assert {"listing/other:a", "list/deep/er:a"} <= set(names(listed_remote(host, user)))


def test_an_image_of_a_registry_needs_no_storage_here(there, user, distribution, store):
    class Tools:
        mode, host = "root", user

        @property
        def storage(self) -> Any:
            raise HostError("buildah is not on PATH")

    made, tools = there("bare/ava-demo:a"), Tools()
    assert find(f"{distribution.host}/bare/ava-demo:a", tools, store).digest == made.digest
    with pytest.raises(ImageError, match="has no image"):
        find(f"{distribution.host}/bare/ava-demo:b", tools, store)
    with pytest.raises(HostError, match="buildah is not on PATH"):
        find("ava-demo:a", tools, store)


def test_what_is_no_image_has_no_place_in_a_list(there, user, distribution, repository, store):
    made = there("odd/ava-demo:a")
    one = repository("odd/ava-demo")
    config = store.put(b"{}")
    one.upload(config, 2, store.blob_path(config), lambda *_: None)
    described = {"mediaType": "application/vnd.example.note", "digest": config, "size": 2}
    note = {"schemaVersion": 2, "mediaType": image.MANIFEST, "config": described, "layers": []}
    one.put_manifest("note", image.encode(note))
    other = {
        "digest": made.digest,
        "mediaType": image.MANIFEST,
        "size": 1,
        "platform": {"architecture": "s390x"},
    }
    several = {"schemaVersion": 2, "mediaType": image.INDEX, "manifests": [other]}
    one.put_manifest("s390x", image.encode(several), image.INDEX)
    mine = {**other, "platform": {"architecture": "amd64"}}
    one.put_manifest("both", image.encode({**several, "manifests": [other, mine]}), image.INDEX)
    assert names(listed_remote(f"{distribution.host}/odd", user)) == ["odd/ava-demo:a", "odd/ava-demo:both"]
    with remote_images(user) as images, pytest.raises(ImageError, match="is no image for amd64"):
        images.find(f"{distribution.host}/odd/ava-demo:s390x")


def test_repositories_of_a_catalogue_may_be_absent(there, user, distribution):
    there("some/ava-demo:a")
    with remote_images(user) as images:
        assert names(images.within(f"{distribution.host}/some", ["ava-demo", "none"])) == ["some/ava-demo:a"]
        assert images.within(f"{distribution.host}/some", ["none"]) == ()


def test_an_image_that_is_not_there_is_told_with_where_to_look(user, distribution):
    with remote_images(user) as images:
        with pytest.raises(ImageError, match=f"{distribution.host} has no image .*/no/thing:1"):
            images.find(f"{distribution.host}/no/thing:1")
        with pytest.raises(ImageError, match="has no repository no, and none below it"):
            images.below(f"{distribution.host}/no")
        for wrong in ("reg.example.com/UPPER", "reg.example.com/a:b:c"):
            with pytest.raises(ImageError, match=r"reg\.example\.com/"):
                images.find(wrong)
        with pytest.raises(ImageError, match="nonsense is no registry"):
            images.below("nonsense")


def test_a_refusal_and_silence_are_told_apart_from_absence(host, distribution):
    wrong = {**distribution.environment, "REGISTRY_AUTH_FILE": str(distribution.auth_file("wrong"))}
    for place in (f"{distribution.host}/x", distribution.host):
        with pytest.raises(RegistryError, match="doesn't accept the password of ava"):
            listed_remote(place, as_user(host, wrong))
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9 doesn't answer"):
        listed_remote("127.0.0.1:9/x", as_user(host, distribution.environment))
    strange = {**distribution.environment, "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    with (
        remote_images(as_user(host, strange)) as images,
        pytest.raises(RegistryError, match="can't be trusted"),
    ):
        images.within(distribution.host, ["x"])
    with remote_images(as_user(host, strange), insecure=True) as images:
        assert images.within(distribution.host, ["x"]) == ()


def test_a_name_of_the_local_storage_asks_no_registry(store, storage):
    with pytest.raises(ImageError, match="there is no image localhost/ava-demo:none in the local storage"):
        find("localhost/ava-demo:none", storage, store)
