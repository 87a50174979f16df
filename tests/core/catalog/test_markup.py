"""Markup: what is text stays text."""

from __future__ import annotations

import pytest

from avabuild.catalog.markup import Html, el, join


def test_text_is_escaped_and_markup_is_not_escaped_twice():
    assert el("p", "a < b & c", el("b", "d")) == "<p>a &lt; b &amp; c<b>d</b></p>"


def test_an_attribute_can_t_be_left():
    assert el("a", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;"></a>'
    assert el("a", title="it's") == '<a title="it&#x27;s"></a>'


def test_true_is_an_attribute_without_a_value_and_false_is_none():
    assert (
        el("p", hidden=True, class_=None, lang=False, aria_label="x", for_="y")
        == '<p hidden aria-label="x" for="y"></p>'
    )


def test_children_may_come_as_lists_and_none_is_nothing():
    assert el("ul", (el("li", text) for text in "ab"), None) == "<ul><li>a</li><li>b</li></ul>"
    assert join("<", None, ["&", Html("<br>")]) == "&lt;&amp;<br>"


@pytest.mark.parametrize("name", ["meta", "link", "input"])
def test_an_element_without_content_has_no_end(name):
    assert el(name, name="x") == f'<{name} name="x">'
