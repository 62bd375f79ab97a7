from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.wire.smtp.dot_stuffing import DotStuffer


def stuff(data: bytes, size: int) -> bytes:
    stuffer = DotStuffer()
    return b"".join(stuffer.feed(data[i : i + size]) for i in range(0, len(data), size)) + stuffer.finish()


CASES = [
    (b"", b".\r\n"),
    (b"a", b"a\r\n.\r\n"),
    (b"a\r\n", b"a\r\n.\r\n"),
    (b".", b"..\r\n.\r\n"),
    (b".\r\n.\r\n", b"..\r\n..\r\n.\r\n"),
    (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
    (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n"),
    (b"a\r\r\n.b", b"a\r\n\r\n..b\r\n.\r\n"),
    (b"a.b\r\n..c", b"a.b\r\n...c\r\n.\r\n"),
    (b"\r\n", b"\r\n.\r\n"),
    (b"\n\n", b"\r\n\r\n.\r\n"),
]


@pytest.mark.parametrize(("data", "wire"), CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_cases(data: bytes, wire: bytes, size: int) -> None:
    assert stuff(data, size) == wire


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a", b"\r\n.\r\n"]), max_size=40), st.integers(1, 7))
def test_the_message_ends_only_at_its_end(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    wire = stuff(data, size)
    assert wire == stuff(data, len(data) + 1)
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", wire)
    unstuffed = re.sub(rb"(?m)^\.", b"", wire[:-3])
    normal = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    assert unstuffed in (normal, normal + b"\r\n")
