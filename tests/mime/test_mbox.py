"""mbox entries: whatever a message holds comes back, however it was cut into pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.mbox import MboxEncoder, separator

_PIECES = st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b">", b"F", b"From ", b"From", b" ", b"x", b">>From y"]))


def _encode(*pieces: bytes) -> bytes:
    encoder = MboxEncoder()
    return b"".join(encoder.feed(piece) for piece in pieces) + encoder.finish()


@pytest.mark.parametrize(
    ("message", "entry"),
    [
        (b"A: b\r\n\r\nFrom me\r\n", b"A: b\n\n>From me\n\n"),
        (b"From x\r\n>From y\r\n>>From z\r\n", b">From x\n>>From y\n>>>From z\n\n"),
        (b" From x\r\nFromage\r\nxFrom y", b" From x\nFromage\nxFrom y\n\n"),
        (b"no end", b"no end\n\n"),
        (b"", b"\n"),
        (b"a\rb\r", b"a\rb\r\n\n"),
        (b">" * 5000 + b"From ", b">" * 5001 + b"From \n\n"),
    ],
)
def test_entries(message: bytes, entry: bytes) -> None:
    assert _encode(message) == entry
    assert _encode(*(message[i : i + 1] for i in range(len(message)))) == entry or len(message) > 4096


@given(_PIECES)
def test_pieces_make_no_difference_and_nothing_is_lost(pieces: list[bytes]) -> None:
    entry = _encode(*pieces)
    message = b"".join(pieces)
    assert entry == _encode(message)
    lines = message.replace(b"\r\n", b"\n")
    assert not re.search(rb"^From ", entry, re.MULTILINE)
    back = re.sub(rb"^>(>*From )", rb"\1", entry, flags=re.MULTILINE)
    assert back == lines + (b"\n" if lines.endswith(b"\n") or not lines else b"\n\n")


@pytest.mark.parametrize(
    ("sender", "ms", "line"),
    [
        ("ann@example.test", 1_800_000_000_000, b"From ann@example.test Fri Jan 15 08:00:00 2027\n"),
        (None, 0, b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"),
        ("a b@c\nFrom d", 0, b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"),
        ("ä@example.test", 0, b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"),
    ],
)
def test_separators(sender: str | None, ms: int, line: bytes) -> None:
    assert separator(sender, ms) == line
