from __future__ import annotations

import os
import platform
from pathlib import Path

from avabuild.host import host as module
from avabuild.host.host import ca_bundle, probe
from avabuild.host.places import cache_directory

CA = "/run/avabuild/ca.pem"


def test_the_cache_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_directory({"AVABUILD_CACHE": "/cache"}) == Path("/cache")
    assert cache_directory({"AVABUILD_CACHE": "here"}) == tmp_path / "here"
    assert cache_directory({"AVABUILD_CACHE": "~/there"}) == Path("/home/ada/there")


def test_the_cache_is_the_users_own_when_no_variable_says(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", "/not/asked")
    assert cache_directory({}) == Path("/home/ada/.cache/avabuild")
    assert cache_directory({"AVABUILD_CACHE": ""}) == Path("/home/ada/.cache/avabuild")
    xdg = {"XDG_CACHE_HOME": "/xdg"}
    assert cache_directory(xdg) == Path("/xdg/avabuild")
    assert cache_directory({**xdg, "AVABUILD_CACHE": "/cache"}) == Path("/cache")
    assert cache_directory({"HOME": "/home/bea"}) == Path("/home/bea/.cache/avabuild")


def test_the_bundle_that_the_users_tools_have_is_the_one_to_use(tmp_path, monkeypatch):
    named, other, usual = (tmp_path / name for name in ("named", "other", "usual"))
    for path in (named, other, usual):
        path.touch()
    monkeypatch.setattr(module, "_CA_BUNDLES", (str(usual),))
    assert ca_bundle({"SSL_CERT_FILE": str(named), "CURL_CA_BUNDLE": str(other)}) == named
    assert ca_bundle({"SSL_CERT_FILE": "", "PIP_CERT": str(other)}) == other
    assert ca_bundle({"SSL_CERT_FILE": str(tmp_path / "gone"), "REQUESTS_CA_BUNDLE": str(tmp_path)}) == usual
    assert ca_bundle({}) == usual
    usual.unlink()
    assert ca_bundle({}) is None


SETTINGS = {
    "https_proxy": "http://user:secret@127.0.0.1:3128",
    "HTTP_PROXY": "http://127.0.0.1:3128",
    "no_proxy": "127.0.0.1",
    "PIP_INDEX_URL": "http://127.0.0.1/simple",
    "PIP_TRUSTED_HOST": "127.0.0.1",
    "UV_DEFAULT_INDEX": "http://127.0.0.1/simple",
}


def test_a_step_gets_the_hosts_proxies_and_indexes_as_they_are(host):
    own = host.model_copy(update={"variables": tuple(SETTINGS.items())})
    assert own.step_environment(CA) == SETTINGS


def test_a_step_gets_nothing_else_of_the_hosts_environment(host):
    others = {
        "HOME": "/home/ada",
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PIP_CERT": "/etc/ca",
        "LANG": "C",
    }
    assert host.model_copy(update={"variables": tuple(others.items())}).step_environment(CA) == {}


def test_a_step_is_told_of_the_bundle_where_it_is_mounted(host):
    environment = host.model_copy(update={"ca_bundle": Path("/etc/ca.pem")}).step_environment(CA)
    assert {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"} <= set(
        environment
    )
    assert set(environment.values()) == {CA}


def test_a_probe_says_what_this_machine_is(tmp_path):
    found = probe({"AVABUILD_CACHE": str(tmp_path), "B": "2", "A": "1"})
    assert (found.uid, found.arch, found.cache) == (os.geteuid(), platform.machine(), tmp_path)
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.environment == {"AVABUILD_CACHE": str(tmp_path), "A": "1", "B": "2"}
    assert found.mirror is None


def test_a_probe_does_not_depend_on_the_order_of_variables():
    assert probe({"A": "1", "B": "2"}) == probe({"B": "2", "A": "1"})


def test_a_mirror_is_read_from_its_variable():
    assert probe({"AVABUILD_DEBIAN_MIRROR": "http://127.0.0.1/debian"}).mirror == "http://127.0.0.1/debian"
    assert probe({"AVABUILD_DEBIAN_MIRROR": ""}).mirror is None


def test_steps_of_a_host_with_one_index_see_no_other():
    host = probe(
        {
            "PIP_EXTRA_INDEX_URL": "https://x.example.invalid",
            "UV_INDEX": "https://y.example.invalid",
            "A": "b",
        }
    )
    one = host.with_index("https://packages.example.invalid/simple")
    seen = {name: text for name, text in one.step_environment("/ca").items() if "INDEX" in name}
    assert seen == {
        "PIP_INDEX_URL": "https://packages.example.invalid/simple",
        "UV_DEFAULT_INDEX": "https://packages.example.invalid/simple",
    }
    assert one.environment["A"] == "b"


def test_what_the_environment_holds_is_not_shown_with_the_host():
    shown = probe({"HUB_TOKEN": "horse", "https_proxy": "http://me:battery@proxy.example.invalid"})
    for text in (str(shown), repr([shown])):
        assert "horse" not in text
        assert "battery" not in text
