"""What a log shows of an IMAP connection: every line, no literal's content, no credential in any form."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.wire.imap.transcript import ImapTranscript
from mailquay.wire.transcript import LINE_BYTES
from tests.wire.transcripts import PASSWORD, PLAIN, Talk, lines_of


def shown(talk: Talk, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> list[str]:
    """The lines of a conversation, as "c: …" and "s: …"."""
    return lines_of(ImapTranscript((PASSWORD,)), talk, cut)


CONVERSATIONS: list[tuple[str, Talk, list[str]]] = [
    (
        "lines of both sides",
        [("s", b"* OK hi\r\n"), ("c", b"A1 NOOP\r\n"), ("s", b"* 3 EXISTS\r\nA1 OK done\r\n")],
        ["s: * OK hi", "c: A1 NOOP", "s: * 3 EXISTS", "s: A1 OK done"],
    ),
    (
        "LOGIN with quoted strings",
        [("c", f'A1 LOGIN "ann" "{PASSWORD}"\r\n'.encode()), ("s", b"A1 OK\r\n"), ("c", b"A2 NOOP\r\n")],
        ["c: A1 LOGIN ******", "s: A1 OK", "c: A2 NOOP"],
    ),
    (
        "LOGIN with literals that wait for leave",
        [
            ("c", b"A1 login {3}\r\n"),
            ("s", b"+ go on\r\n"),
            ("c", b"ann {%d}\r\n" % len(PASSWORD)),
            ("s", b"+ go on\r\n"),
            ("c", PASSWORD.encode() + b"\r\n"),
            ("s", b"A1 OK\r\n"),
            ("c", b"A2 NOOP\r\n"),
        ],
        ["c: A1 login ******", "s: + ******", "c: ******", "s: + ******", "c: ******", "s: A1 OK", "c: A2 NOOP"],
    ),
    (
        "LOGIN with literals that do not wait",
        [("c", f"A1 LOGIN {{3+}}\r\nann {{{len(PASSWORD)}+}}\r\n{PASSWORD}\r\nA2 NOOP\r\n".encode())],
        ["c: A1 LOGIN ******", "c: ******", "c: ******", "c: A2 NOOP"],
    ),
    (
        "a server that ends LOGIN while its password is on the way",
        [
            ("c", b"A1 LOGIN {3}\r\n"),
            ("s", b"+ go on\r\nA1 NO no\r\n"),
            ("c", f'ann "{PASSWORD}"\r\n'.encode()),
            ("c", b"A2 NOOP\r\n"),
        ],
        ["c: A1 LOGIN ******", "s: + ******", "s: A1 NO no", "c: ******", "c: A2 NOOP"],
    ),
    (
        "AUTHENTICATE with an initial response",
        [("c", f"A1 AUTHENTICATE PLAIN {PLAIN}\r\n".encode()), ("s", f"A1 NO {PLAIN} is {PASSWORD}!\r\n".encode())],
        ["c: A1 AUTHENTICATE PLAIN ******", "s: A1 NO ****** is ******!"],
    ),
    (
        "AUTHENTICATE with challenges",
        [
            ("c", b"A1 AUTHENTICATE LOGIN\r\n"),
            ("s", b"+ VXNlcm5hbWU6\r\n"),
            ("c", b"YW5u\r\n"),
            ("s", b"+\r\n"),
            ("c", base64.b64encode(PASSWORD.encode()) + b"\r\n"),
            ("s", b"A1 OK\r\n"),
        ],
        [
            "c: A1 AUTHENTICATE LOGIN",
            "s: + ******",
            "c: ******",
            "s: +",
            "c: ******",
            "s: A1 OK",
        ],
    ),
    (
        "an answer to a challenge that looks like nothing we know",
        [("c", b"A1 AUTHENTICATE X\r\n"), ("s", b"A1 OK\r\n"), ("c", PLAIN.encode() + b"\r\n"), ("c", b"*\r\n")],
        ["c: A1 AUTHENTICATE X", "s: A1 OK", "c: ******", "c: ******"],
    ),
    (
        "IDLE",
        [("c", b"A1 IDLE\r\n"), ("s", b"+ idling\r\n* 4 EXISTS\r\n"), ("c", b"DONE\r\n"), ("s", b"A1 OK\r\n")],
        ["c: A1 IDLE", "s: + idling", "s: * 4 EXISTS", "c: DONE", "s: A1 OK"],
    ),
    (
        "a message that comes",
        [
            ("c", b"A1 UID FETCH 1 (BODY.PEEK[])\r\n"),
            ("s", b"* 1 FETCH (UID 1 BODY[] {14}\r\nSecret\r\ntext\r\n FLAGS (\\Seen))\r\nA1 OK {5}\r\nA2 OK\r\n"),
        ],
        [
            "c: A1 UID FETCH 1 (BODY.PEEK[])",
            "s: * 1 FETCH (UID 1 BODY[] {14}",
            "s:  FLAGS (\\Seen))",
            "s: A1 OK {5}",
            "s: A2 OK",
        ],
    ),
    (
        "a message that goes",
        [("c", b"A1 APPEND x {9}\r\n"), ("s", b"+ ok\r\n"), ("c", b"Secret\r\n.\r\n"), ("s", b"A1 OK\r\n")],
        ["c: A1 APPEND x {9}", "s: + ok", "c: ", "s: A1 OK"],
    ),
    (
        "a message that the server does not want",
        [("c", b"A1 APPEND x {9}\r\n"), ("s", b"A1 NO [OVERQUOTA] full\r\n"), ("c", b"A2 NOOP\r\n")],
        ["c: A1 APPEND x {9}", "s: A1 NO [OVERQUOTA] full", "c: A2 NOOP"],
    ),
    (
        "a long line",
        [("s", b"* " + b"x" * LINE_BYTES + b" {3}\r\nabc)\r\n")],
        ["s: * " + "x" * (LINE_BYTES - 2) + "… (6 more bytes)", "s: )"],
    ),
    ("bytes that are no text", [("s", b"* OK \xff\x00\r\n")], ["s: * OK \ufffd\x00"]),
]


@pytest.mark.parametrize(
    ("talk", "lines"),
    [(talk, lines) for _, talk, lines in CONVERSATIONS],
    ids=[name for name, _, _ in CONVERSATIONS],
)
def test_conversations(talk: Talk, lines: list[str]) -> None:
    assert shown(talk) == lines
    assert shown(talk, lambda data: [data[n : n + 1] for n in range(len(data))]) == lines
    assert PASSWORD not in "".join(lines) and PLAIN not in "".join(lines)


@pytest.mark.parametrize("size", [LINE_BYTES - 40, LINE_BYTES - 20, LINE_BYTES, 2 * LINE_BYTES])
@pytest.mark.parametrize("said", ["", "this server does not know what to do with the following: "])
def test_a_token_that_the_server_repeats_in_a_line_that_is_cut_is_not_shown(size: int, said: str) -> None:
    token = base64.b64encode(random.Random(1).randbytes(2 * LINE_BYTES)).decode()[:size]
    sent, answer = shown(
        [("c", f"A1 AUTHENTICATE XOAUTH2 {token}\r\n".encode()), ("s", f"A1 BAD {said}{token}\r\n".encode())]
    )
    assert sent == "c: A1 AUTHENTICATE XOAUTH2 ******"
    assert re.fullmatch(re.escape(f"s: A1 BAD {said}******") + r"(… \(\d+ more bytes\))?", answer)


def test_a_password_is_known_as_it_stands_in_quotes_too() -> None:
    transcript = ImapTranscript(('say "hush" \\o/',))
    list(transcript.sent(b'A1 LOGIN "ann" "say \\"hush\\" \\\\o/"\r\n'))
    [line] = transcript.received(b'A1 BAD second argument "say \\"hush\\" \\\\o/"\r\n')
    assert line == 'A1 BAD second argument "******"'


def test_a_password_is_looked_for_during_the_login_only() -> None:
    """Otherwise any mail that has the word in its subject would tell that it is the password."""
    talk = [("c", b"A1 NOOP\r\n"), ("s", f"* 1 FETCH (ENVELOPE (NIL {PASSWORD}))\r\n".encode())]
    assert shown(talk)[1] == f"s: * 1 FETCH (ENVELOPE (NIL {PASSWORD}))"


@given(st.lists(st.tuples(st.sampled_from("cs"), st.binary(max_size=60)), max_size=20))
def test_nothing_that_anybody_says_breaks_it(talk: Talk) -> None:
    assert all(len(line) <= LINE_BYTES + 40 for line in shown(talk))
