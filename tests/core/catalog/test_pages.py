"""The pages of a site: whole, linked, the same for the same values, and safe whatever things are called."""

from __future__ import annotations

import json
import posixpath
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from avabuild.catalog.build import pages, site_of
from avabuild.catalog.detail import commands_of
from avabuild.catalog.values import Site, order

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """What a browser's parser would make of a page: elements, links, ids, and whether all is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]

    @property
    def addresses(self) -> list[str]:
        return [str(a[name]) for _, a in self.tags for name in ("href", "src", "action") if name in a]


def parsed(site: Site) -> dict[str, Page]:
    return {path: Page(data.decode()) for path, data in pages(site).items() if path.endswith(".html")}


def words(page: Page) -> str:
    return re.sub(r"\s+", " ", "".join(page.text))


def test_every_page_is_whole_and_in_one_language_with_one_heading(varied):
    for page in parsed(varied).values():
        assert page.open == []
        assert page.all("html") == [{"lang": "en"}]
        assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
        assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("which", ["varied", "hostile"])
def test_every_link_leads_to_a_file_of_the_site_or_a_place_on_the_page(which, request):
    site = request.getfixturevalue(which)
    files = pages(site)
    for path, page in parsed(site).items():
        for address in page.addresses:
            if address == "data:,":  # no icon, and no request for one
                continue
            parts = urlsplit(address)
            assert (parts.scheme, parts.netloc) == ("", "")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(parts.path)))
            assert target in files if parts.path else parts.fragment in page.ids


def test_nothing_is_asked_of_another_host(varied):
    for path, data in pages(varied).items():
        if path.endswith((".html", ".css", ".js")):
            assert not re.search(rb"(?:https?:)?//[\w.-]+\.\w|@import|url\(|fetch\(|XMLHttp", data), path


def test_the_same_values_give_the_same_bytes(varied):
    assert pages(varied) == pages(Site.model_validate(varied.model_dump()))


def test_the_order_of_recipes_changes_nothing(varied):
    one = site_of("T", varied.entries, varied.missing)
    assert pages(one) == pages(site_of("T", varied.entries[::-1], varied.missing))


def test_hostile_names_stay_text(hostile):
    for page in parsed(hostile).values():
        assert page.open == []
        assert [one for one in page.all("script") if set(one) != {"src"}] == []
        assert len(page.all("script")) == 1
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert "<script>alert('x')</script>" in words(page)


def test_a_hostile_name_leads_to_no_other_place(hostile, keras):
    assert all(re.fullmatch(r"images/[\w.~-]+/[\w.~-]+\.html", entry.path) for entry in hostile.entries)
    assert ".." not in keras(name="..", tag="../../x").path.split("/")


def test_every_image_has_a_page_of_its_own(keras, site):
    tricky = [
        keras(name=n, tag=t)
        for n, t in (("a", "b"), ("a/b", "c"), ("a~2fb", "c"), ("a_b", "c"), ("a", "b_c"))
    ]
    assert len({entry.path for entry in tricky}) == len(tricky)


def test_the_front_page_has_the_platform_s_columns_and_a_row_for_each_image(varied):
    front = parsed(varied)["index.html"]
    heads = [a for a in front.all("th") if a.get("scope") == "col"]
    assert len(heads) == 8
    for name in ("Image", "Python", "SDK", "JupyterLab", "CPU", "CUDA", "Framework", "Size"):
        assert name in front.text
    assert len([a for a in front.all("th") if a.get("scope") == "row"]) == len(varied.entries)
    assert len(front.all("caption")) == 1


def test_a_column_of_unknown_sizes_is_left_out(keras, site):
    assert "Size" not in parsed(site(keras()))["index.html"].text


def test_what_needs_a_script_is_hidden_until_there_is_one(varied):
    front = parsed(varied)["index.html"]
    (form,) = front.all("form")
    assert "hidden" in form
    assert all("hidden" not in row for row in front.all("tr"))
    assert "4 images" in words(front)


def test_what_is_not_shown_is_told_with_its_reason(varied):
    assert "ava-odd: its base is not here" in words(parsed(varied)["index.html"])


def test_an_image_that_is_not_in_the_registry_says_so(varied):
    assert words(parsed(varied)["index.html"]).count("not published") == 3


def test_an_empty_catalogue_is_a_page_too(site):
    assert "There is no image here yet." in words(parsed(site())["index.html"])


def test_the_page_of_an_image_tells_layers_packages_and_sizes(varied):
    text = words(parsed(varied)["images/ava-keras/py311-cpu.html"])
    for expected in (
        "keras 3.15.1, tensorflow 2.21.0 and JupyterLab 4.6.6 on Python 3.11, for the CPU.",
        "base: Debian 12 (bookworm)50.0 MB",
        "wheels of frameworksframeworksh11 0.1683.6 MB to download",
        "30 packages, 435 kB to download",
        "package-29 29.0 29 kB",
        "libexpat1 2.5.0-1+deb12u5 108 kB",
        "Other tags of ava-keras",
    ):
        assert expected in text


def test_an_image_without_a_lock_says_what_it_asks_for(varied):
    text = words(parsed(varied)["images/ava-mxnet/py27-cuda80-cudnn6.html"])
    assert "has no lock for this image yet" in text
    assert "mxnet-cu80==1.5.*" in text
    assert "375.26 or newer" in text


def lines(entry, site) -> dict[str, str]:
    return dict(commands_of(entry, site))


def test_an_image_of_a_recipe_is_built_run_and_built_upon(keras, site):
    assert lines(keras(), site(keras())) == {
        "Build it": "avabuild recipe recipes/keras.toml",
        "Run it": "podman run --rm -it -p 8888:8888 localhost/ava-keras:py311-cpu",
        "Build on it, in a recipe beside it": 'base = { recipe = "keras.toml" }',
    }


def test_of_a_recipe_with_several_images_one_is_named(keras, site):
    first, second = keras(), keras(tag="py312-cpu")
    assert lines(second, site(first, second))["Build it"].endswith("--only ava-keras:py312-cpu")


def test_an_image_of_a_registry_is_two_lines(keras, site):
    there = keras(state="published", reference="reg.example.com/a/b:c", cuda="12.5")
    assert lines(there, site(there)) == {
        "Run it": "podman run --rm -it --device nvidia.com/gpu=all -p 8888:8888 reg.example.com/a/b:c",
        "Build on it, in a recipe of yours": 'base = { image = "reg.example.com/a/b:c" }',
    }


def test_a_port_of_another_protocol_is_said_as_podman_takes_it(keras, site):
    entry = keras(ports=("53/udp",))
    assert "-p 53:53/udp " in lines(entry, site(entry))["Run it"]


def test_a_command_is_quoted_for_the_shell(keras, site):
    entry = keras(recipe="my recipes/a;b.toml", reference="x y")
    assert lines(entry, site(entry))["Build it"] == "avabuild recipe 'my recipes/a;b.toml'"
    assert lines(entry, site(entry))["Run it"].endswith("'x y'")


def test_images_are_listed_newest_python_first_and_by_number(keras):
    given = [
        keras(tag=f"py{p.replace('.', '')}-{c}", python=p, cuda=c)
        for p, c in (("3.9", ""), ("3.11", "12.5"), ("3.11", "9.0"), ("3.11", ""))
    ]
    assert [(e.python, e.cuda) for e in sorted(given, key=order)] == [
        ("3.11", ""),
        ("3.11", "9.0"),
        ("3.11", "12.5"),
        ("3.9", ""),
    ]


def test_the_data_are_what_the_pages_say(varied):
    assert Site.model_validate(json.loads(pages(varied)["catalog.json"])) == varied
