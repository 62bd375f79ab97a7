"""Where a message ends, whatever pieces it comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.wire.smtp.data_reader import DataReader
from mailquay.wire.smtp.dot_stuffing import DotStuffer


def read(pieces: list[bytes]) -> tuple[bytes, DataReader]:
    """What a reader makes of these pieces; those after the end stay unread."""
    reader = DataReader()
    message = bytearray()
    for position, piece in enumerate(pieces):
        message += reader.feed(piece)
        if reader.complete:
            reader.rest += b"".join(pieces[position + 1 :])
            break
    return bytes(message), reader


@pytest.mark.parametrize(
    ("wire", "message", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n..\r\n.b\r\n.\r\nQUIT\r\n", b"a\r\n.\r\nb\r\n", b"QUIT\r\n"),
        (b"..a\r\n\r\n.\r\n.\r\n", b".a\r\n\r\n", b".\r\n"),
    ],
)
def test_messages(wire: bytes, message: bytes, rest: bytes) -> None:
    for pieces in ([wire], [wire[n : n + 1] for n in range(len(wire))]):
        read_, reader = read(pieces)
        assert (read_, reader.complete, reader.crooked, reader.rest) == (message, True, False, rest)


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\r\n"])
def test_what_only_looks_like_an_end_is_none(end: bytes) -> None:
    """Nothing but CRLF.CRLF ends a message; all else that others take for an end makes it crooked."""
    wire = b"Subject: x\r\n\r\na" + end + b"MAIL FROM:<evil@b.example>\r\n.\r\nQUIT\r\n"
    for pieces in ([wire], [wire[n : n + 1] for n in range(len(wire))]):
        _, reader = read(pieces)
        assert (reader.complete, reader.crooked, reader.rest) == (True, True, b"QUIT\r\n")


@given(st.lists(st.sampled_from([b"\r\n", b".", b"a", b"..", b"\r\n.\r\n", b"bc"])), st.integers(1, 9))
def test_it_undoes_what_senders_do(parts: list[bytes], size: int) -> None:
    message = b"".join(parts)
    message += b"" if message.endswith(b"\r\n") or not message else b"\r\n"
    stuffer = DotStuffer()
    wire = stuffer.feed(message) + stuffer.finish() + b"NEXT"
    read_, reader = read([wire[n : n + size] for n in range(0, len(wire), size)])
    assert (read_, reader.complete, reader.crooked, reader.rest) == (message, True, False, b"NEXT")
