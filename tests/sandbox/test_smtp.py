"""Submission with smtplib, end to end: from the dialogue to the mailbox."""

from __future__ import annotations

import asyncio
import smtplib

import pytest

from mailquay.sandbox.smtp_server import SmtpLimits
from mailquay.sandbox.world import SandboxAccount, SandboxWorld
from tests.sandbox.clients import imaplib_client, in_thread, mail, send_mail


async def test_mail_arrives_for_users_and_in_the_catch_all(empty: SandboxWorld, ann: SandboxAccount) -> None:
    bruno, chiyo = empty.accounts[1:]
    message = mail("to many", "..dot\r\n.\r\nend\r\n")
    recipients = [bruno.email, chiyo.email.upper(), "chiyo+tag@sandbox.test", "x@far.example", "y@away.example"]
    assert await in_thread(send_mail, ann, recipients, message) == {}
    async with imaplib_client(bruno) as client:
        assert await client("select") == [b"1"]
        [(_, content), *_] = await client("fetch", "1", "(BODY[])")
    assert content.endswith(message)
    trace = content.removesuffix(message)
    assert trace.startswith(b"Return-Path: <ann@sandbox.test>\r\nDelivered-To: bruno@sandbox.test\r\nReceived: from ")
    assert len(empty.store_of(chiyo.email).mailbox("INBOX")) == 1
    async with imaplib_client(empty.catch_all) as client:
        assert await client("select") == [b"1"]
        [(_, content), *_] = await client("fetch", "1", "(BODY[])")
    assert b"Delivered-To: x@far.example\r\n" in content


async def test_who_may_send_to_whom(empty: SandboxWorld, ann: SandboxAccount) -> None:
    with pytest.raises(smtplib.SMTPSenderRefused) as anonymous:
        await in_thread(send_mail, ann, ["bruno@sandbox.test"], mail("x"), login=False)
    assert anonymous.value.smtp_code == 530
    with pytest.raises(smtplib.SMTPRecipientsRefused) as unknown:
        await in_thread(send_mail, ann, ["nobody@sandbox.test"], mail("x"))
    assert unknown.value.recipients == {"nobody@sandbox.test": (550, b"5.1.1 There is no such user here")}


@pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
@pytest.mark.parametrize("initial", [True, False])
async def test_login_by_every_mechanism(ann: SandboxAccount, mechanism: str, initial: bool) -> None:
    name = mechanism.removeprefix("auth_").upper()

    def log_in(password: str) -> int:
        with smtplib.SMTP(ann.smtp_host, ann.smtp_port, timeout=10) as client:
            client.ehlo()
            assert int(client.esmtp_features["size"]) > 0
            client.user, client.password = ann.user, password
            return client.auth(name, getattr(client, mechanism), initial_response_ok=initial)[0]

    assert await in_thread(log_in, ann.password) == 235
    with pytest.raises(smtplib.SMTPAuthenticationError):
        await in_thread(log_in, "wrong")


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["AUTH PLAIN !!!"], "501"),
        (["AUTH PLAIN", "*"], "501"),
        (["AUTH PLAIN", "!!!"], "501"),
        (["AUTH PLAIN AAAA"], "501"),
        (["AUTH LOGIN", "*"], "501"),
        (["AUTH LOGIN YW5u", "*"], "501"),
        (["AUTH LOGIN ####"], "501"),
        (["AUTH CRAM-MD5"], "504"),
    ],
)
async def test_a_login_that_cannot_be_read_is_answered_once(ann: SandboxAccount, lines: list[str], reply: str) -> None:
    reader, writer = await asyncio.open_connection(ann.smtp_host, ann.smtp_port)

    async def answer() -> str:
        async with asyncio.timeout(10):
            while (line := (await reader.readline()).decode())[3:4] == "-":
                pass
        return line

    assert (await answer()).startswith("220")
    writer.write(b"EHLO me\r\n")
    assert (await answer()).startswith("250")
    for line in lines:
        writer.write(line.encode() + b"\r\n")
        last = await answer()
    assert last.startswith(reply)
    writer.write(b"NOOP\r\n")
    assert (await answer()).startswith("250")
    writer.close()


async def test_limits(ann: SandboxAccount) -> None:
    limits = SmtpLimits(sessions=1, message_bytes=1000, recipients=2)
    world = SandboxWorld(empty=True, smtp_limits=limits)
    await world.start()
    account = world.accounts[0]

    def work() -> None:
        with smtplib.SMTP(account.smtp_host, account.smtp_port, timeout=10) as client:
            with pytest.raises(smtplib.SMTPConnectError) as many:
                smtplib.SMTP(account.smtp_host, account.smtp_port, timeout=10)
            assert many.value.smtp_code == 421
            client.login(account.user, account.password)
            with pytest.raises(smtplib.SMTPSenderRefused):
                client.sendmail(account.email, ["bruno@sandbox.test"], mail("big", "x" * 2000))
            refused = client.sendmail(account.email, ["bruno@sandbox.test", "a@x.test", "b@x.test"], mail("few"))
            assert refused == {"b@x.test": (452, b"4.5.3 Too many recipients")}

    await in_thread(work)
    await world.stop()


async def test_utf8_addresses_and_empty_senders(empty: SandboxWorld, ann: SandboxAccount) -> None:
    def work() -> None:
        with smtplib.SMTP(ann.smtp_host, ann.smtp_port, timeout=10) as client:
            client.login(ann.user, ann.password)
            client.sendmail(ann.email, ["jörg@grüße.example"], mail("utf8"), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
            client.mail("")
            client.rcpt("bruno@sandbox.test")
            assert client.data(mail("bounce"))[0] == 250

    await in_thread(work)
    [message] = empty.store_of(empty.catch_all.email).mailbox("INBOX")
    assert "Delivered-To: jörg@grüße.example".encode() in message.raw
    [bounce] = empty.store_of("bruno@sandbox.test").mailbox("INBOX")
    assert bounce.raw.startswith(b"Return-Path: <>\r\n")


async def test_a_full_mailbox_refuses_for_now(empty: SandboxWorld, ann: SandboxAccount) -> None:
    store = empty.store_of("bruno@sandbox.test")
    big = store.append("Archive", b"x" * (64 * 1024 * 1024))
    store.copy([big, big, big], "Archive")
    with pytest.raises(smtplib.SMTPDataError) as full:
        await in_thread(send_mail, ann, ["bruno@sandbox.test"], mail("no room"))
    assert full.value.smtp_code == 452
    store.expunge(store.mailbox("Archive"), [big])
    assert await in_thread(send_mail, ann, ["bruno@sandbox.test"], mail("room")) == {}
