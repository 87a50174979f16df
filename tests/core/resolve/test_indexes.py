from pathlib import Path

import pytest

from avabuild.common.errors import HostError
from avabuild.resolve.indexes import Indexes, from_host, pip_conf_paths, redact, uv_toml_paths
from avabuild.resolve.lock import Package
from avabuild.resolve.pylock import Resolved
from avabuild.resolve.wanted import Wanted


def conf(tmp_path, text, name="pip.conf"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_nothing_configured_leaves_the_resolver_its_own_default():
    indexes = from_host({})
    assert (indexes.index, indexes.extra, indexes.find_links) == (None, (), ())
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"} & set(indexes.environment())


def test_uv_variables_win_over_everything_of_pip(tmp_path):
    pip = conf(tmp_path, "[global]\nindex-url = https://pip.example.invalid/simple\n")
    environ = {
        "UV_INDEX_URL": "https://uv.example.invalid/simple",
        "PIP_EXTRA_INDEX_URL": "https://x.example.invalid",
    }
    indexes = from_host(environ, [pip])
    assert indexes.index == "https://uv.example.invalid/simple"
    assert indexes.extra == ()
    assert not indexes.best_match


def test_uv_index_and_its_older_name_are_both_heard():
    indexes = from_host(
        {"UV_INDEX": "https://a.example.invalid", "UV_EXTRA_INDEX_URL": "https://b.example.invalid"}
    )
    assert indexes.environment()["UV_INDEX"] == "https://a.example.invalid https://b.example.invalid"


def test_credentials_of_a_named_uv_index_are_used_for_its_files():
    environ = {
        "UV_INDEX": "our-own=https://a.example.invalid/simple",
        "UV_INDEX_OUR_OWN_USERNAME": "me@work",
        "UV_INDEX_OUR_OWN_PASSWORD": "p/w",
    }
    indexes = from_host(environ)
    assert indexes.credentials("https://a.example.invalid/files/x.whl") == ("me@work", "p/w")
    assert indexes.credentials("https://b.example.invalid/files/x.whl") is None
    assert indexes.credentials("http://a.example.invalid/files/x.whl") is None


def test_pip_files_override_each_other_in_order_and_by_section(tmp_path):
    weak = conf(
        tmp_path,
        "[global]\nindex-url = https://weak.example.invalid\n"
        "extra-index-url =\n  https://a.example.invalid\n  https://b.example.invalid\n",
        "weak",
    )
    strong = conf(
        tmp_path,
        "[install]\nindex_url = https://strong.example.invalid/%7Eme\n[global]\nindex-url = no\n",
        "strong",
    )
    indexes = from_host({}, [weak, strong, tmp_path / "absent"])
    assert indexes.index == "https://strong.example.invalid/%7Eme"
    assert indexes.extra == ("https://a.example.invalid", "https://b.example.invalid")


def test_pip_variables_override_pip_files_and_all_indexes_count_the_same(tmp_path):
    pip = conf(tmp_path, "[global]\nextra-index-url = https://file.example.invalid\n")
    indexes = from_host({"PIP_EXTRA_INDEX_URL": "https://env.example.invalid", "PIP_NO_INDEX": "1"}, [pip])
    assert indexes.extra == ("https://env.example.invalid",)
    assert indexes.no_index
    assert indexes.environment()["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_find_links_that_are_not_there_are_dropped_and_the_others_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("wheels, mine").mkdir()
    indexes = from_host({"PIP_FIND_LINKS": f"{tmp_path}/gone https://a.example.invalid/x.html"})
    assert indexes.find_links == ("https://a.example.invalid/x.html",)
    Path("here").mkdir()
    assert from_host({"PIP_FIND_LINKS": "here"}).local_paths() == (tmp_path / "here",)


def test_a_broken_pip_file_is_named(tmp_path):
    with pytest.raises(HostError) as caught:
        from_host({}, [conf(tmp_path, "index-url = https://me:secret@example.invalid\n")])
    assert caught.value.place == str(tmp_path / "pip.conf")
    assert "secret" not in str(caught.value)


def test_the_first_bundle_that_exists_is_trusted(tmp_path):
    bundle = conf(tmp_path, "", "ca.pem")
    environ = {"SSL_CERT_FILE": str(tmp_path / "gone.pem"), "PIP_CERT": str(bundle)}
    indexes = from_host(environ)
    assert indexes.ca_bundle == bundle
    assert indexes.environment()["SSL_CERT_FILE"] == str(bundle)


def test_the_host_may_set_its_own_timeouts_and_be_offline():
    environment = from_host({"UV_HTTP_TIMEOUT": "300", "UV_OFFLINE": "1"}).environment()
    assert environment["UV_HTTP_TIMEOUT"] == "300"
    assert environment["UV_OFFLINE"] == "1"


def test_pip_files_are_looked_for_where_pip_documents_them():
    paths = pip_conf_paths({"HOME": "/home/me", "PIP_CONFIG_FILE": "/own/pip.ini"}, Path("/venv"))
    assert [str(path) for path in paths] == [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        "/home/me/.pip/pip.conf",
        "/home/me/.config/pip/pip.conf",
        "/venv/pip.conf",
        "/own/pip.ini",
    ]
    assert Path("/x/pip/pip.conf") in pip_conf_paths(
        {"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"}, Path("/venv")
    )
    assert pip_conf_paths({"PIP_CONFIG_FILE": "/dev/null"}, Path("/venv")) == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://me:se@cret@a.example.invalid/x.", "see https://***@a.example.invalid/x."),
        ("https://token@a.example.invalid", "https://***@a.example.invalid"),
        ("git+ssh://git@a.example.invalid/r@v1", "git+ssh://***@a.example.invalid/r@v1"),
        ("https://a.example.invalid/r@v1 me@b", "https://a.example.invalid/r@v1 me@b"),
    ],
)
def test_redact_hides_the_user_and_password_of_every_url(text, shown):
    assert redact(text) == shown


