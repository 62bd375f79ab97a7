"""What clients say, as a server reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.wire.smtp import command
from mailquay.wire.smtp.server import MailFrom, RcptTo, Refusal, parse_command, parse_mail, parse_rcpt


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"EHLO client.example", ("EHLO", "client.example")),
        (b"quit", ("QUIT", "")),
        (b"mail FROM:<a@b.example>  ", ("MAIL", "FROM:<a@b.example>")),
        (b"NOOP ", ("NOOP", "")),
    ],
)
def test_commands(line: bytes, expected: tuple[str, str]) -> None:
    assert parse_command(line) == expected


@pytest.mark.parametrize("line", [b"", b"\xff\xfe", b"NOOP \0", b"GET / HTTP/1.1\0", b"123", b" NOOP", b"A" * 21])
def test_what_is_no_command(line: bytes) -> None:
    with pytest.raises(Refusal, match="no command") as refusal:
        parse_command(line)
    assert refusal.value.reply_code == 500


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<>", MailFrom("")),
        ("from: <a@b.example>", MailFrom("a@b.example")),
        ("FROM:<a@b.example> SIZE=100 BODY=8BITMIME AUTH=<>", MailFrom("a@b.example", size_bytes=100)),
        ("FROM:<@one.example,@two.example:a@b.example>", MailFrom("a@b.example")),
        ('FROM:<"a > b"@c.example>', MailFrom('"a > b"@c.example')),
        ("FROM:<é@b.example> SMTPUTF8", MailFrom("é@b.example", smtputf8=True)),
        ("FROM:<a@b.example> RET=hdrs ENVID=QQ+2B1", MailFrom("a@b.example", ret="headers", envid="QQ+1")),
    ],
)
def test_mail(argument: str, expected: MailFrom) -> None:
    assert parse_mail(argument) == expected


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("", 501),
        ("TO:<a@b.example>", 501),
        ("FROM:a@b.example", 501),
        ("FROM:<a@b.example", 501),
        ("FROM:<a@b.example>SIZE=1", 501),
        ("FROM:<a@b.example> SIZE=x", 501),
        ("FROM:<a@b.example> SIZE=1 SIZE=2", 501),
        ("FROM:<a@b.example> BODY=BINARYMIME", 501),
        ("FROM:<a@b.example> RET=ALL", 501),
        ("FROM:<a@b.example> ENVID=+ZZ", 501),
        ("FROM:<a@b.example> ENVID=" + "x" * 101, 501),
        ("FROM:<a@b.example> SMTPUTF8=1", 501),
        ("FROM:<a@b.example> HOLDFOR=60", 555),
        ("FROM:<nobody>", 553),
        ("FROM:<a b@c.example>", 553),
        ("FROM:<é@b.example>", 553),
    ],
)
def test_mail_that_cannot_be(argument: str, code: int) -> None:
    with pytest.raises(Refusal) as refusal:
        parse_mail(argument)
    assert refusal.value.reply_code == code


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("TO:<a@b.example>", RcptTo("a@b.example")),
        ("TO:<a@b.example> NOTIFY=NEVER", RcptTo("a@b.example", ("never",))),
        (
            "TO:<a@b.example> NOTIFY=success,DELAY ORCPT=rfc822;x+2Bq@y.example",
            RcptTo("a@b.example", ("success", "delay"), "x+q@y.example"),
        ),
        ("TO:<a@b.example> ORCPT=utf-8;\\x{E9}@y.example", RcptTo("a@b.example", (), "é@y.example")),
    ],
)
def test_rcpt(argument: str, expected: RcptTo) -> None:
    assert parse_rcpt(argument, smtputf8=False) == expected


@pytest.mark.parametrize(
    "argument",
    [
        "TO:<>",
        "TO:<postmaster>",
        "TO:<a@b.example> NOTIFY=NEVER,DELAY",
        "TO:<a@b.example> NOTIFY=",
        "TO:<a@b.example> ORCPT=x@y.example",
        "TO:<a@b.example> ORCPT=x400;x",
        "TO:<a@b.example> ORCPT=rfc822;x+0Ay",
        "TO:<a@b.example> ORCPT=rfc822;" + "x" * 501,
    ],
)
def test_rcpt_that_cannot_be(argument: str) -> None:
    with pytest.raises(Refusal):
        parse_rcpt(argument, smtputf8=False)


def test_a_refusal_is_one_line_of_ascii() -> None:
    assert Refusal(554, "5.6.0", "é\r\n250 ok").reply == "554 5.6.0 ???250 ok"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60))
def test_what_our_client_writes_is_read_back(text: str) -> None:
    """The two sides of ENVID and ORCPT agree, whatever characters there are."""
    if text.isascii():
        line = command.mail_from("a@b.example", envid=text, ret="FULL").decode().removeprefix("MAIL ").rstrip()
        assert parse_mail(line).envid == text
    if text.isprintable():
        line = command.rcpt_to("a@b.example", orcpt=text).decode().removeprefix("RCPT ").rstrip()
        assert parse_rcpt(line, smtputf8=False).orcpt == text


@given(st.binary(max_size=200))
def test_no_line_breaks_the_reader(line: bytes) -> None:
    try:
        verb, argument = parse_command(line)
        parse_mail(argument if verb == "MAIL" else line.decode("utf-8"))
    except Refusal as refusal:
        assert refusal.reply_code >= 500
