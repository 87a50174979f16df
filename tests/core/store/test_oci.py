from __future__ import annotations

import hashlib
import json

import pytest

from avabuild.common.dates import date_of
from avabuild.store import oci as image
from avabuild.store.blob import Blob
from avabuild.store.oci import Piece, Settings


def piece(letter: str) -> Piece:
    blob = Blob(
        digest=f"sha256:{letter * 64}",
        diff_id=f"sha256:{letter.upper() * 64}",
        size=3,
        unpacked=9,
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
    )
    return Piece(blob=blob, created_by=f"avabuild: {letter}")


BASE = {
    "created": "2024-02-03T04:05:06Z",
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "Env": ["PATH=/opt/conda/bin:/usr/bin", "LANG=C.UTF-8", "EQUAL=a=b"],
        "Entrypoint": ["/entry"],
        "Cmd": ["bash"],
        "WorkingDir": "/srv",
        "User": "jovyan",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/old": {}},
        "Labels": {"kept": "1", "changed": "old"},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:base"]},
    "history": [{"created_by": "base"}, {"created_by": "ENV", "empty_layer": True}],
}


def configured(base=BASE, pieces=(), **settings):
    return image.config(base, pieces, Settings(**settings), "amd64")


def test_settings_that_are_not_given_stay_as_the_base_has_them():
    inner = configured()["config"]
    assert {**inner, "Env": sorted(inner["Env"])} == {
        **BASE["config"],
        "Env": sorted(BASE["config"]["Env"]),
    }


def test_the_virtual_environment_comes_before_the_bases_path():
    assert (
        "PATH=/opt/venv/bin:/opt/conda/bin:/usr/bin" in configured(path=("/opt/venv/bin",))["config"]["Env"]
    )


def test_a_base_without_a_path_gets_the_usual_one():
    env = configured(base={}, path=("/opt/venv/bin",))["config"]["Env"]
    assert env == [f"PATH=/opt/venv/bin:{image.PATH}"]


def test_an_image_on_an_image_of_ours_has_the_environment_once_in_its_path():
    once = configured(path=("/opt/venv/bin",))
    assert configured(base=once, path=("/opt/venv/bin",))["config"]["Env"] == once["config"]["Env"]


def test_a_recipes_own_path_is_taken_as_it_is():
    env = configured(path=("/opt/venv/bin",), env=(("PATH", "/mine"), ("LANG", "de_DE")))["config"]["Env"]
    assert {"PATH=/mine", "LANG=de_DE", "EQUAL=a=b"} == set(env)


def test_a_new_entrypoint_drops_the_bases_cmd():
    inner = configured(entrypoint=("/mine",))["config"]
    assert inner["Entrypoint"] == ["/mine"]
    assert "Cmd" not in inner


def test_a_new_entrypoint_keeps_its_own_cmd():
    inner = configured(entrypoint=("/mine",), cmd=("--fast",))["config"]
    assert (inner["Entrypoint"], inner["Cmd"]) == (["/mine"], ["--fast"])


def test_a_new_cmd_keeps_the_bases_entrypoint():
    inner = configured(cmd=("python",), workdir="/w", user="0")["config"]
    assert (inner["Entrypoint"], inner["Cmd"]) == (["/entry"], ["python"])
    assert (inner["WorkingDir"], inner["User"]) == ("/w", "0")


def test_ports_volumes_and_labels_are_merged_with_the_bases():
    inner = configured(
        ports=("8888", "53/udp"), volumes=("/data",), labels=(("changed", "new"), ("added", "2"))
    )["config"]
    assert inner["ExposedPorts"] == {"80/tcp": {}, "8888/tcp": {}, "53/udp": {}}
    assert inner["Volumes"] == {"/old": {}, "/data": {}}
    assert inner["Labels"] == {"kept": "1", "changed": "new", "added": "2"}


def test_a_health_check_is_as_docker_has_it_and_the_base_s_stays_without_one():
    shell = image.HealthCheck(
        command=("/bin/sh", "-c", "curl localhost"), interval=30, timeout=1.5, retries=3
    )
    inner = configured(healthcheck=shell)["config"]["Healthcheck"]
    assert inner == {
        "Test": ["CMD-SHELL", "curl localhost"], "Interval": 30_000_000_000, "Timeout": 1_500_000_000, "Retries": 3,
    }  # fmt: skip
    words = image.HealthCheck(command=("/healthy", "now"), start_period=5)
    assert words.config == {"Test": ["CMD", "/healthy", "now"], "StartPeriod": 5_000_000_000}
    base = {"config": {"Healthcheck": {"Test": ["NONE"]}}}
    assert configured(base=base)["config"]["Healthcheck"] == {"Test": ["NONE"]}


