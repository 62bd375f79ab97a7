from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailquay.mime.message import MAX_DEPTH, MAX_PARTS, Part, parse_message


def tree(source: bytes) -> list[tuple[str, str, bytes]]:
    return [(p.number, p.content_type, p.encoded if not p.children else b"") for p in parse_message(source).walk()]


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


MIXED = """Subject: x
Content-Type: multipart/mixed; boundary=A

preamble
--A

one
--A
Content-Type: multipart/alternative; boundary="B B"

--B B
Content-Type: text/plain

two

--B B
Content-Type: text/html

<p>
--B B--
between
--A
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=C

--C

inner one
--C
Content-Type: image/png

inner two
--C--
--A
Content-Type: message/rfc822

Subject: plain inner

text
--A--
epilogue
"""
MIXED_TREE = [
    ("", "multipart/mixed", b""),
    ("1", "text/plain", b"one"),
    ("2", "multipart/alternative", b""),
    ("2.1", "text/plain", b"two\r\n"),
    ("2.2", "text/html", b"<p>"),
    ("3", "message/rfc822", b""),
    ("3", "multipart/mixed", b""),
    ("3.1", "text/plain", b"inner one"),
    ("3.2", "image/png", b"inner two"),
    ("4", "message/rfc822", b""),
    ("4.1", "text/plain", b"text"),
]


def test_part_numbers_are_those_of_imap() -> None:
    assert tree(crlf(MIXED)) == MIXED_TREE


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_line_ends_make_no_difference(line_end: str) -> None:
    shape = [(number, content_type) for number, content_type, _ in MIXED_TREE]
    assert [row[:2] for row in tree(MIXED.replace("\n", line_end).encode())] == shape


def test_every_truncation_parses() -> None:
    source = crlf(MIXED)
    for length in range(len(source)):
        root = parse_message(source[:length])
        assert all(0 <= p.start <= p.stop <= length for p in root.walk())


LENIENT = [
    ("", [("1", "text/plain", b"")]),
    ("just text", [("1", "text/plain", b"just text")]),
    ("\nbody only", [("1", "text/plain", b"body only")]),
    ("  \n\nSubject: late\n\nbody", [("1", "text/plain", b"body")]),
    ("From me Thu\nSubject: mbox\n\nbody", [("1", "text/plain", b"body")]),
    ("Subject: header only", [("1", "text/plain", b"")]),
    ("Content-Type: nonsense\n\nbody", [("1", "text/plain", b"body")]),
    ("Content-Type: text/html charset=x\n\nbody", [("1", "text/html", b"body")]),
    ("Content-Type: multipart/mixed\n\nno boundary", [("", "multipart/mixed", b"no boundary")]),
    ("Content-Type: multipart/mixed; boundary=a\n\nnever seen", [("", "multipart/mixed", b"never seen")]),
    # no closing delimiter
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a\n\ntwo",
        [("", "multipart/mixed", b""), ("1", "text/plain", b"one"), ("2", "text/plain", b"two")],
    ),
    # the outer delimiter ends the inner multipart
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n"
        "--a\n\ntwo\n--a--",
        [
            ("", "multipart/mixed", b""),
            ("1", "multipart/mixed", b""),
            ("1.1", "text/plain", b"one"),
            ("2", "text/plain", b"two"),
        ],
    ),
    # the same boundary twice: the inner one counts
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n"
        "--a--\n--a\n\ntwo\n--a--",
        [
            ("", "multipart/mixed", b""),
            ("1", "multipart/mixed", b""),
            ("1.1", "text/plain", b"one"),
            ("2", "text/plain", b"two"),
        ],
    ),
    # one boundary is the beginning of another
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--ab\n--a\n\n--ab\nx\n--a--",
        [("", "multipart/mixed", b""), ("1", "text/plain", b"--ab\r\nx")],
    ),
    # a part that ends inside its header
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nX-Y: z\n--a\n\ntwo\n--a--",
        [("", "multipart/mixed", b""), ("1", "text/plain", b""), ("2", "text/plain", b"two")],
    ),
    # no header at all, not even the blank line
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a\njust words\n--a--",
        [("", "multipart/mixed", b""), ("1", "text/plain", b"just words")],
    ),
    # white space behind the delimiter
    (
        "Content-Type: multipart/mixed; boundary=a\n\n--a \t\n\none\n--a-- \n",
        [("", "multipart/mixed", b""), ("1", "text/plain", b"one")],
    ),
    (
        "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\nbody\n--a--",
        [("", "multipart/digest", b""), ("1", "message/rfc822", b""), ("1.1", "text/plain", b"body")],
    ),
    (
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKYm9keQo=",
        [("1", "message/rfc822", b"U3ViamVjdDogeAoKYm9keQo=")],
    ),
]


