from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import LocalProtocolError
from mailquay.wire.smtp import command
from mailquay.wire.smtp.path import forward_path, needs_smtputf8, reverse_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (command.ehlo("mail.example.com"), b"EHLO mail.example.com\r\n"),
        (command.ehlo("192.0.2.1"), b"EHLO [192.0.2.1]\r\n"),
        (command.ehlo("2001:db8::1"), b"EHLO [IPv6:2001:db8::1]\r\n"),
        (command.ehlo("h", verb=b"HELO"), b"HELO h\r\n"),
        (command.auth("PLAIN", b"AGE="), b"AUTH PLAIN AGE=\r\n"),
        (command.auth("LOGIN", None), b"AUTH LOGIN\r\n"),
        (command.auth("EXTERNAL", b""), b"AUTH EXTERNAL =\r\n"),
        (command.mail_from(""), b"MAIL FROM:<>\r\n"),
        (
            command.mail_from("a@b.c", size_bytes=9, eight_bit=True, smtputf8=True, ret="HDRS", envid="q+1=x"),
            b"MAIL FROM:<a@b.c> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q+2B1+3Dx\r\n",
        ),
        (command.rcpt_to("a@b.c"), b"RCPT TO:<a@b.c>\r\n"),
        (
            command.rcpt_to("a@b.c", notify=["success", "FAILURE"], orcpt="x y@b.c"),
            b"RCPT TO:<a@b.c> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+20y@b.c\r\n",
        ),
        (command.rcpt_to("a@b.c", orcpt="é=@b.c"), b"RCPT TO:<a@b.c> ORCPT=utf-8;\\x{E9}\\x{3D}@b.c\r\n"),
        (command.rcpt_to("a@bücher.example"), b"RCPT TO:<a@xn--bcher-kva.example>\r\n"),
        (command.rcpt_to("jörg@bücher.example"), "RCPT TO:<jörg@bücher.example>\r\n".encode()),
        (command.rcpt_to('"a b"@c.d'), b'RCPT TO:<"a b"@c.d>\r\n'),
    ],
)
def test_lines(line: bytes, expected: bytes) -> None:
    assert line == expected


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: command.ehlo("a\r\nMAIL FROM:<x@y>"),
        lambda: command.ehlo("two words"),
        lambda: command.ehlo(""),
        lambda: command.auth("PLAIN", b"a\r\nb"),
        lambda: command.mail_from("a@b.c> SIZE=1"),
        lambda: command.mail_from("a@b.c\r\nRCPT TO:<x@y>"),
        lambda: command.mail_from("a@b.c", ret="ALL"),
        lambda: command.mail_from("a@b.c", envid="x" * 101),
        lambda: command.rcpt_to(""),
        lambda: command.rcpt_to("nobody"),
        lambda: command.rcpt_to("a b@c.d"),
        lambda: command.rcpt_to("a@b c"),
        lambda: command.rcpt_to("a\0@b.c"),
        lambda: command.rcpt_to('"a"b"@c.d'),
        lambda: command.rcpt_to("a@ü..ä"),
        lambda: command.rcpt_to("x" * 1000 + "@b.c"),
        lambda: command.rcpt_to("a@b.c", notify=["NEVER", "SUCCESS"]),
        lambda: command.rcpt_to("a@b.c", notify=["SOMETIMES"]),
        lambda: command.rcpt_to("a@b.c", orcpt="x" * 501),
    ],
)
def test_what_cannot_be_said(attempt: Callable[[], bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        attempt()


@given(st.text(max_size=60))
def test_a_path_never_breaks_out(address: str) -> None:
    for encode in (forward_path, reverse_path):
        try:
            path = encode(address)
        except LocalProtocolError:
            continue
        assert path.startswith(b"<")
        assert path.endswith(b">")
        inner = path[1:-1]
        assert not set(inner) & set(b"\r\n\0")
        assert (b">" not in inner and b"<" not in inner) or inner.startswith(b'"')


@given(st.text(max_size=80))
def test_xtext_is_one_word(text: str) -> None:
    encoded = command.xtext(text.encode("utf-8", "replace").decode())
    assert all(0x21 <= byte <= 0x7E for byte in encoded)
    assert b"=" not in encoded


def test_needs_smtputf8() -> None:
    assert needs_smtputf8("jörg@b.c")
    assert not needs_smtputf8("a@bücher.example")
