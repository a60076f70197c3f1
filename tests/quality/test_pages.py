"""A page stands by itself: what would load, link to or run anything else goes, and every other letter stays."""

import pytest

from quality import pages

CASES = {
    "text, references and attributes stay as they are": (
        '<!DOCTYPE html><html lang=zh><body id=a CLASS="x">甲 &amp; 乙 &lt;b&gt; &#20057;<br/>',
        '<!DOCTYPE html><html lang=zh><body id=a CLASS="x">甲 &amp; 乙 &lt;b&gt; &#20057;<br/>',
    ),
    "an anchor of the page": ('<a href="#a">甲</a>', '<a href="#a">甲</a>'),
    "a link to another page": ('<a class="x&quot;" href="../index.html">甲</a>', '<a class="x&quot;">甲</a>'),
    "a link to another site, in a hurry": ("<A HREF=//example.org/?a=1&b=2>甲</A>", "<a>甲</a>"),
    "a link that runs": ("<a href='javascript:alert(1)' onclick=alert(1)>甲</a>", "<a>甲</a>"),
    "scripts, wherever from": ("甲<script>if (a<b) {'</p>'}</script><script src=x></script>乙", "甲乙"),
    "pictures and icons": ('甲<img src="a.png"><link rel="shortcut icon" href="a.ico"/>乙', "甲乙"),
    "a footer in a footer": ("甲<footer><p>a<footer>b</footer>c</p></footer>乙", "甲乙"),
    "a background": (
        '<p style="background:URL(\'a.png\')">甲</p><p style="top:0">乙</p>',
        '<p>甲</p><p style="top:0">乙</p>',
    ),
    "a comment": ("甲<!-- <a href=x> -->乙", "甲乙"),
}


@pytest.mark.parametrize(("page", "left"), CASES.values(), ids=CASES)
def test_what_is_left_of(page: str, left: str) -> None:
    assert pages.alone(page) == left


def test_the_head_gets_the_style_and_an_icon_so_that_none_is_asked_for() -> None:
    head, body = pages.alone("<head><style>@import url(x)</style></head><body>甲</body>").split("</head>")
    assert head.startswith('<head><link rel="icon" href="data:,">\n<style>')
    assert "@import" not in head
    assert body == "<body>甲</body>"
