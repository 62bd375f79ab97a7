from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.parameter import format_parameter, parse_parameterized


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/HTML; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        ('attachment; filename="a;b\\"c.txt"', "attachment", {"filename": 'a;b"c.txt'}),
        ("attachment; filename=two words.txt; x=y", "attachment", {"filename": "two words.txt", "x": "y"}),
        ('attachment; filename="open.txt', "attachment", {"filename": "open.txt"}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain (comment); charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("text/plain;; ;charset=utf-8;", "text/plain", {"charset": "utf-8"}),
        ("text/plain; nonsense; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("attachment; filename*=utf-8''caf%C3%A9", "attachment", {"filename": "café"}),
        ("attachment; filename*=iso-8859-1'fr'caf%E9; filename=cafe", "attachment", {"filename": "café"}),
        ("a/b; n*1*=%A9.x; n*0*=utf-8''caf%C3", "a/b", {"n": "café.x"}),
        ("a/b; n*0=one; n*1=two", "a/b", {"n": "onetwo"}),
        ("a/b; n*0*=utf-8''%41; n*1=plain%41", "a/b", {"n": "Aplain%41"}),
        ('a/b; name="=?utf-8?q?caf=C3=A9?="', "a/b", {"name": "café"}),
        ("a/b; name==?utf-8?q?caf=C3=A9?=", "a/b", {"name": "café"}),
        ("", "", {}),
        (";x=y", "", {"x": "y"}),
    ],
)
def test_parse(text: str, value: str, parameters: dict[str, str]) -> None:
    assert parse_parameterized(text) == (value, parameters)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=300))
def test_round_trip(value: str) -> None:
    items = format_parameter("filename", value)
    assert all(item.isascii() and len(item) <= 78 for item in items)
    assert parse_parameterized("attachment; " + "; ".join(items)) == ("attachment", {"filename": value})


@given(st.text(max_size=300))
def test_never_fails(text: str) -> None:
    parse_parameterized(text)


@pytest.mark.parametrize("piece", ["; ", ";x", "x=", 'x="', "x*0=y;", '="', "(", " ", "\\", "x*=a'"])
def test_linear_time(piece: str) -> None:
    started = time.process_time()
    parse_parameterized("a/b;" + piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 2
