from __future__ import annotations

import time

import pytest
from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.history import CLOSING, OPENING
from mailquay.mime.websafe import web_safe_html
from tests.mime.test_sanitize import TRICKS, assert_harmless
from tests.mime.test_text import HOSTILE

OLD = "Old words of somebody else that were written long ago and are quoted here in full length. " * 3


def safe(markup: str) -> str:
    result = web_safe_html(markup, None)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>x</p>", '<div style="overflow: auto;"><p>x</p></div>'),
        (
            "<html><head><style>p{color:red}</style></head><body><p style='margin:0 0 12px'>x</p></body></html>",
            '<div style="overflow: auto;"><p style="color: red; margin: 0 0 12px;">x</p></div>',
        ),
        (
            '<body style="color:red;width:500px;max-height:1px;overflow:hidden" onload=x>x</body>',
            '<div style="color: red; overflow: auto;">x</div>',
        ),
        ("<style>body{margin:0}</style>x", '<div style="margin: 0; overflow: auto;">x</div>'),
        ("<p>x</p><style>p{color:red}</style>", '<div style="overflow: auto;"><p>x</p></div>'),
        ("<img src=cid:a>", '<div style="overflow: auto;"><img src="cid:a"></div>'),
        ("plain words", '<div style="overflow: auto;">plain words</div>'),
        ("<body style='font-family:\"A B\"'>x", '<div style="font-family: &quot;A B&quot;; overflow: auto;">x</div>'),
    ],
)
def test_the_result_is_one_div(markup: str, expected: str) -> None:
    assert safe(markup) == expected


def test_plain_text() -> None:
    result = web_safe_html(None, "Hello\n\n> quoted\nhttps://x.example")
    assert result is not None
    assert result.startswith('<div style="font-family: sans-serif; font-size: 12px; overflow: auto;"><p>Hello</p>')
    assert 'class="ee-block-1" style="' in result
    assert "2px solid darkblue" in result
    assert '<a href="https://x.example" target="_blank">' in result


def test_neither() -> None:
    assert web_safe_html(None, None) is None
    assert web_safe_html("", None) == '<div style="overflow: auto;"></div>'
    assert web_safe_html("  ", "plain") == web_safe_html(None, "plain")


QUOTES = {
    "gmail": f'<div>Mine</div><div class="gmail_quote"><div class="gmail_attr">On Mon, X wrote:<br></div>'
    f"<blockquote>{OLD}</blockquote></div>",
    "apple": f'<div>Mine</div><div>On 1 Jan 2026, X wrote:</div><blockquote type="cite">{OLD}</blockquote>',
    "outlook": '<div>Mine</div><div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3pt">'
    f"<p><b>From:</b> X<br><b>Sent:</b> Monday<br><b>To:</b> Me<br><b>Subject:</b> Hi</p></div></div><p>{OLD}</p>",
    "outlook-web": f'<div>Mine</div><div id="appendonsend"></div><hr>'
    f'<div id="divRplyFwdMsg">From: X</div><div>{OLD}</div>',
    "thunderbird": f'<p>Mine</p><div class="moz-cite-prefix">Am 1.1.2026 um 10:00 schrieb X:<br></div>'
    f'<blockquote type="cite" cite="mid:x">{OLD}</blockquote>',
    "yahoo": f'<div>Mine</div><div class="yahoo_quoted"><div>On Monday X wrote:</div><div>{OLD}</div></div>',
    "separator": f"<div>Mine</div><div>-----Original Message-----</div><div>{OLD}</div>",
    "nested": f'<div><div>Mine</div><br><div class="gmail_quote">{OLD}</div></div>',
    "in a document": f'<html><body><p>Mine</p><div class="gmail_quote">{OLD}</div></body></html>',
}


@pytest.mark.parametrize("markup", QUOTES.values(), ids=QUOTES.keys())
def test_history_is_folded(markup: str) -> None:
    result = safe(markup)
    assert result.count(OPENING) == result.count(CLOSING) == 1
    document = LexborHTMLParser(result)
    (details,) = document.css("details")
    assert OLD[:40] in details.text()
    assert "wrote:" not in result.partition(OPENING)[0]
    for node in document.css("details"):
        node.decompose()
    assert "Mine" in document.text()
    assert OLD[:40] not in document.text()
    folded = web_safe_html(markup, None, fold=False)
    assert folded is not None
    assert OPENING not in folded


OPEN = {
    "answered below": f'<blockquote type="cite">{OLD}</blockquote><div>My answer below</div>',
    "interleaved": f'Mine<blockquote type="cite">{OLD}</blockquote><p>answer</p>'
    f'<blockquote type="cite">{OLD}</blockquote>x',
    "nothing before": f'<div class="gmail_quote">{OLD}</div>',
    "too short": '<p>Mine</p><div class="gmail_quote">short</div>',
    "in a table": f'<table><tr><td>Mine<div class="gmail_quote">{OLD}</div></td></tr></table>',
    "no history": f"<p>Mine</p><p>{OLD}</p>",
    "signature": f'<p>Mine</p><div class="gmail_signature">{OLD}</div>',
    "image after": f'<p>Mine</p><div class="gmail_quote">{OLD}</div><img src="cid:x">',
    "too long": f'<p>Mine</p><div class="gmail_quote">{OLD * 1500}</div>',
}


@pytest.mark.parametrize("markup", OPEN.values(), ids=OPEN.keys())
def test_what_is_uncertain_stays_open(markup: str) -> None:
    assert "ee-collapsed-thread" not in safe(markup)


def test_plain_history_is_folded() -> None:
    text = "My answer\n\nOn Monday, Joe wrote:\n" + "> an old line of text\n" * 20
    result = web_safe_html(None, text)
    assert result is not None
    before, _, after = result.partition(OPENING)
    assert "My answer" in before
    assert "Joe wrote" in after


def test_markers_in_the_mail_do_not_confuse() -> None:
    result = safe(f'<p>[[fold-open-0]] Mine</p><div class="gmail_quote">{OLD}</div>')
    assert result.count(OPENING) == 1
    assert "[[fold-open-0]]" in result


@pytest.mark.parametrize("markup", TRICKS)
def test_tricks_leave_nothing_that_runs(markup: str) -> None:
    assert_harmless(safe(markup))
    assert_harmless(safe(f'<p>Mine</p>{markup}<div class="gmail_quote">{OLD}{markup}</div>'))
    assert_harmless(safe(markup + "<br>" * 1100))


MORE = [
    "<div class=gmail_quote>" * 20_000,
    "<blockquote type=cite>x" * 20_000,
    "<div style='border-top:solid #E1E1E1 1.0pt'>From: To: Subject:</div>" * 5000,
    "<div>On Monday X wrote:</div>" * 8000,
    "<style>" + "div div div{color:red}" * 5000 + "</style>" + "<div>" * 150 + "<div>x</div>" * 5000,
]


@pytest.mark.parametrize("markup", HOSTILE + MORE, ids=range(len(HOSTILE + MORE)))
def test_hostile_markup_takes_bounded_time(markup: str) -> None:
    started = time.process_time()
    safe(markup)
    assert time.process_time() - started < 15
