"""The site in a real Chromium, from files and without a network: read, searched, copied from, by mouse and by keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from avabuild.catalog.build import pages
from avabuild.catalog.write import write

ROOT = Path(__file__).parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KERAS, MXNET = "images/ava-keras/py311-cpu.html", "images/ava-mxnet/py27-cuda80-cudnn6.html"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# The contrast of each visible text with what is painted behind it (WCAG 2.2, 1.4.3), worst first.
CONTRASTS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => [red, green, blue]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
    const pair = [luminance(rgba(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
    found.push([(pair[0] + 0.05) / (pair[1] + 0.05), element.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing; make test installs Debian's")
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    root = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the shipped recipes, as the command makes it."""
    output = tmp_path_factory.mktemp("site")
    command = [Path(sys.executable).with_name("avabuild"), "catalog", ROOT / "recipes", "--output", output]
    environment = {"PATH": os.environ["PATH"], "AVABUILD_CACHE": str(tmp_path_factory.mktemp("cache"))}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=60)
    return output


@pytest.fixture
def opened(browser: Browser, shipped: Path) -> Iterator[Open]:
    """Return a function that opens a page of the site; what goes wrong in it fails the test."""
    wrong: list[str] = []
    contexts = []

    def opened(path: str = "index.html", site: Path = shipped, **options: object) -> Page:
        context = browser.new_context(**{"viewport": DESK, "offline": True, **options})
        context.set_default_timeout(5000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url),
        )
        page.goto(f"{site.as_uri()}/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def shown(page: Page) -> list[str]:
    return page.locator("#images tbody tr:visible th").all_inner_texts()


def test_search_and_filters_narrow_the_table_and_say_how_far(opened):
    page = opened()
    total = len(shown(page))
    assert page.locator("#count").inner_text() == f"{total} images"
    page.get_by_label("Search").fill("keras 3.15")
    assert shown(page)
    assert all(name.startswith("ava-keras") for name in shown(page))
    page.get_by_label("Python").select_option("3.11")
    page.get_by_label("Device").select_option("cuda")
    assert shown(page) == ["ava-keras-jax:py311-cuda129-cudnn9"]
    assert page.locator("#count").inner_text() == f"1 of {total} images"
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Framework").select_option("mxnet")
    page.get_by_label("Device").select_option("cuda8.0")
    assert shown(page) == ["ava-mxnet:py35-cuda80-cudnn6", "ava-mxnet:py27-cuda80-cudnn6"]


def test_an_image_is_found_by_a_package_that_is_in_it(opened):
    page = opened()
    page.get_by_label("Search").fill("google-pasta py311-cpu")
    assert shown(page)
    assert {name.split(":")[0] for name in shown(page)} <= {"ava-keras", "ava-tensorflow"}


def test_when_nothing_fits_there_is_a_way_back(opened):
    page = opened()
    page.get_by_label("Search").fill("no such image")
    assert page.locator("#nothing").inner_text().startswith("No image fits.")
    page.get_by_role("button", name="Show all of them").click()
    assert len(shown(page)) > 40
    assert page.locator("#nothing").is_hidden()


def test_a_view_can_be_sent_to_somebody(opened):
    page = opened()
    page.get_by_label("Search").fill("pytorch")
    page.get_by_label("Device").select_option("cpu")
    there = opened("index.html#" + page.url.partition("#")[2])
    assert shown(there) == shown(page)
    assert there.get_by_label("Search").input_value() == "pytorch"


def test_columns_order_the_table_by_value_and_back(opened):
    page = opened()
    before = shown(page)
    head = page.get_by_role("columnheader", name="Python")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.locator("#images tbody td.c-python").first.inner_text() == "2.7"
    head.get_by_role("button").click()
    assert page.locator("#images tbody td.c-python").first.inner_text() == "3.13"
    head.get_by_role("button").click()
    assert (head.get_attribute("aria-sort"), shown(page)) == (None, before)


def test_an_image_is_opened_and_its_command_copied(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="ava-keras:py311-cpu").click()
    assert page.get_by_role("heading", level=1).inner_text() == "ava-keras:py311-cpu"
    page.get_by_role("button", name="Copy : Run it").click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "podman run --rm -it -p 8888:8888 localhost/ava-keras:py311-cpu"


def test_where_the_clipboard_is_refused_the_line_is_selected_or_copied_the_old_way(opened):
    page = opened(KERAS)
    page.evaluate(
        "navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false"
    )
    page.get_by_role("button", name="Copy : Build it").click()
    page.get_by_text("Select it").wait_for()
    assert page.evaluate("getSelection().toString()") == "avabuild recipe recipes/keras.toml"


def test_everything_can_be_done_with_the_keyboard(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    focused = "document.activeElement.textContent.trim() || document.activeElement.id"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to the images"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    page.keyboard.type("ava-mxnet:py27-cuda80")
    assert len(shown(page)) == 1
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#images tbody a')"):
            break
    ring = page.evaluate("getComputedStyle(document.activeElement, '::after').outlineStyle")
    assert ring == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{MXNET}")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Copy: Run it":
            break
    page.keyboard.press("Enter")
    page.get_by_text("Copied", exact=True).first.wait_for()
    assert "--device nvidia.com/gpu=all" in page.evaluate("navigator.clipboard.readText()")


def test_packages_of_an_image_can_be_searched(opened):
    page = opened(KERAS)
    page.get_by_label("Find among Python packages").fill("jupyter")
    names = page.locator("ul[aria-labelledby=python-packages] li:visible .package").all_inner_texts()
    assert names
    assert all("jupyter" in name for name in names)
    page.wait_for_function(f"document.querySelector('#said').textContent.startsWith('{len(names)} of ')")


def test_without_a_script_all_can_be_read(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("form").is_hidden()
    assert len(shown(page)) > 40
    page.get_by_role("link", name="ava-keras:py311-cpu").click()
    assert page.get_by_text("podman run --rm -it").is_visible()
    assert page.get_by_role("button").count() == 0


def test_nothing_is_wider_than_a_phone_and_cards_are_still_rows(opened, shipped):
    page = opened(viewport=PHONE)
    for path in ("index.html", KERAS, MXNET):
        page.goto(f"{shipped.as_uri()}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        rows = page.get_by_role("table").first.get_by_role("row")
        assert rows.nth(1).get_by_role("rowheader").count() == 1


def test_the_theme_is_the_system_s_until_one_is_chosen_and_then_kept(opened):
    paper = "getComputedStyle(document.body).backgroundColor"
    page = opened(color_scheme="dark")
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Light colours").click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    assert opened(color_scheme="light").evaluate(paper) == light
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(paper) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(opened, shipped, scheme):
    page = opened(color_scheme=scheme)
    for path in ("index.html", KERAS, MXNET):
        page.goto(f"{shipped.as_uri()}/{path}")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 20
        assert [one for one in contrasts if one[0] < 4.5] == []


@pytest.mark.parametrize(
    ("path", "viewport", "scheme"),
    [
        ("index.html", DESK, "light"),
        ("index.html", PHONE, "dark"),
        (KERAS, DESK, "dark"),
        (MXNET, PHONE, "light"),
    ],
)
def test_axe_finds_no_barrier(opened, varied, tmp_path, path, viewport, scheme):
    write(pages(varied), tmp_path)
    page = opened(path, tmp_path, viewport=viewport, color_scheme=scheme)
    kinds = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    options = {
        "preload": False,
        "resultTypes": ["violations"],
        "runOnly": {"type": "tag", "values": kinds},
    }
    found = Axe().run(page, options=options).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_hostile_names_run_nothing(opened, hostile, tmp_path):
    write(pages(hostile), tmp_path)
    page = opened(site=tmp_path)
    assert page.get_by_role("heading", level=1).inner_text() == hostile.title
    page.get_by_label("Search").fill("<script>")
    page.locator("#images tbody a").first.click()
    assert page.evaluate("document.scripts.length") == 1
