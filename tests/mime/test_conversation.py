from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.conversation import MAX_RELATED_IDS, ids_in, own_id, references_in


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (b"", ()),
        (b"\r\n", ()),
        (b"References: <a@x>\r\n\r\n", ("a@x",)),
        (b"references:<a@x><b@x>\r\n\t<c@x>\r\n\r\n", ("a@x", "b@x", "c@x")),
        (b"References : <a@x> <a@x>\n <b\n @x>\n", ("a@x", "b@x")),
        (b"References:\r\n <a@x>\r\n\r\n", ("a@x",)),
        (b"References: <> < > nonsense <a@x\r\n\r\n", ()),
        (b"References: <\xc3\xa9@x> <\xff@x>\r\n\r\n", ("é@x", "\ufffd@x")),
        # More than what was asked for.
        (b"Message-ID: <m@x>\r\nReferences: <a@x>\r\nFrom: <f@x>\r\n\r\n", ("a@x",)),
        (b"Message-ID: <m@x>\r\nX-References: <a@x>\r\n\r\n", ()),
        (b"Subject: References: <a@x>\r\n\r\n", ()),
    ],
)
def test_references(header: bytes, ids: tuple[str, ...]) -> None:
    assert references_in(header) == ids


def test_of_many_references_the_first_and_the_last_count() -> None:
    header = b"References: " + b"\r\n ".join(b"<%d@x>" % n for n in range(500)) + b"\r\n\r\n"
    assert references_in(header) == ("0@x", *(f"{n}@x" for n in range(500 - MAX_RELATED_IDS, 500)))
    assert len(ids_in("".join(f"<{n}@x>" for n in range(500)))) == MAX_RELATED_IDS


@pytest.mark.parametrize(
    ("text", "ids", "own"),
    [
        (None, (), None),
        ("", (), None),
        ("<a@x>", ("a@x",), "a@x"),
        ("<a @x>", ("a@x",), "a@x"),
        ("a@x", ("a@x",), "a@x"),
        ("<a@x", ("a@x",), "a@x"),
        ("number7", (), "number7"),
        ("<>", (), None),
        ('Ann\'s message of "Tue" <a@x> (was: <b@x>)', ("a@x", "b@x"), "a@x"),
        ("yours of Tuesday", (), "yoursofTuesday"),
    ],
)
def test_ids(text: str | None, ids: tuple[str, ...], own: str | None) -> None:
    assert (ids_in(text), own_id(text)) == (ids, own)


@given(st.binary(max_size=300))
def test_any_header_is_read(raw: bytes) -> None:
    for one in references_in(b"References: " + raw):
        assert one and not any(letter.isspace() or letter in "<>" for letter in one)


@pytest.mark.parametrize("piece", [b"<", b"<a", b"<a@x>", b"\r\n ", b"\r\n", b"references:", b" ", b">"])
def test_no_header_takes_long(piece: bytes) -> None:
    began = time.process_time()
    references_in(b"References: " + piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 1
