from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.html_text import html_to_text
from mailquay.mime.markup import MAX_DEPTH, tame
from mailquay.mime.text import decode_text, text_to_html, unflow


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("one \ntwo", "one two"),
        ("one\ntwo", "one\ntwo"),
        ("-- \nme", "-- \nme"),
        ("soft \n-- \nme", "soft \n-- \nme"),
        (" stuffed", "stuffed"),
        ("> one \n> two\nmine", "> one two\nmine"),
        (">> deep \n> less", ">> deep \n> less"),
        ("> one \nmine", "> one \nmine"),
        ("last ", "last "),
        ("", ""),
    ],
)
def test_unflow(text: str, joined: str) -> None:
    assert unflow(text) == joined


def test_delsp() -> None:
    assert unflow("Donau \ndampf", delsp=True) == "Donaudampf"


def test_newlines_and_nul() -> None:
    assert decode_text(b"a\r\nb\rc\nd\0", None) == "a\nb\nc\nd\ufffd"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Hello <b>you</b>  there</p><p>Next</p>", "Hello you there\n\nNext"),
        ("one<br>two<br><br>three", "one\ntwo\n\nthree"),
        ('<a href="https://x.example/">click</a>', "click [https://x.example/]"),
        ('<a href="https://x.example/">https://x.example</a>', "https://x.example"),
        ('<a href="mailto:a@b.c">a@b.c</a>', "a@b.c"),
        ('<a href="javascript:x">click</a>', "click"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<blockquote>quoted<br>lines</blockquote>after", "> quoted\n> lines\n\nafter"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<title>t</title><style>x{}</style><script>y</script>seen", "seen"),
        ('<img src=x alt="Logo">', "[Logo]"),
        ("a<hr>b", "a\n---\nb"),
        ("&lt;b&gt;&nbsp;&amp;", "<b> &"),
        ("", ""),
    ],
)
def test_html_to_text(markup: str, text: str) -> None:
    assert html_to_text(markup) == text


def test_text_to_html() -> None:
    assert text_to_html("a < b\r\n& c") == "a &lt; b<br />\n&amp; c"


HOSTILE = [
    "<div>" * 200_000,
    "<b>" * 100_000 + "x",
    "<p>x" * 100_000,
    "<a href=x>" * 50_000,
    "<table><tr><td>" * 20_000,
    "&amp;" * 500_000,
    "<a href=http://x>y" * 20_000,
    "<blockquote>x" * 50_000,
    "".join(f"<font a{i}>" for i in range(5000)) + "<p>x</p>" * 5000,
    "".join(f"<font a{i}><!--</font>-->" for i in range(3000)) + "<p>x</p>" * 5000,
    "".join(f'<font a{i} x="</font>">' for i in range(3000)) + "<p>x</p>" * 5000,
    "<svg><style>" + "".join(f"<font a{i}>" for i in range(5000)) + "<p>x</p>" * 5000,
    "<a " + " ".join(f"b{i}" for i in range(200_000)) + ">",
    "<a b=" * 100_000,
    "<" * 1_000_000,
    "<!--" * 200_000,
    "<a b='" * 100_000,
    "<style>" * 100_000,
    "<title>" * 100_000,
    "<table><b>x" * 30_000,
    "<p><b>" * 50_000,
    "</div>" * 200_000,
]


@pytest.mark.parametrize("markup", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_markup_takes_linear_time(markup: str) -> None:
    started = time.process_time()
    html_to_text(markup)
    assert time.process_time() - started < 8


def test_small_markup_is_left_alone() -> None:
    assert tame("<p>x<b>") == "<p>x<b>"


def test_large_markup_keeps_what_matters() -> None:
    filler = "<p>filler</p>" * 1000
    markup = (
        "<html><head><title>gone</title><style>p{color:red}</style></head><body style='margin:0'>"
        f'{filler}<p class=a title=\'x"y\'>one<p>two <a href="https://x.example/?a=1&amp;b=2">link</a>'
        "<table><tr><td>cell<tr><td>next</table><ul><li>a<li>b</ul>2 < 3<form>inside</form></body></html>"
    )
    tamed = tame(markup)
    assert tamed != markup
    plain = LexborHTMLParser(tamed)
    assert [n.text() for n in plain.css("td")] == ["cell", "next"]
    assert [n.text() for n in plain.css("li")] == ["a", "b"]
    assert [n.attributes["href"] for n in plain.css("a")] == ["https://x.example/?a=1&b=2"]
    assert [n.attributes["title"] for n in plain.css("p.a")] == ['x"y']
    assert [n.text() for n in plain.css("style")] == ["p{color:red}"]
    assert plain.body is not None
    assert plain.body.attributes["style"] == "margin:0"
    assert "inside" in plain.body.text()
    assert "gone" not in plain.body.text()
    assert html_to_text(tamed) == html_to_text(markup)


tokens = st.sampled_from(
    [
        *(
            "<div>",
            "</div>",
            "<b>",
            "</b>",
            "<p>",
            "<table>",
            "<tr>",
            "<td>",
            "</table>",
            "<a href='x'>",
            "</a>",
            "t",
            "<li>",
        )
    ]
)


@given(st.lists(tokens, max_size=60).map("".join))
def test_tamed_markup_is_balanced(markup: str) -> None:
    tamed = tame(markup + "<br>" * 1001)
    depth = deepest = 0
    for piece in tamed.split("<")[1:]:
        if piece.startswith("br>"):
            continue
        depth += -1 if piece.startswith("/") else 1
        deepest = max(deepest, depth)
    assert depth == 0
    assert deepest <= MAX_DEPTH
