"""Messages read piece by piece: the same tree and the same bodies as of the message as a whole, in little memory."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.message import MAX_PARTS, Part, parse_message
from mailquay.mime.splitter import Body, BodyReader, Ended, Started
from tests.mime.test_corpora import foreign_files, own_files

Shown = list[tuple[str, str, int, bytes]]


def _whole(source: bytes) -> Shown:
    return [(part.number, part.content_type, part.depth, part.encoded) for part in parse_message(source).walk()]


def _split(source: bytes, pieces: list[bytes]) -> Shown:
    reader = BodyReader(lambda _: True)
    bodies: dict[int, bytes] = {}
    ended: list[Part] = []
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.finish()
    for event in events:
        if isinstance(event, Started):
            bodies[id(event.part)] = b""
        elif isinstance(event, Body):
            bodies[id(event.part)] += event.data
        elif isinstance(event, Ended):
            ended.append(event.part)
    assert reader.root is not None
    parts = list(reader.root.walk())
    assert sorted(map(id, ended)) == sorted(map(id, parts))
    assert all(len(bodies[id(part)]) == part.encoded_size for part in parts)
    return [(part.number, part.content_type, part.depth, bodies[id(part)]) for part in parts]


def _pieces(source: bytes, size: int) -> list[bytes]:
    return [source[start : start + size] for start in range(0, len(source), size)]


@pytest.mark.parametrize("path", own_files() + foreign_files(), ids=lambda path: "/".join(path.parts[-3:]))
def test_every_message_is_the_same_in_pieces(path: Path) -> None:
    for source in (path.read_bytes(), path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
        expected = _whole(source)
        sizes = [1, 7, 1000, 64 * 1024] if len(source) < 50_000 else [997, 64 * 1024]
        for size in sizes:
            assert _split(source, _pieces(source, size)) == expected


_LINES = st.sampled_from(
    [
        *(b"--a", b"--a--", b"--b", b"--b--", b"--", b"-", b"", b" ", b"text", b"--ab", b"--a \t", b"From x", b"a: b"),
        b"Content-Type: multipart/mixed; boundary=a",
        b"Content-Type: multipart/digest; boundary=b",
        b"Content-Type: message/rfc822",
        b"Content-Type: text/html",
        b"Content-Transfer-Encoding: base64",
        b"--" + b"x" * 998,
        b"--a" + b" " * 997,
        b"--a" + b" " * 996,
        b"y" * 1500,
    ]
)


@given(
    st.lists(st.tuples(_LINES, st.sampled_from([b"\r\n", b"\n", b"\r\n", b"\r", b""])), max_size=40),
    st.integers(1, 300),
)
def test_any_arrangement_of_lines_is_the_same_in_pieces(lines: list[tuple[bytes, bytes]], size: int) -> None:
    source = b"".join(line + end for line, end in lines)
    assert _split(source, _pieces(source, size)) == _whole(source)


def test_more_parts_than_are_read_are_the_body_of_the_last() -> None:
    source = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * (MAX_PARTS + 20)
    assert _split(source, _pieces(source, 4096)) == _whole(source)


def test_a_large_message_is_never_held() -> None:
    block = random.Random(1).randbytes(48 * 1024).hex().encode() + b"\r\n"
    head = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: application/zip\r\n\r\n"
    reader = BodyReader(lambda part: part.number == "1")
    size = 0
    tracemalloc.start()
    for piece in [head, *[block] * 500, b"--a--\r\n"]:
        size += sum(len(event.data) for event in reader.feed(piece) if isinstance(event, Body))
    size += sum(len(event.data) for event in reader.finish() if isinstance(event, Body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 500 * len(block) - 2
    assert peak < 2 * 1024 * 1024


def test_an_endless_header_is_not_held_either() -> None:
    reader = BodyReader(lambda _: False)
    tracemalloc.start()
    for piece in [b"Subject: x\r\n", *[b"X: " + b"y" * 60_000 + b"\r\n"] * 500]:
        reader.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 1024 * 1024
    reader.finish()
    assert reader.root is not None and reader.root.headers.text("Subject") == "x"
