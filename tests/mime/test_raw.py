from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import InvalidRequest
from mailquay.mime.address import Address
from mailquay.mime.raw import FieldFilter, Overrides, RawMessage, envelope_recipients, title_case

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = b"""From: Old <old@example.com>
To: a@example.com,
  b@example.com
Bcc: hidden@example.com
Subject:  keeps   its  spacing
X-EE-Send-At: 2026-01-01T00:00:00Z
X-EE-Gateway: gw

body
"""


def apply(source: bytes, overrides: Overrides) -> str:
    message = RawMessage.read(source)
    message.apply(overrides, new_message_id="new@example.com", now=NOW)
    return message.to_bytes().decode()


def test_untouched_fields_keep_their_bytes_and_missing_ones_are_added() -> None:
    assert apply(SOURCE, Overrides()) == (
        "From: Old <old@example.com>\r\nTo: a@example.com,\r\n  b@example.com\r\nBcc: hidden@example.com\r\n"
        "Subject:  keeps   its  spacing\r\nMessage-ID: <new@example.com>\r\n"
        "Date: Fri, 02 Jan 2026 03:04:05 +0000\r\nMIME-Version: 1.0\r\n\r\nbody\r\n"
    )


def test_control_fields_are_taken_out() -> None:
    message = RawMessage.read(SOURCE)
    assert message.control == {"x-ee-send-at": "2026-01-01T00:00:00Z", "x-ee-gateway": "gw"}
    assert b"X-EE" not in message.to_bytes()


def test_overrides() -> None:
    text = apply(
        SOURCE,
        Overrides(
            from_=[Address("New", "new@example.com")],
            to=[],
            cc=[Address("", "c@example.com")],
            subject="é",
            message_id="mine@example.com",
            headers=[("x-custom", "1"), ("references", "<a@b> <c@d>"), ("x-ee-gateway", "no")],
            default_from=[Address("", "default@example.com")],
        ),
    )
    header = text.partition("\r\n\r\n")[0].split("\r\n")
    assert header[0] == "From: New <new@example.com>"
    assert not any(line.startswith("To:") for line in header)
    assert {"Cc: c@example.com", "Subject: =?UTF-8?B?w6k=?=", "Message-ID: <mine@example.com>"} <= set(header)
    assert {"X-Custom: 1", "References: <a@b> <c@d>"} <= set(header)
    assert "gateway" not in text.lower()


def test_default_from_only_where_there_is_none() -> None:
    default = Overrides(default_from=[Address("", "default@example.com")])
    assert "default@" not in apply(SOURCE, default)
    assert "From: default@example.com" in apply(b"Subject: x\n\nbody", default)


def test_references_replace() -> None:
    text = apply(b"References: <old@x>\nIn-Reply-To: <old@x>\n\n", Overrides(headers=[("References", "<new@x>")]))
    assert "References: <new@x>" in text
    assert "In-Reply-To: <old@x>" in text


@pytest.mark.parametrize("source", [b"no header here", b"A: " + b"x" * 2_000_000 + b"\n\n"])
def test_what_is_no_message(source: bytes) -> None:
    with pytest.raises(InvalidRequest):
        RawMessage.read(source)


def test_injection_through_overrides() -> None:
    with pytest.raises(InvalidRequest, match="Subject"):
        apply(SOURCE, Overrides(subject="x\r\nBcc: y@z"))


def test_envelope_recipients() -> None:
    lists = [[Address("", "A@b.c"), Address("x", "")], [Address("", "a@B.C"), Address("", "d@e.f")]]
    assert envelope_recipients(lists) == ["A@b.c", "d@e.f"]


def test_title_case() -> None:
    assert [title_case(name) for name in ("x-my-field", "X-MY", "message-id")] == ["X-My-Field", "X-MY", "Message-ID"]


@given(st.integers(1, 40))
def test_bcc_is_stripped_whatever_the_pieces(size: int) -> None:
    source = SOURCE.replace(b"\n", b"\r\n")
    filtered = FieldFilter("Bcc")
    pieces = [filtered.feed(source[i : i + size]) for i in range(0, len(source), size)]
    result = b"".join(pieces) + filtered.finish()
    assert result == source.replace(b"Bcc: hidden@example.com\r\n", b"")


def test_folded_bcc_goes_whole() -> None:
    filtered = FieldFilter("Bcc")
    source = b"Bcc: a@b.c,\r\n d@e.f\r\nTo: x@y.z\r\n\r\nBcc: stays in the body"
    assert filtered.feed(source) + filtered.finish() == b"To: x@y.z\r\n\r\nBcc: stays in the body"