def test_the_base_given_is_not_changed():
    before = json.dumps(BASE)
    configured(env=(("A", "1"),), ports=("1",), volumes=("/v",), labels=(("a", "b"),), pieces=(piece("a"),))
    assert json.dumps(BASE) == before


@pytest.mark.parametrize(
    "base",
    [
        {},
        BASE,
        {**BASE, "history": []},
        {**BASE, "history": None},
        {**BASE, "history": [{"created_by": "a"}, {"created_by": "b"}]},
    ],
    ids=["scratch", "whole", "no history", "null history", "too much history"],
)
def test_every_layer_has_its_own_line_of_history(base):
    made = configured(base=base, pieces=(piece("a"), piece("b")))
    lines = [line for line in made["history"] if not line.get("empty_layer")]
    assert len(lines) == len(made["rootfs"]["diff_ids"])
    assert [line["created_by"] for line in lines[-2:]] == ["avabuild: a", "avabuild: b"]
    assert made["rootfs"]["diff_ids"][-2:] == [f"sha256:{'A' * 64}", f"sha256:{'B' * 64}"]


def test_no_clock_reaches_the_config():
    made = configured(pieces=(piece("a"),))
    assert made["created"] == image.CREATED
    assert made["history"][-1]["created"] == image.CREATED
    assert image.encode(made) == image.encode(configured(pieces=(piece("a"),)))


def test_the_order_of_labels_does_not_show_in_the_encoded_config():
    one, two = (("a", "1"), ("b", "2")), (("b", "2"), ("a", "1"))
    assert image.encode(configured(labels=one)) == image.encode(configured(labels=two))


def test_manifest_and_index_have_the_media_types_of_oci_and_name_what_they_hold():
    config = image.encode(configured(pieces=(piece("a"),)))
    made = image.manifest(config, [image.layer_descriptor(piece("a").blob)], {"b": "2", "a": "1"})
    assert made["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert made["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": "sha256:" + hashlib.sha256(config).hexdigest(),
        "size": len(config),
    }
    assert made["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+zstd",
            "digest": f"sha256:{'a' * 64}",
            "size": 3,
        }
    ]
    data = image.encode(made)
    listed = image.index(data, "py311-cpu")
    assert listed["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert listed["manifests"][0]["digest"] == "sha256:" + hashlib.sha256(data).hexdigest()
    assert listed["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "py311-cpu"}


def test_what_has_no_annotations_and_no_name_says_nothing_of_them():
    assert "annotations" not in image.manifest(b"{}", [], {})
    assert "annotations" not in image.index(b"{}")["manifests"][0]


def test_a_config_is_read_as_it_was_written():
    assert image.decode(image.encode(BASE)) == BASE


@pytest.mark.parametrize("data", [b"", b"[]", b'"text"', b"{", b"\xff\xfe\x00"])
def test_what_is_no_json_object_is_refused(data):
    with pytest.raises(ValueError, match=r"object|Expecting|decode|property"):
        image.decode(data)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (None, "/cuda/lib64:/opt/lib"),
        ("/usr/local/nvidia/lib64", "/cuda/lib64:/opt/lib:/usr/local/nvidia/lib64"),
        ("/opt/lib:/x", "/cuda/lib64:/opt/lib:/x"),
    ],
)
def test_library_paths_stand_before_those_of_the_base(held, expected):
    base = {"config": {"Env": [f"LD_LIBRARY_PATH={held}"]}} if held else {}
    made = image.config(base, [], Settings(library_path=("/cuda/lib64", "/opt/lib")), "amd64")
    assert f"LD_LIBRARY_PATH={expected}" in made["config"]["Env"]
    untouched = image.config(base, [], Settings(), "amd64")
    assert [e for e in untouched["config"]["Env"] if e.startswith("LD_")] == base.get("config", {}).get(
        "Env", []
    )


def test_a_date_changes_the_config_and_no_layer_or_history() -> None:
    plain, dated = (
        image.config({}, [], Settings(created=date), "amd64") for date in ("", "2026-05-01T12:00:00Z")
    )
    assert plain["created"] == "1980-01-01T00:00:00Z"
    assert dated == {**plain, "created": "2026-05-01T12:00:00Z"}


def test_dates_are_seconds_or_text_with_a_zone() -> None:
    assert date_of(0) == "1970-01-01T00:00:00Z"
    assert date_of("1777636800") == "2026-05-01T12:00:00Z"
    assert date_of("2026-05-01T14:00:00+02:00") == "2026-05-01T12:00:00Z"
    for wrong in ("yesterday", "2026-05-01T12:00:00"):
        with pytest.raises(ValueError):  # noqa: PT011 - from the library, or ours
            date_of(wrong)
