"""Against a real Postfix in front of a real Dovecot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mailquay.backends.smtp.pool import SmtpPool
from mailquay.backends.smtp.server import SmtpServer
from mailquay.backends.smtp.submitter import SmtpSubmitter
from mailquay.backends.smtp.verify import verify_smtp
from mailquay.errors import SubmissionRejected
from mailquay.model.account import SmtpSettings
from mailquay.model.submission import DsnRequest, SubmissionEnvelope
from tests.backends.smtp.test_submitter import Before
from tests.servers.dovecot import MailUser
from tests.servers.postfix import Postfix

pytestmark = pytest.mark.server


@pytest.fixture
async def pool() -> AsyncIterator[SmtpPool]:
    pool = SmtpPool()
    yield pool
    await pool.aclose()


def settings(postfix: Postfix, user: MailUser, *, secure: bool = False, password: str | None = None) -> SmtpServer:
    return SmtpServer.from_settings(
        SmtpSettings(
            host="localhost",
            port=postfix.smtps_port if secure else postfix.submission_port,
            secure=secure,
            tls={"ca": postfix.ca_path.read_text()},
            user=user.login,
            password=user.password if password is None else password,
        ),
        ehlo_name="client.example.test",
    )


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "starttls"])
async def test_mail_is_accepted(postfix: Postfix, mail_user: MailUser, pool: SmtpPool, secure: bool) -> None:
    submitter = SmtpSubmitter(pool, "account", settings(postfix, mail_user, secure=secure))
    envelope = SubmissionEnvelope(mail_user.login, (mail_user.login,))
    for number in range(3):
        before = Before()
        receipt = await submitter.submit(
            envelope,
            f"From: {mail_user.login}\nSubject: number {number}\n\n.\n..\nend".encode(),
            before_data=before,
            dsn=DsnRequest(ret="full", notify=("failure",), envid="q1"),
        )
        assert "queued as" in receipt.response
        assert receipt.enhanced_code == "2.0.0"
        assert before.calls == 1


async def test_utf8_addresses(postfix: Postfix, mail_user: MailUser, pool: SmtpPool) -> None:
    submitter = SmtpSubmitter(pool, "account", settings(postfix, mail_user))
    envelope = SubmissionEnvelope(mail_user.login, ("jörg@refused.test",))
    receipt = await submitter.submit(envelope, "Subject: grüß\n\nhi\n".encode(), before_data=Before())
    assert receipt.reply_code == 250


async def test_a_message_that_is_too_large(postfix: Postfix, mail_user: MailUser, pool: SmtpPool) -> None:
    submitter = SmtpSubmitter(pool, "account", settings(postfix, mail_user))

    async def endless() -> AsyncIterator[bytes]:
        yield b"Subject: large\r\n\r\n"
        for _ in range(42):
            yield (b"x" * 70 + b"\r\n") * 14_600

    envelope = SubmissionEnvelope(mail_user.login, (mail_user.login,))
    with pytest.raises(SubmissionRejected) as caught:
        await submitter.submit(envelope, endless(), before_data=Before(), size_bytes=None)
    assert (caught.value.code, caught.value.reply_code, caught.value.permanent) == ("EMESSAGE", 552, True)
    with pytest.raises(SubmissionRejected) as caught:
        await submitter.submit(envelope, endless(), before_data=Before(), size_bytes=50_000_000)
    assert (caught.value.code, caught.value.reply_code) == ("EMESSAGE", None)


async def test_relaying_is_refused_without_a_login(postfix: Postfix, pool: SmtpPool) -> None:
    server = SmtpServer(host="127.0.0.1", port=postfix.smtp_port, secure=False, ignore_tls=True, ehlo_name="me.example")
    with pytest.raises(SubmissionRejected) as caught:
        await SmtpSubmitter(pool, "account", server).submit(
            SubmissionEnvelope("me@example.org", ("you@elsewhere.example",)), b"Subject: x\n\n", before_data=Before()
        )
    assert caught.value.code == "EENVELOPE"
    assert caught.value.message.startswith("Can't send mail - all recipients were rejected: 554 5.7.1")
    assert caught.value.permanent


async def test_verification(postfix: Postfix, mail_user: MailUser) -> None:
    server = settings(postfix, mail_user)
    good = await verify_smtp(server)
    assert [phase.name for phase in good.phases] == ["connect", "ehlo", "tls", "auth"]
    assert good.success
    assert good.max_size_bytes == 40 * 1024 * 1024
    bad = await verify_smtp(settings(postfix, mail_user, password="wrong"))
    assert bad.error is not None
    assert (bad.error.code, bad.error.reply_code) == ("EAUTH", 535)
    untrusted = await verify_smtp(replace(server, tls=replace(server.tls, ca=())))
    assert untrusted.error is not None
    assert untrusted.error.code == "ESOCKET"
