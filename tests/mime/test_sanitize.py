from __future__ import annotations

import re

import pytest
from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.sanitize import sanitize

KEPT = [
    ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"),
    ('<a href="https://x.example">y</a>', '<a href="https://x.example" target="_blank">y</a>'),
    ('<a href="mailto:a@b.c" target="_top" rel="x">y</a>', '<a href="mailto:a@b.c" rel="x" target="_blank">y</a>'),
    ('<a href="/relative">y</a>', '<a href="/relative" target="_blank">y</a>'),
    ('<img src="cid:a@b" alt="x">', '<img src="cid:a@b" alt="x">'),
    ('<img src="data:image/png;base64,AA==">', '<img src="data:image/png;base64,AA==">'),
    ('<img src="https://x.example/a.png" width="5">', '<img src="https://x.example/a.png" width="5">'),
    ('<table bgcolor="red"><tbody><tr><td colspan="2">x</td></tr></tbody></table>', None),
    ('<details open=""><summary>s</summary>t</details>', None),
    ('<form action="https://x.example" method="post"><input type="text" value="v"></form>', None),
    ('<div data-x="1" aria-label="l" dir="rtl" lang="ar">x</div>', None),
    ('<svg viewBox="0 0 1 1"><path d="M0 0" fill="red"></path></svg>', None),
    ("<math><mfrac><mi>a</mi><mi>b</mi></mfrac></math>", None),
    ('<font color="red" face="Arial">x</font><center>y</center><marquee>z</marquee>', None),
    ("<custom-element>text stays</custom-element>", "text stays"),
    ("<!-- comment -->x", "x"),
]


@pytest.mark.parametrize(("markup", "expected"), KEPT)
def test_what_stays(markup: str, expected: str | None) -> None:
    assert sanitize(markup) == (expected or markup)


GONE = [
    ("<script>alert(1)</script>x", "x"),
    ("<style>p{}</style>x", "x"),
    ("<iframe src=x>inner</iframe>x", "x"),
    ("<noscript>inner</noscript>x", "x"),
    ("<title>inner</title>x", "x"),
    ("<template>inner</template>x", "x"),
    ("<object data=x>inner</object>x", "innerx"),
    ('<p onclick="x" onmouseover=y>x</p>', "<p>x</p>"),
    ('<a href="javascript:alert(1)">x</a>', '<a target="_blank">x</a>'),
    ('<a href="java\tscript:alert(1)">x</a>', '<a target="_blank">x</a>'),
    ('<a href="&#1;javascript:alert(1)">x</a>', '<a target="_blank">x</a>'),
    ('<a href="&#x6A;avascript&colon;alert(1)">x</a>', '<a target="_blank">x</a>'),
    ('<a href="vbscript:x">x</a>', '<a target="_blank">x</a>'),
    ('<a href="data:text/html,x">x</a>', '<a target="_blank">x</a>'),
    ('<a href="file:///etc/passwd">x</a>', '<a target="_blank">x</a>'),
    ('<a href="blob:x">x</a>', '<a target="_blank">x</a>'),
    ('<table background="javascript:x"></table>', "<table></table>"),
    ('<img srcset="javascript:x 1x">', "<img>"),
    ('<img srcset="data:image/png;base64,AA 1x">', "<img>"),
    ('<form action="javascript:x"></form>', "<form></form>"),
    ('<img id="cookie" name="body">', "<img>"),
    ('<form><input name="attributes"><input id="parentNode"></form>', "<form><input><input></form>"),
    ('<p style="position:fixed;color:red">x</p>', '<p style="color: red;">x</p>'),
    ('<svg fill="url(https://x.example)"></svg>', "<svg></svg>"),
    ('<svg><a xlink:href="javascript:x"><text>t</text></a></svg>', '<svg><a target="_blank"><text>t</text></a></svg>'),
    ('<svg><use href="data:image/svg+xml,x#a"></use></svg>', "<svg></svg>"),
    ('<meta http-equiv="refresh" content="0;url=x">x', "x"),
    ('<base href="https://evil.example">x', "x"),
    ('<link rel="stylesheet" href="x">x', "x"),
]


@pytest.mark.parametrize(("markup", "expected"), GONE)
def test_what_goes(markup: str, expected: str) -> None:
    assert sanitize(markup) == expected


# Tricks from public collections: markup that changes its meaning when parsed a second time, broken tags, odd quoting.
TRICKS = [
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    '<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<img src=`x` onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    "<<script>alert(1)//<</script>",
    '<IMG """><SCRIPT>alert(1)</SCRIPT>">',
    '<a href="jav&#x0A;ascript:alert(1)">x</a>',
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(1)</script>'></foreignObject></svg>",
    "<svg><desc><![CDATA[</desc><script>alert(1)</script>]]></svg>",
    "<select><template><img src=x onerror=alert(1)></template></select>",
    "<table><tr><td><svg><title><style></title><img src=x onerror=alert(1)>",
    "<details ontoggle=alert(1) open>",
    "<input autofocus onfocus=alert(1)>",
    "<a href='x' onclick&#61;alert(1)>x</a>",
    '<p style="background:url(&quot;javascript:alert(1)&quot;)">x</p>',
    "<x/onclick=alert(1)>x",
    "<body onload=alert(1)>x",
    '<math><annotation-xml encoding="text/html"><script>alert(1)</script></annotation-xml></math>',
    '<xmp><p title="</xmp><img src=x onerror=alert(1)>">',
    "<textarea></textarea><img src=x onerror=alert(1)></textarea>",
    '<iframe src="javascript:alert(1)"></iframe>',
    "<video><source onerror=alert(1)></video>",
    "<plaintext><img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("markup", TRICKS)
def test_tricks_leave_nothing_that_runs(markup: str) -> None:
    clean = sanitize(markup)
    for form in (clean, sanitize(clean), LexborHTMLParser(clean).html or ""):
        assert_harmless(form)


def assert_harmless(markup: str) -> None:
    """No element that runs or frames, no handler, no active address, as a browser's parser sees it."""
    document = LexborHTMLParser(markup)
    assert document.css("script, iframe, object, embed, base, meta, link, animate, foreignObject, template") == []
    for node in document.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name not in ("srcdoc", "xlink:href", "formaction")
            plain = re.sub(r"[\x00-\x20]", "", value or "").lower()
            assert not plain.startswith(("javascript:", "vbscript:"))


def test_sanitizing_twice_changes_nothing() -> None:
    for markup, _ in KEPT + GONE:
        once = sanitize(markup)
        assert sanitize(once) == once
