"""What a log shows of an SMTP connection: every line, messages by their size, no credential in any form."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.wire.smtp.transcript import SmtpTranscript
from mailquay.wire.transcript import LINE_BYTES
from tests.wire.transcripts import PASSWORD, PLAIN, Talk, lines_of


def shown(talk: Talk, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> list[str]:
    """The lines of a conversation, as "c: …" and "s: …"."""
    return lines_of(SmtpTranscript((PASSWORD,)), talk, cut)


CONVERSATIONS: list[tuple[str, Talk, list[str]]] = [
    (
        "a message",
        [
            ("s", b"220 hi\r\n"),
            ("c", b"EHLO me\r\n"),
            ("s", b"250-mx\r\n250 AUTH PLAIN LOGIN\r\n"),
            ("c", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"),
            ("s", b"250 ok\r\n250 ok\r\n"),
            ("c", b"DATA\r\n"),
            ("s", b"354 go on\r\n"),
            ("c", b"Subject: secret\r\n\r\n..\r\nQUIT\r\n"),
            ("c", b"AUTH PLAIN x\r\n"),
            ("c", b".\r\n"),
            ("s", b"250 queued\r\n"),
            ("c", b"QUIT\r\n"),
        ],
        [
            "s: 220 hi",
            "c: EHLO me",
            "s: 250-mx",
            "s: 250 AUTH PLAIN LOGIN",
            "c: MAIL FROM:<a@x.test>",
            "c: RCPT TO:<b@x.test>",
            "s: 250 ok",
            "s: 250 ok",
            "c: DATA",
            "s: 354 go on",
            "c: (a message, 46 bytes)",
            "s: 250 queued",
            "c: QUIT",
        ],
    ),
    (
        "an empty message",
        [("c", b"DATA\r\n"), ("s", b"354-go\r\n354 on\r\n"), ("c", b".\r\n"), ("s", b"250\r\n")],
        ["c: DATA", "s: 354-go", "s: 354 on", "c: (a message, 3 bytes)", "s: 250"],
    ),
    (
        "DATA refused",
        [("c", b"DATA\r\n"), ("s", b"554 no\r\n"), ("c", b"RSET\r\n")],
        ["c: DATA", "s: 554 no", "c: RSET"],
    ),
    (
        "AUTH with an initial response, repeated by the server",
        [
            ("c", f"AUTH PLAIN {PLAIN}\r\n".encode()),
            ("s", f"535-{PLAIN}\r\n535 {PASSWORD} is wrong\r\n".encode()),
            ("c", b"QUIT\r\n"),
        ],
        ["c: AUTH PLAIN ******", "s: 535-******", "s: 535 ****** is wrong", "c: QUIT"],
    ),
    (
        "AUTH with challenges",
        [
            ("c", b"auth LOGIN\r\n"),
            ("s", b"334 VXNlcm5hbWU6\r\n"),
            ("c", b"YW5u\r\n"),
            ("s", b"334 UGFzc3dvcmQ6\r\n"),
            ("c", base64.b64encode(PASSWORD.encode()) + b"\r\n"),
            ("s", b"235 ok\r\n"),
            ("c", b"NOOP\r\n"),
        ],
        [
            "c: auth LOGIN",
            "s: 334 ******",
            "c: ******",
            "s: 334 ******",
            "c: ******",
            "s: 235 ok",
            "c: NOOP",
        ],
    ),
    (
        "what is no command of ours",
        [("c", PLAIN.encode() + b"\r\n"), ("c", PASSWORD.encode() + b"\r\n")],
        ["c: ******", "c: ******"],
    ),
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


@given(st.lists(st.tuples(st.sampled_from("cs"), st.binary(max_size=60)), max_size=20))
def test_nothing_that_anybody_says_breaks_it(talk: Talk) -> None:
    assert all(len(line) <= LINE_BYTES + 40 for line in shown(talk))
