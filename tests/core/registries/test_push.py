"""Pushing to a real registry: what is sent, what is not, and what stands in the way."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from avabuild.common.errors import AvabuildError, DiskFullError, RegistryError, StoreError, UnavailableError
from avabuild.registries.connections import Registries
from avabuild.registries.name import Remote
from avabuild.registries.push import Push
from avabuild.registries.pushed import Pushed
from avabuild.resolve.wanted import Policy
from avabuild.store import Store
from avabuild.tools.cancellation import Cancellation, CancelledError
from avabuild.tools.events import Event, Report, silent

Image = tuple[str, str, dict[str, int]]


def push(
    registries: Registries, name: str, store: Store, image: Image, report: Report | None = None
) -> Pushed:
    manifest, config, layers = image
    with Push(registries, Remote.parse(name), store, report or Report(silent), Cancellation()) as under_way:
        return under_way.finish(manifest, config, layers)


def test_an_image_arrives_as_it_is(distribution, registries, store, keep_image):
    image = keep_image(b"one", b"two")
    pushed = push(registries, f"{distribution.host}/arrives/ava:py311-cpu", store, image)
    assert (pushed.digest, pushed.sent, pushed.mounted, pushed.uploaded) == (image[0], 2, 0, 6)
    assert pushed.pinned == f"{distribution.host}/arrives/ava@{image[0]}"
    assert {image[0], image[1], *image[2]} <= distribution.blobs()
    manifest = distribution.manifest("arrives/ava:py311-cpu")
    assert [layer["digest"] for layer in manifest["layers"]] == list(image[2])


def test_a_repeat_sends_nothing(distribution, registries, store, keep_image):
    image = keep_image(b"repeat one", b"repeat two")
    name = f"{distribution.host}/repeat/ava:1"
    push(registries, name, store, image)
    again = push(registries, name, store, image)
    assert (again.sent, again.mounted, again.uploaded, again.digest) == (0, 0, 0, image[0])


def test_what_another_repository_has_is_mounted_from_it(distribution, registries, store, keep_image):
    push(registries, f"{distribution.host}/mount/first:1", store, keep_image(b"shared layer"))
    pushed = push(
        registries, f"{distribution.host}/mount/second:1", store, keep_image(b"shared layer", b"own")
    )
    assert (pushed.sent, pushed.mounted, pushed.uploaded) == (1, 1, 3)


def test_a_repository_that_lost_the_blob_is_no_hindrance(distribution, registries, store, keep_image):
    image = keep_image(b"lost elsewhere")
    (digest,) = image[2]
    store.record("registry", f"{distribution.host} {digest}", ["mount/never-was"])
    pushed = push(registries, f"{distribution.host}/mount/third:1", store, image)
    assert (pushed.sent, pushed.mounted) == (1, 0)


def test_images_that_are_pushed_at_once_send_what_they_share_once(
    distribution, registries, store, keep_image
):
    images = {f"{distribution.host}/once/{n}:1": keep_image(b"big" * 500_000, b"%d" % n) for n in range(4)}
    found: dict[str, Pushed] = {}
    threads = [
        threading.Thread(target=lambda n=name, i=image: found.update({n: push(registries, n, store, i)}))
        for name, image in images.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(pushed.sent for pushed in found.values()) == 5
    assert sum(pushed.mounted for pushed in found.values()) == 3


def test_a_blob_that_was_offered_is_sent_before_the_image_is_finished(
    distribution, registries, store, keep_image
):
    manifest, config, layers = keep_image(b"offered early")
    (digest,) = layers
    name = Remote.parse(f"{distribution.host}/early/ava:1")
    with Push(registries, name, store, Report(silent), Cancellation()) as under_way:
        assert under_way.offer(digest, layers[digest], "early").result() == "sent"
        assert digest in distribution.blobs()
        assert registries.repository(name).manifest("1") is None
        assert under_way.finish(manifest, config, layers).sent == 1


def test_progress_counts_the_bytes(distribution, registries, store, keep_image):
    events: list[Event] = []
    image = keep_image(os.urandom(3_000_000))
    push(registries, f"{distribution.host}/progress/ava:1", store, image, Report(events.append))
    told = [event for event in events if event.kind == "progress" and event.total == 3_000_000]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert told[-1].done == 3_000_000
    assert {event.text for event in told} == {"upload"}
    ended = next(event for event in events if event.kind == "finish")
    assert ended.text == "1 of 1 layers sent, 3.0 MB"


def test_a_wrong_password_is_said_and_the_right_one_then_works(
    distribution, registries_of, registries, store, keep_image
):
    image, name = keep_image(b"password"), f"{distribution.host}/password/ava:1"
    wrong = {**distribution.environment, "REGISTRY_AUTH_FILE": str(distribution.auth_file("wrong"))}
    with pytest.raises(RegistryError, match="doesn't accept the password of ava") as caught:
        push(registries_of(wrong), name, store, image)
    assert caught.value.hint == f"avabuild login {distribution.host}"
    assert push(registries, name, store, image).sent == 1


def test_nobody_is_told_to_log_in(distribution, registries_of, store, keep_image, tmp_path):
    nobody = {**distribution.environment, "REGISTRY_AUTH_FILE": str(tmp_path / "none.json")}
    with pytest.raises(RegistryError, match="wants a login"):
        push(registries_of(nobody), f"{distribution.host}/nobody/ava:1", store, keep_image(b"nobody"))


def test_an_expired_certificate_is_named_and_nothing_is_told_to_who_shows_it(
    make_distribution, registries_of, store, keep_image
):
    registry = make_distribution(certificate="expired")
    registry.start()
    image, name = keep_image(b"expired"), f"{registry.host}/ava:1"
    with pytest.raises(RegistryError, match="certificate has expired") as caught:
        push(registries_of(registry.environment), name.replace("/ava", "/ns/ava"), store, image)
    assert "renew" in (caught.value.hint or "")
    registry.stop()
    registry.certificate = "good"
    registry.start()
    assert push(registries_of(registry.environment), name, store, image).sent == 1


def test_an_unknown_authority_is_trusted_once_it_is_in_certs_d(
    distribution, registries_of, store, keep_image, tmp_path
):
    image, name = keep_image(b"authority"), f"{distribution.host}/authority/ava:1"
    environment = {"REGISTRY_AUTH_FILE": str(distribution.auth_file()), "XDG_CONFIG_HOME": str(tmp_path)}
    with pytest.raises(RegistryError, match="issuer certificate") as caught:
        push(registries_of(environment), name, store, image)
    assert f"certs.d/{distribution.host}/ca.crt" in (caught.value.hint or "")
    place = tmp_path / "containers" / "certs.d" / distribution.host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((distribution.keys / "ca.crt").read_bytes())
    assert push(registries_of(environment), name, store, image).sent == 1


def test_plain_http_has_to_be_asked_for(make_distribution, registries_of, store, keep_image, tmp_path):
    registry = make_distribution(certificate="")
    registry.start()
    image, name = keep_image(b"plain"), f"{registry.host}/ns/ava:1"
    with pytest.raises(RegistryError, match="speaks no TLS"):
        push(registries_of(registry.environment), name, store, image)
    assert push(registries_of(registry.environment, insecure=True), name, store, image).sent == 1
    settings = tmp_path / "registries.conf"
    settings.write_text(f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
    let_off = {**registry.environment, "CONTAINERS_REGISTRIES_CONF": str(settings)}
    assert push(registries_of(let_off), name, store, image).sent == 0


def test_insecure_takes_any_certificate(make_distribution, registries_of, store, keep_image):
    registry = make_distribution(certificate="expired")
    registry.start()
    pushed = push(
        registries_of(registry.environment, insecure=True),
        f"{registry.host}/ns/ava:1",
        store,
        keep_image(b"any"),
    )
    assert pushed.sent == 1


def test_a_registry_that_goes_down_in_mid_push_is_gone_on_with_when_it_is_back(
    make_distribution, registries_of, store, keep_image
):
    registry = make_distribution()
    registry.start()
    image = keep_image(b"small one", os.urandom(40_000_000))
    layers = image[2]
    _, big = layers
    down = threading.Event()

    def take(event: Event) -> None:
        far = event.kind == "progress" and event.total == layers[big] and event.done > 4_000_000
        if far and not down.is_set():  # what comes later may be of the registry that is back
            down.set()
            registry.stop()

    name = f"{registry.host}/down/ava:1"
    opened = registries_of(registry.environment)
    push(opened, f"{registry.host}/down/ava:0", store, keep_image(b"small one"))
    with pytest.raises(UnavailableError, match="doesn't answer") as caught:
        push(opened, name, store, image, Report(take))
    assert "what has arrived is not sent again" in (caught.value.hint or "")
    registry.start()
    again = push(registries_of(registry.environment), name, store, image)
    assert (again.sent, again.uploaded) == (1, layers[big])


def test_a_registry_that_is_back_in_time_is_not_even_mentioned(
    make_distribution, registries_of, store, keep_image
):
    registry = make_distribution()
    registry.start()
    image = keep_image(os.urandom(20_000_000))
    broken = threading.Event()

    def take(event: Event) -> None:
        if event.kind == "progress" and event.done > 2_000_000 and not broken.is_set():
            broken.set()
            registry.stop()
            threading.Timer(0.3, registry.start).start()

    patient = registries_of(registry.environment, policy=Policy(attempts=5, pause=0.2))
    pushed = push(patient, f"{registry.host}/back/ava:1", store, image, Report(take))
    assert broken.is_set()
    assert pushed.sent == 1


def test_a_full_disk_of_the_registry_is_named_as_such(
    make_distribution, registries_of, store, keep_image, small_disk
):
    registry = make_distribution()
    registry.storage.symlink_to(small_disk)
    registry.start()
    image, name = keep_image(os.urandom(8_000_000)), f"{registry.host}/full/ava:1"
    with pytest.raises(DiskFullError, match=f"{registry.host} has no space left"):
        push(registries_of(registry.environment), name, store, image)
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    assert push(registries_of(registry.environment), name, store, image).sent == 1


def test_a_read_only_registry_refuses_at_once_and_takes_it_later(
    make_distribution, registries_of, store, keep_image
):
    registry = make_distribution()
    registry.start(maintenance={"readonly": {"enabled": True}})
    image, name = keep_image(b"read only"), f"{registry.host}/ro/ava:1"
    with pytest.raises(RegistryError, match="takes nothing") as caught:
        push(registries_of(registry.environment), name, store, image)
    assert "read-only" in (caught.value.hint or "")
    registry.stop()
    registry.start()
    assert push(registries_of(registry.environment), name, store, image).sent == 1


def test_a_blob_that_neither_side_has_is_an_error_and_no_image(distribution, registries, store, keep_image):
    image = keep_image(b"pruned")
    (digest,) = image[2]
    store.blob_path(digest).unlink()
    with pytest.raises(StoreError, match="no blob"):
        push(registries, f"{distribution.host}/pruned/ava:1", store, image)


def test_a_blob_that_only_the_registry_has_suffices(distribution, registries, store, keep_image):
    image, name = keep_image(b"pruned later"), f"{distribution.host}/pruned/other"
    push(registries, f"{name}:1", store, image)
    (digest,) = image[2]
    store.blob_path(digest).unlink()
    assert push(registries, f"{name}:2", store, image).sent == 0


def test_a_push_that_is_stopped_ends_soon(make_distribution, registries_of, store, keep_image):
    registry = make_distribution()
    registry.start()
    manifest, config, layers = keep_image(os.urandom(40_000_000))
    stop = Cancellation()

    def take(event: Event) -> None:
        if event.kind == "progress":
            stop.stop()

    opened = registries_of(registry.environment)
    name = Remote.parse(f"{registry.host}/stopped/ava:1")
    with (
        pytest.raises(CancelledError),
        Push(opened, name, store, Report(take), stop) as under_way,
    ):
        under_way.finish(manifest, config, layers)
    assert registries_of(registry.environment).repository(name).manifest("1") is None


def test_every_failure_has_an_exit_code_of_its_own():
    codes = {RegistryError: 77, UnavailableError: 75, DiskFullError: 12, StoreError: 11}
    assert {kind: kind.exit_code for kind in codes} == codes
    assert all(issubclass(kind, AvabuildError) for kind in codes)
