from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest
from mailquay.mime.header import MAX_FIELDS, encode_unstructured, parse_header


def test_order_repetition_and_case() -> None:
    headers = parse_header(b"Received: one\r\nSubject: x\r\nreceived: two\r\n\r\n")
    assert [field.name for field in headers] == ["Received", "Subject", "received"]
    assert [field.text for field in headers.all("RECEIVED")] == ["one", "two"]
    assert headers.text("subject") == "x"
    assert headers.text("missing") is None
    assert headers.decoded() == {"received": ["one", "two"], "subject": ["x"]}


@pytest.mark.parametrize(
    ("block", "decoded"),
    [
        (b"Subject: a\r\n b\r\n\tc\r\n", {"subject": ["a b\tc"]}),
        (b"Subject: a\n b\n", {"subject": ["a b"]}),
        (b"Subject: a\r b\rTo: c\r", {"subject": ["a b"], "to": ["c"]}),
        (b"Subject : a\r\n", {"subject": ["a"]}),
        (b"Subject:\r\n a\r\n", {"subject": ["a"]}),
        (b"Subject:\r\nTo: x", {"subject": [""], "to": ["x"]}),
        (b"From me Thu Jan  1\r\nSubject: a\r\n", {"subject": ["a"]}),
        (b"not a field\r\nSubject: a\r\n", {"subject": ["a"]}),
        (b" leading\r\nSubject: a\r\n", {"subject": ["a"]}),
        (b"", {}),
        (b"X: a\x00b\r\n", {"x": ["a\x00b"]}),
        (b"S: =?utf-8?q?a?=\r\n =?utf-8?q?b?=\r\n", {"s": ["ab"]}),
    ],
)
def test_leniency(block: bytes, decoded: dict[str, list[str]]) -> None:
    assert parse_header(block).decoded() == decoded


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\u2028b", "a\x85b", "\ud800"])
def test_injection_is_refused_and_named(value: str) -> None:
    with pytest.raises(InvalidRequest, match="X-Test"):
        encode_unstructured("X-Test", value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ü", "x" * 77])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        encode_unstructured(name, "x")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("short", b"Subject: short\r\n"),
        ("two  spaces", b"Subject: two  spaces\r\n"),
        ("café", b"Subject: =?UTF-8?B?Y2Fmw6k=?=\r\n"),
        ("looks =?utf-8?q?like?= one", b"Subject: looks =?UTF-8?B?PT91dGYtOD9xP2xpa2U/PQ==?= one\r\n"),
        ("", b"Subject:\r\n"),
    ],
)
def test_encode(value: str, line: bytes) -> None:
    assert encode_unstructured("Subject", value) == line


def test_utf8_headers_stay_utf8() -> None:
    assert encode_unstructured("Subject", "café", utf8=True) == "Subject: café\r\n".encode()


printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=500)


@given(printable)
def test_round_trip(value: str) -> None:
    encoded = encode_unstructured("Subject", value)
    assert all(len(line) <= 998 for line in encoded.split(b"\r\n"))
    assert parse_header(encoded).text("Subject") == value.strip(" ").strip()


@given(st.lists(st.sampled_from(["word", "é" * 30, "=?", "x" * 80, "日本語"]), max_size=40))
def test_lines_stay_short(words: list[str]) -> None:
    lines = encode_unstructured("Subject", " ".join(words)).split(b"\r\n")
    assert all(len(line) <= 90 for line in lines)


def test_limits() -> None:
    started = time.process_time()
    assert len(parse_header(b"A: b\r\n" * 200_000)) == MAX_FIELDS
    assert len(parse_header(b"A: b\r\n" + b" x\r\n" * 300_000)) == 1
    assert parse_header(b"A:" + b"\r" * 1_000_000).text("a") == ""
    assert time.process_time() - started < 3
    with pytest.raises(InvalidRequest, match="longer"):
        encode_unstructured("X", "y" * 200_000)