@pytest.mark.parametrize(("text", "expected"), LENIENT, ids=[repr(case[0][:40]) for case in LENIENT])
def test_leniency(text: str, expected: list[tuple[str, str, bytes]]) -> None:
    assert tree(crlf(text)) == expected


def test_embedded_message_behind_base64() -> None:
    root = parse_message(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKYm9keQo=")
    assert root.message is not None
    assert root.message.headers.text("subject") == "x"
    assert root.message.content == b"body\n"


def test_part_properties() -> None:
    part = parse_message(
        b'Content-Type: application/pdf; name="a.pdf"\r\n'
        b"Content-Disposition: ATTACHMENT; filename*=utf-8''%C3%A9.pdf\r\n"
        b"Content-ID: x@y\r\nContent-Transfer-Encoding: Base64\r\n\r\naGk="
    )
    assert (part.disposition, part.filename, part.content_id, part.encoding) == (
        *("attachment", "é.pdf", "<x@y>", "base64"),
    )
    assert part.content == b"hi"
    assert part.encoded_size == 4


def test_depth_is_limited() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(500))
    assert max(part.depth for part in parse_message(nested).walk()) == MAX_DEPTH
    assert max(part.depth for part in parse_message(b"Content-Type: message/rfc822\n\n" * 500).walk()) == MAX_DEPTH


START = b"Content-Type: multipart/mixed; boundary=x\n\n"


@pytest.mark.parametrize(
    "source",
    [
        START + b"--x\n" * 1_000_000,
        START + b"--y\n" * 1_000_000,
        START + b"--x\nA: b\n" * 500_000,
        START + b"--x\nContent-Type: multipart/mixed; boundary=y\n\n--y\nA: b\n" * 50_000,
        START * 100_000,
        (START + b"--x\n") * 100_000,
        b"Content-Type: message/rfc822\n\n" * 100_000,
        b"A:b\n" * 2_000_000,
        b"\n" * 10_000_000,
        b" " * 10_000_000,
        b"A: b\n" + b"\r" * 10_000_000,
        b"Content-Type: multipart/mixed;" + b" b=c;" * 200_000 + b"\n\n--x\n",
    ],
    ids=range(12),
)
def test_hostile_messages_take_linear_time(source: bytes) -> None:
    started = time.process_time()
    parts = list(parse_message(source).walk())
    assert len(parts) <= MAX_PARTS
    assert time.process_time() - started < 10


pieces = st.sampled_from(
    [
        *(b"--a\n", b"--a--\n", b"--b\r\n", b"--b--\n", b"\n", b"\r\n", b"x", b"Subject: y\n", b"-", b"\r"),
        b"Content-Type: multipart/mixed; boundary=a\n",
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: message/rfc822\n",
        b"Content-Transfer-Encoding: base64\n",
    ]
)


@given(st.lists(pieces, max_size=40).map(b"".join))
@example(b"Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n--b\r\n--a\n")
def test_structure_always_holds(source: bytes) -> None:
    root = parse_message(source)
    for part in root.walk():
        assert 0 <= part.start <= part.stop <= len(part.source)
        _assert_within(part)
        assert isinstance(part.content, bytes)
    numbers = [part.number for part in root.walk() if not part.children]
    assert len(set(numbers)) == len(numbers)


def _assert_within(part: Part) -> None:
    position = part.start
    for child in part.children:
        assert position <= child.start <= child.stop <= part.stop
        position = child.stop
