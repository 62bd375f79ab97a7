from __future__ import annotations

import time

import pytest
from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.css import clean_style, inline_styles


@pytest.mark.parametrize(
    ("style", "clean"),
    [
        ("color:red", "color: red;"),
        ("COLOR : Red ; margin:0 0  12px", "color: Red; margin: 0 0 12px;"),
        ("color:red;color:blue", "color: blue;"),
        ("color:red !important;color:blue", "color: red !important;"),
        ("background:url(https://x.example/a.png)", "background: url(https://x.example/a.png);"),
        ('font-family:"A; B", c;color:red', 'font-family: "A; B", c; color: red;'),
        (
            "background:url(data:image/png;base64,AA==);color:red",
            "background: url(data:image/png;base64,AA==); color: red;",
        ),
        ("position:fixed;float:left;color:red;animation-name:x;zoom:2;all:unset;clip:auto", "color: red;"),
        ("p\\6fsition:fixed", ""),
        ("width:expression(alert(1))", ""),
        ("width:exp/**/ression(alert(1))", ""),
        ("width:e\\78pression(alert(1))", ""),
        ("background:url(java\nscript:alert(1))", ""),
        ("background:url('java\\73 cript:alert(1)')", ""),
        ("-moz-binding:url(x)", ""),
        ("behavior:url(x)", ""),
        ("color:red</style><script>", ""),
        ("/* a */color:/* b */red", "color: red;"),
        ("--x:1;color:var(--x)", "--x: 1; color: var(--x);"),
        ("no colon;:no name;color:;", ""),
        ("", ""),
    ],
)
def test_clean_style(style: str, clean: str) -> None:
    assert clean_style(style) == clean


def inlined(sheet: str, body: str) -> str:
    document = LexborHTMLParser(f"<body>{body}</body>")
    inline_styles(document, sheet, 10)
    assert document.body is not None
    return document.body.inner_html or ""


@pytest.mark.parametrize(
    ("sheet", "body", "result"),
    [
        ("p{color:red}", "<p>x</p>", '<p style="color: red;">x</p>'),
        ("p{color:red}", '<p style="margin:0">x</p>', '<p style="color: red; margin: 0;">x</p>'),
        ("p{color:red}", '<p style="color:blue">x</p>', '<p style="color: blue;">x</p>'),
        ("p{color:red!important}", '<p style="color:blue">x</p>', '<p style="color: red !important;">x</p>'),
        (".a{color:red} p{color:blue}", '<p class="a">x</p>', '<p class="a" style="color: red;">x</p>'),
        ("#i{color:red} p.a{color:blue}", '<p id="i" class="a">x</p>', '<p id="i" class="a" style="color: red;">x</p>'),
        ("p,b{color:red}", "<b>x</b>", '<b style="color: red;">x</b>'),
        ("div p{color:red}", "<div><p>x</p></div>", '<div><p style="color: red;">x</p></div>'),
        ("@media screen{p{color:red}} b{color:blue}", "<p>x</p><b>y</b>", '<p>x</p><b style="color: blue;">y</b>'),
        ("@import url(x); b{color:blue}", "<b>y</b>", '<b style="color: blue;">y</b>'),
        ("<!-- p{color:red} -->", "<p>x</p>", '<p style="color: red;">x</p>'),
        (
            "p:hover{top:0} p::before{top:0} p:is(.a){top:0} :not(:not(p)){top:0}",
            "<p>x</p>",
            "<p>x</p>",
        ),
        ("p{position:fixed}", "<p>x</p>", "<p>x</p>"),
        ("p{color:red", "<p>x</p>", '<p style="color: red;">x</p>'),
        ("}}p{color:red}", "<p>x</p>", "<p>x</p>"),
        ("p[{color:red} ..{x:y}", "<p>x</p>", "<p>x</p>"),
    ],
)
def test_inline_styles(sheet: str, body: str, result: str) -> None:
    assert inlined(sheet, body) == result


@pytest.mark.parametrize(
    "sheet",
    [
        "p{color:red}" * 50_000,
        "{" * 500_000,
        "@media{" * 50_000,
        "/*" * 200_000,
        "p{" + "color:red;" * 50_000 + "}",
        "p{color:" + " " * 400_000 + "}",
        ",".join(["p"] * 100_000) + "{color:red}",
        ":not(" * 80_000 + "{color:red}",
        "div " * 100_000 + "{color:red}",
        "".join(f"div:nth-child({n}n+1) > div div{{color:red}}" for n in range(1, 2000)),
    ],
    ids=range(10),
)
def test_hostile_sheets(sheet: str) -> None:
    document = LexborHTMLParser("<body>" + "<div>" * 150 + "<p>x</p>" * 100)
    started = time.process_time()
    inline_styles(document, sheet, 250)
    assert time.process_time() - started < 10