def test_an_indexes_value_does_not_show_its_secrets():
    assert "secret" not in repr(
        Indexes(index="https://me:secret@a.example.invalid", extra=("https://secret@b",))
    )


def test_where_a_file_was_seen_is_not_shown_with_it():
    assert "secret" not in repr(Wanted("https://me:secret@a.example.invalid/x.whl", "0", 1, "x.whl"))
    assert "secret" not in repr(Resolved(Package(name="x", version="1"), "https://me:secret@a/x.whl"))
    assert "secret" not in repr(Indexes(others=(("UV_INDEX_A_PASSWORD", "secret"),)))


def test_one_index_in_place_of_all_keeps_a_login_for_its_own_host_only():
    indexes = Indexes(
        index="mine=https://me:s%40cret@packages.example.invalid/simple",
        extra=("https://other.example.invalid/simple",),
        find_links=("/srv/wheels",),
        no_index=True,
        best_match=True,
        others=(("UV_HTTP_RETRIES", "7"),),
    )
    one = indexes.at("https://packages.example.invalid/team")
    assert one.index == "https://me:s%40cret@packages.example.invalid/team"
    assert (one.extra, one.find_links, one.no_index, one.best_match) == ((), (), False, False)
    assert one.others == indexes.others
    assert one.environment()["UV_NO_CONFIG"] == "1"
    assert "UV_CONFIG_FILE" not in indexes.environment()
    for elsewhere in (
        "https://other.example.invalid/x",
        "http://packages.example.invalid/team",
        "file:///srv/x",
    ):
        assert indexes.at(elsewhere).index == elsewhere


