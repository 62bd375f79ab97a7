from __future__ import annotations

import time

import pytest

from mailquay.mime.plain_html import linkify, plain_to_html


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("one\ntwo\n\nthree", "<p>one<br />two</p>\n<p>three</p>"),
        ("a <b> & c", "<p>a &lt;b&gt; &amp; c</p>"),
        ("a\n---\nb\n__\nc", "<p>a</p>\n<hr />\n<p>b</p>\n<hr />\n<p>c</p>"),
        ("- no rule", "<p>- no rule</p>"),
        (
            "> one\n>> two\n> one\nmine",
            '<blockquote type="cite" class="ee-block-1">\n<p>one</p>\n<blockquote type="cite" class="ee-block-2">\n'
            "<p>two</p>\n</blockquote>\n<p>one</p>\n</blockquote>\n<p>mine</p>",
        ),
        ("", ""),
    ],
)
def test_blocks(text: str, markup: str) -> None:
    assert plain_to_html(text) == markup


def link(target: str, label: str | None = None) -> str:
    return f'<a href="{target}">{label or target}</a>'


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        (
            "see https://x.example/a?b=1&c=2.",
            'see <a href="https://x.example/a?b=1&amp;c=2">https://x.example/a?b=1&amp;c=2</a>.',
        ),
        ("(https://x.example/a_(b))", f"({link('https://x.example/a_(b)')})"),
        ("www.example.com, ok", f"{link('http://www.example.com', 'www.example.com')}, ok"),
        ("example.co.uk/path", link("http://example.co.uk/path", "example.co.uk/path")),
        ("mail a@b.org!", f"mail {link('mailto:a@b.org', 'a@b.org')}!"),
        ("10.0.0.1:8080/x", link("http://10.0.0.1:8080/x", "10.0.0.1:8080/x")),
        ("mailto:a@b.org", link("mailto:a@b.org")),
        ("script.py README.md end.It 1.2.3 a.b v2.0 foo@bar", "script.py README.md end.It 1.2.3 a.b v2.0 foo@bar"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ('https://x.example/"onclick="x', f'{link("https://x.example/")}"onclick="x'),
    ],
)
def test_links(text: str, markup: str) -> None:
    assert linkify(text) == markup


@pytest.mark.parametrize("piece", ["a.", "a-", "a@", "http://", "1.", ">", "> ", "-", "(", "a@b.", "x.com "])
def test_linear_time(piece: str) -> None:
    started = time.process_time()
    plain_to_html(piece * (500_000 // len(piece)))
    plain_to_html("\n".join([piece * 300] * 300))
    assert time.process_time() - started < 8
