"""The real mail servers run, and do what the suites rely on."""

from __future__ import annotations

import asyncio
import imaplib
import os
import re
import smtplib
import ssl

import pytest

from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.cyrus import Cyrus
from tests.servers.dovecot import Dovecot, MailUser, render
from tests.servers.hoodiecrow import Hoodiecrow
from tests.servers.postfix import Postfix
from tests.servers.process import LOOPBACK
from tests.servers.pymap import Pymap

pytestmark = pytest.mark.server

MESSAGE = b"From: ann@example.test\r\nTo: bob@example.test\r\nSubject: smoke\r\n\r\nHello\r\n"


def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.ca_path))


def subjects(server: Dovecot, user: MailUser) -> list[bytes]:
    """Log in over verified TLS and read the subject of each message in INBOX."""
    with imaplib.IMAP4_SSL(
        server.host, server.imaps_port, ssl_context=ssl.create_default_context(cafile=str(server.ca_path)), timeout=10
    ) as session:
        session.login(user.login, user.password)
        count = int(session.select("INBOX", readonly=True)[1][0] or b"0")
        if not count:
            return []
        fetched = session.fetch(f"1:{count}", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        return [item[1].strip() for item in fetched if isinstance(item, tuple)]


async def wait_for_mail(server: Dovecot, user: MailUser, subject: bytes) -> None:
    """Wait, by IDLE, until a message whose subject contains this is in INBOX; fail after 15 seconds."""
    reader, writer = await asyncio.open_connection(server.host, server.imap_port)
    async with asyncio.timeout(15):
        writer.write(f"a LOGIN {user.login} {user.password}\r\nb SELECT INBOX\r\nc IDLE\r\n".encode())
        while not (await reader.readline()).startswith(b"+ "):
            pass
        while not any(subject in one for one in await asyncio.to_thread(subjects, server, user)):
            while b"EXISTS" not in await reader.readline():
                pass
    writer.close()


def test_render_writes_nested_sections() -> None:
    assert render({"a": 1, "b c": {"d": "e"}}) == "a = 1\nb c {\n  d = e\n}\n"


async def test_dovecot_delivers_and_shows_mail_over_verified_tls(dovecot: Dovecot, mail_user: MailUser) -> None:
    await dovecot.deliver(mail_user.login, MESSAGE, MESSAGE)
    assert await asyncio.to_thread(subjects, dovecot, mail_user) == [b"Subject: smoke"] * 2


async def test_dovecot_gives_each_test_an_empty_mailbox(dovecot: Dovecot, mail_user: MailUser) -> None:
    other = dovecot.new_user()
    assert other.login != mail_user.login
    assert await asyncio.to_thread(subjects, dovecot, other) == []


async def test_dovecot_sessions_can_be_cut(dovecot: Dovecot, mail_user: MailUser) -> None:
    reader, writer = await asyncio.open_connection(dovecot.host, dovecot.imap_port)
    async with asyncio.timeout(15):
        writer.write(f"a LOGIN {mail_user.login} {mail_user.password}\r\n".encode())
        while not (await reader.readline()).startswith(b"a OK"):
            pass
        assert len(await dovecot.session_pids(mail_user.login)) == 1
        await dovecot.doveadm("kick", mail_user.login)
        assert b"BYE" in await reader.read()
    writer.close()


async def test_dovecot_plays_a_poor_server_that_wants_tls(authority: Authority) -> None:
    with Dovecot(authority, user_count=1, require_tls=True, capability="IMAP4rev1", special_use=False) as poor:
        user = poor.new_user()
        with imaplib.IMAP4(poor.host, poor.imap_port, timeout=10) as session:
            assert "LOGINDISABLED" in session.capabilities
            session.starttls(trust(authority))
            session.login(user.login, user.password)
            assert set(session.capability()[1]) == {b"IMAP4rev1"}
            assert b"\\Sent" not in b"".join(session.list()[1])  # type: ignore[arg-type]


async def test_postfix_delivers_submitted_mail_to_dovecot(postfix: Postfix, dovecot: Dovecot) -> None:
    sender, recipient = dovecot.new_user(), dovecot.new_user()

    def submit() -> None:
        with smtplib.SMTP("localhost", postfix.submission_port, timeout=10) as session:
            session.starttls(context=ssl.create_default_context(cafile=str(postfix.ca_path)))
            session.login(sender.login, sender.password)
            session.sendmail(sender.login, [recipient.login, "nobody-here@example.test"], MESSAGE)

    await asyncio.to_thread(submit)
    await wait_for_mail(dovecot, recipient, b"smoke")
    await wait_for_mail(dovecot, sender, b"Undelivered Mail")


def test_postfix_wants_a_login_for_submission(postfix: Postfix) -> None:
    with (
        smtplib.SMTP_SSL("localhost", postfix.smtps_port, timeout=10, context=_context(postfix)) as session,
        pytest.raises(smtplib.SMTPRecipientsRefused),
    ):
        session.sendmail("a@example.test", ["b@example.test"], MESSAGE)


def _context(server: Postfix) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_path))


async def test_cyrus_speaks_objectid_and_takes_mail_after_the_first_login(cyrus: Cyrus) -> None:
    user = cyrus.new_user()
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await cyrus.deliver(user.login, MESSAGE)
    with imaplib.IMAP4(cyrus.host, cyrus.imap_port, timeout=10) as session:
        session.login(user.login, user.password)
        await cyrus.deliver(user.login, MESSAGE)
        assert session.select("INBOX")[1] == [b"1"]
        assert b"EMAILID" in b"".join(part for part in session.fetch("1", "(EMAILID)")[1] if isinstance(part, bytes))


def test_pymap_keeps_mail_in_memory_and_knows_objectid() -> None:
    with Pymap() as server, imaplib.IMAP4(LOOPBACK, server.imap_port, timeout=10) as session:
        session.login(server.user.login, server.user.password)
        offered = session.capability()[1][0].split()
        assert b"OBJECTID" in offered and b"CONDSTORE" not in offered
        assert session.select("INBOX")[1] == [b"0"]
        session.append("INBOX", "", "", MESSAGE)
        assert session.select("INBOX")[1] == [b"1"]


def test_hoodiecrow_looks_like_gmail() -> None:
    require_server("hoodiecrow")
    with Hoodiecrow(gmail=True) as server, imaplib.IMAP4(LOOPBACK, server.imap_port, timeout=10) as session:
        session.login(server.user.login, server.user.password)
        session.append('"[Gmail]/All Mail"', "", "", MESSAGE)
        session.select('"[Gmail]/All Mail"')
        [row] = session.fetch("1", "(X-GM-MSGID X-GM-THRID X-GM-LABELS)")[1]
        assert isinstance(row, bytes) and re.search(rb"X-GM-MSGID (\d+) X-GM-THRID \1 X-GM-LABELS \(\\All\)", row)


def test_servers_clean_up_after_themselves(authority: Authority) -> None:
    with Dovecot(authority, user_count=1) as server:
        pid = server._process.process.pid if server._process else 0
        assert server.directory.exists()
    assert not server.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