def test_one_more_index_means_the_same_in_the_words_of_uv_and_of_pip(tmp_path):
    url = "https://more.example.invalid/simple"
    ways = [
        from_host({"UV_EXTRA_INDEX_URL": url}),
        from_host({"PIP_EXTRA_INDEX_URL": url}),
        from_host({}, [conf(tmp_path, f"[global]\nextra-index-url = {url}\n")]),
        from_host({}, [], [conf(tmp_path, f'extra-index-url = ["{url}"]\n', "uv.toml")]),
    ]
    said = [way.environment() for way in ways]
    assert all(one == said[0] for one in said)
    assert said[0]["UV_INDEX"] == url
    assert said[0]["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_an_index_that_uv_puts_first_decides_by_itself_and_the_host_may_say_another_strategy():
    first = from_host({"UV_INDEX": "https://a.example.invalid"}).environment()
    assert "UV_INDEX_STRATEGY" not in first
    said = from_host({"PIP_EXTRA_INDEX_URL": "https://a.example.invalid", "UV_INDEX_STRATEGY": "first-index"})
    assert said.environment()["UV_INDEX_STRATEGY"] == "first-index"


def test_a_toml_of_uv_gives_its_indexes_folders_and_proxies_and_no_more(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    user = conf(
        tmp_path,
        'find-links = ["wheels"]\nallow-insecure-host = ["a.example.invalid"]\nexclude-newer = "2020-01-01"\n'
        'https-proxy = "http://proxy.example.invalid:3128"\n'
        '[[index]]\nname = "own"\nurl = "https://a.example.invalid/simple"\n'
        '[[index]]\nurl = "https://main.example.invalid/simple"\ndefault = true\n'
        '[[index]]\nname = "torch"\nurl = "https://t.example.invalid/simple"\nexplicit = true\n'
        '[pip]\nno-emit-package = ["numpy"]\n',
        "user.toml",
    )
    system = conf(tmp_path, '[[index]]\nurl = "https://b.example.invalid/simple"\n', "system.toml")
    indexes = from_host({"UV_INDEX_OWN_USERNAME": "me", "UV_INDEX_OWN_PASSWORD": "pw"}, [], [system, user])
    assert indexes.index == "https://main.example.invalid/simple"
    assert indexes.extra == ("own=https://me:pw@a.example.invalid/simple", "https://b.example.invalid/simple")
    assert indexes.folders() == (folder,)
    assert indexes.environment()["UV_INSECURE_HOST"] == "a.example.invalid"
    assert indexes.environment()["HTTPS_PROXY"] == "http://proxy.example.invalid:3128"
    assert indexes.ignored == (f"exclude-newer in {user}", f"pip.no-emit-package in {user}")


def test_what_chooses_versions_is_named_and_not_taken(tmp_path):
    pip = conf(tmp_path, "[global]\nconstraint = /etc/limits.txt\ntimeout = 9\n[install]\npre = yes\n")
    environ = {"UV_RESOLUTION": "lowest", "UV_EXCLUDE_NEWER": "2020-01-01", "PIP_NO_BINARY": ":all:"}
    assert from_host(environ | {"UV_CACHE_DIR": "/x", "PIP_NO_COLOR": "1"}, [pip]).ignored == (
        "UV_RESOLUTION",
        "UV_EXCLUDE_NEWER",
        f"constraint in {pip}",
        f"pre in {pip}",
        "PIP_NO_BINARY",
    )


def test_tomls_of_uv_are_looked_for_where_uv_documents_them():
    places = uv_toml_paths({"HOME": "/home/me"})
    assert places == (Path("/etc/uv/uv.toml"), Path("/home/me/.config/uv/uv.toml"))
    assert uv_toml_paths({"UV_CONFIG_FILE": "/own.toml"}) == (Path("/own.toml"),)
    assert uv_toml_paths({"UV_NO_CONFIG": "1"}) == ()


def test_a_broken_toml_of_uv_is_named(tmp_path):
    with pytest.raises(HostError, match="the configuration of uv can't be read") as caught:
        from_host({}, [], [conf(tmp_path, "index-url = https://me:secret@example.invalid\n", "uv.toml")])
    assert caught.value.place == str(tmp_path / "uv.toml")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('index = "https://a.example.invalid"', "index: "),
        ('[[index]]\nname = "a"', "index.0.url: "),
        ("[[index]]\nurl = 3", "index.0.url: "),
        ("index-url = 3", "index-url: "),
        ('extra-index-url = "https://a.example.invalid"', "extra-index-url: "),
        ("find-links = [3]", "find-links.0: "),
        ('no-index = "yes"', "no-index: "),
        ("[pip]\nkeyring-provider = true", "keyring-provider: "),
        ('allow-insecure-host = { a = "b" }', "allow-insecure-host: "),
        ("http-proxy = []", "http-proxy: "),
    ],
)
def test_a_value_of_another_kind_in_a_toml_of_uv_is_named(tmp_path, text, where):
    with pytest.raises(HostError, match=f"can't be read: {where}") as caught:
        from_host({}, [], [conf(tmp_path, f"{text}\n", "uv.toml")])
    assert caught.value.place == str(tmp_path / "uv.toml")


def test_a_login_of_netrc_is_used_for_its_host(tmp_path):
    (tmp_path / ".netrc").write_text("machine a.example.invalid login me password secret\n")
    indexes = from_host({"HOME": str(tmp_path)})
    assert indexes.credentials("https://a.example.invalid/x.whl") == ("me", "secret")
    assert indexes.credentials("https://b.example.invalid/x.whl") is None
    assert "secret" not in repr(indexes)
