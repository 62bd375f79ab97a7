from __future__ import annotations

import pytest

from mailquay.errors import RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA
from mailquay.wire.smtp.extension import Extensions
from mailquay.wire.smtp.reply import MAX_LINES, Reply, ReplyParser

CASES = [
    (b"250 OK\r\n", Reply(250, ("OK",))),
    (b"250\r\n", Reply(250, ("",))),
    (b"250 OK\n", Reply(250, ("OK",))),
    (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, ("one", "two", "three"))),
    (b"250-one\r\n550 two\r\n", Reply(550, ("one", "two"))),
    (b"550 5.1.1 no such user\r\n", Reply(550, ("5.1.1 no such user",))),
    ("250 grüß\r\n".encode(), Reply(250, ("grüß",))),
    (b"250 \xff\r\n", Reply(250, ("\ufffd",))),
    (b"250 a\x1b[0m\tb\r\n", Reply(250, ("a [0m b",))),
]


@pytest.mark.parametrize(("data", "reply"), CASES)
def test_whole_byte_by_byte_and_with_a_tail(data: bytes, reply: Reply) -> None:
    parser = ReplyParser()
    parser.feed(data)
    assert parser.next_reply() == reply
    assert parser.next_reply() is NEED_DATA
    for index in range(len(data)):
        assert parser.next_reply() is NEED_DATA
        parser.feed(data[index : index + 1])
    assert parser.next_reply() == reply
    parser.feed(data + b"354 go\r\n")
    assert parser.next_reply() == reply
    assert parser.next_reply() == Reply(354, ("go",))
    assert len(parser) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\r\n",
        b"25 OK\r\n",
        b"2500 OK\r\n",
        b"199 x\r\n",
        b"699 x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"250 " + b"x" * 5000 + b"\r\n",
        b"x" * 10_000,
        b"250-x\r\n" * (MAX_LINES + 1),
    ],
)
def test_what_is_no_reply(data: bytes) -> None:
    parser = ReplyParser()
    parser.feed(data)
    with pytest.raises(RemoteProtocolError):
        while parser.next_reply() is NEED_DATA:
            raise AssertionError("waits for more")


@pytest.mark.parametrize(
    ("reply", "enhanced", "text"),
    [
        (Reply(250, ("OK",)), None, "250 OK"),
        (Reply(550, ("5.1.1 no such user",)), "5.1.1", "550 5.1.1 no such user"),
        (Reply(550, ("5.1.1 no", "5.1.1 such", "5.1.1 user")), "5.1.1", "550 5.1.1 no such user"),
        (Reply(550, ("4.1.1 contradictory",)), None, "550 4.1.1 contradictory"),
        (Reply(250, ("2.0.0",)), "2.0.0", "250 2.0.0"),
        (Reply(250, ("",)), None, "250"),
        (Reply(550, ("5.1.1234 x",)), None, "550 5.1.1234 x"),
    ],
)
def test_enhanced_codes_and_text(reply: Reply, enhanced: str | None, text: str) -> None:
    assert reply.enhanced_code == enhanced
    assert reply.text == text


def test_classes() -> None:
    assert Reply(250, ()).positive
    assert Reply(354, ()).intermediate
    assert Reply(550, ()).permanent
    assert not Reply(450, ()).permanent


def test_extensions() -> None:
    reply = Reply(
        250,
        (
            "mail.example at your service",
            "size 1000",
            "PIPELINING",
            "AUTH PLAIN LOGIN",
            "AUTH=LOGIN XOAUTH2",
            "8bitmime",
            "",
        ),
    )
    extensions = Extensions.parse(reply)
    assert extensions.max_size_bytes == 1000
    assert extensions.auth_mechanisms == {"PLAIN", "LOGIN", "XOAUTH2"}
    assert "PIPELINING" in extensions
    assert "8BITMIME" in extensions
    assert "STARTTLS" not in extensions


@pytest.mark.parametrize("parameter", ["", " 0", " abc", " -5", " ²", " " + "9" * 30])
def test_size_without_a_usable_limit(parameter: str) -> None:
    assert Extensions.parse(Reply(250, ("x", f"SIZE{parameter}"))).max_size_bytes is None
