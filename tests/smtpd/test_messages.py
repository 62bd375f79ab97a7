"""What becomes of a message: stored before it is acknowledged, as raw submissions are, or refused with the reason."""

from __future__ import annotations

import email
import email.policy
import re
import smtplib

import pytest

from mailquay.model.submission import DsnRequest, RecipientDsn
from mailquay.smtpd.limits import Limits
from tests.services.submitting import NOW_MS
from tests.smtpd.listening import LOGIN, PASSWORD, Listening, in_thread, mail

_QUEUED = re.compile(r"Message queued for delivery as (\S+) \((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\)")


async def test_what_is_acknowledged_is_in_the_outbox(listener: Listening) -> None:
    message = mail("one", "Bcc: hidden@remote.test", text=".dot\r\n..dots\r\nÄnd 8bit")
    code, text = await listener.send(message, sender="bounces@example.com", to=("a@remote.test", "b@remote.test"))
    found = _QUEUED.fullmatch(text)
    assert code == 250 and found is not None
    [queued] = await listener.queued()
    assert (queued.queue_id, queued.account) == (found[1], listener.desk.ann.number)
    assert (queued.envelope.reverse_path, queued.envelope.recipients) == (
        "bounces@example.com",
        ("a@remote.test", "b@remote.test"),
    )
    assert (queued.options.source, queued.options.subject, queued.options.eight_bit) == ("smtp", "one", True)
    body = await listener.body(queued)
    trace, rest = body.split(b"From:", 1)
    assert re.fullmatch(rb"Received: by \S+ with ESMTPA;\r\n [^\r\n]+ \+0000\r\n", trace)
    assert b"\r\nBcc: hidden@remote.test\r\n" in rest and rest.endswith(".dot\r\n..dots\r\nÄnd 8bit\r\n".encode())
    assert b"\r\nMessage-ID: <" in rest
    assert listener.gauges.counted == {"events:smtpSubmitQueued": 1}


async def test_control_fields_steer_the_submission_and_go_nowhere(listener: Listening) -> None:
    fields = ("X-EE-Send-At: 2035-01-01T08:00:00Z", "X-EE-Delivery-Attempts: 3", "X-Ee-Account: bob", "X-EE-Gateway:")
    assert (await listener.send(mail("later", *fields, "X-EE-Tracking-Enabled: false")))[0] == 250
    [queued] = await listener.queued()
    assert (queued.scheduled_ms, queued.attempts) == (2_051_251_200_000, 3)
    assert queued.account == listener.desk.ann.number  # whoever has logged in cannot send for somebody else
    body = await listener.body(queued)
    assert b"x-ee-" not in body.lower()
    assert email.message_from_bytes(body, policy=email.policy.default)["Date"].datetime.year == 2035


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("X-EE-Send-At: tomorrow", "X-EE-Send-At must be a date"),
        ("X-EE-Delivery-Attempts: many", "X-EE-Delivery-Attempts must be a whole number from 0 to 1000"),
        ("X-EE-Delivery-Attempts: 1001", "X-EE-Delivery-Attempts must be a whole number from 0 to 1000"),
        ("X-EE-Idempotency-Key: " + "k" * 1025, "X-EE-Idempotency-Key must be at most 1024 characters long"),
        ("X-EE-Tracking-Enabled: perhaps", "X-EE-Tracking-Enabled must be a boolean"),
        ("X-EE-Tracking-Enabled: true", "X-EE-Tracking-Enabled is not available in this release"),
    ],
)
async def test_a_wrong_control_field_is_refused_with_the_reason(listener: Listening, field: str, why: str) -> None:
    code, text = await listener.send(mail("x", field))
    assert code == 554 and why in text
    code, text = await listener.send(mail("x", field, "X-EE-Send-At: never"))
    assert "X-EE-Send-At must be a date" in text and why.split()[0] in text
    assert await listener.queued() == []
    assert listener.gauges.counted == {"events:smtpSubmitFail": 2}


async def test_the_same_idempotency_key_queues_once(listener: Listening) -> None:
    message = mail("once", 'X-EE-Idempotency-Key: "order-1"')
    first = await listener.send(message)
    listener.desk.clock.ms += 5000
    assert await listener.send(message) == first
    assert (await listener.send(mail("twice", "X-EE-Idempotency-Key: order-2")))[1] != first[1]
    # Bob's keys are not Ann's.
    assert (await listener.send(message, login=("bob", PASSWORD)))[1] != first[1]
    assert sorted(str(one.options.idempotency_key) for one in await listener.queued()) == [
        "order-1",
        "order-1",
        "order-2",
    ]


async def test_wishes_for_reports_are_carried_along(listener: Listening) -> None:
    def send() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
            client.login("ann", PASSWORD)
            client.mail("ann@example.com", ["RET=HDRS", "ENVID=QQ+2B314159"])
            client.rcpt("a@remote.test", ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Ba@remote.test"])
            client.rcpt("b@remote.test", ["NOTIFY=NEVER"])
            client.rcpt("c@remote.test")
            return client.data(mail())

    assert (await in_thread(send))[0] == 250
    assert (await listener.send(mail()))[0] == 250
    with_reports, without = await listener.queued()
    if with_reports.options.dsn is None:
        with_reports, without = without, with_reports
    assert without.options.dsn is None
    assert with_reports.options.dsn == DsnRequest(
        "headers",
        envid="QQ+314159",
        recipients=(
            RecipientDsn("a@remote.test", ("success", "failure"), "first+a@remote.test"),
            RecipientDsn("b@remote.test", ("never",)),
        ),
    )


async def test_the_null_sender_and_addresses_beyond_ascii(listener: Listening) -> None:
    def send() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
            client.login("ann", PASSWORD)
            client.command_encoding = "utf-8"
            assert client.mail("", ["SMTPUTF8"])[0] == 250
            assert client.rcpt("jürgen@müller.test")[0] == 250
            return client.data(mail())

    assert (await in_thread(send))[0] == 250
    [queued] = await listener.queued()
    assert (queued.envelope.reverse_path, queued.envelope.recipients) == ("", ("jürgen@müller.test",))


@pytest.mark.parametrize(
    ("message", "code", "why"),
    [
        (b"no header, just a line\r\n", 554, "no header"),
        (b"\r\nno header either\r\n", 554, "no header"),
        (b"Received: by x\r\n" * 100 + b"\r\nround and round\r\n", 554, "circles"),
        (
            b"X-Long: " + b"x" * 900 + b"\r\n" + b" more\r\n" * 160_000 + b"\r\n",
            552,
            "header of the message is too long",
        ),
    ],
)
async def test_messages_that_cannot_be(listener: Listening, message: bytes, code: int, why: str) -> None:
    found, text = await listener.send(message)
    assert found == code and why in text
    assert await listener.queued() == []


class TestSmallLimits:
    """With limits that messages of a test reach."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(message_bytes=100_000)

    async def test_what_is_too_large(self, listener: Listening) -> None:
        """By what is announced, and by what comes; a client that goes on afterwards is served."""

        def talk() -> list[int]:
            with smtplib.SMTP("127.0.0.1", listener.port, timeout=10) as client:
                client.login("ann", PASSWORD)
                assert client.esmtp_features["size"] == "100000"
                codes = [client.mail("a@example.com", ["SIZE=100001"])[0], client.mail("a@example.com")[0]]
                codes += [client.rcpt("b@remote.test")[0], client.data(mail(text="x\r\n" * 40_000))[0]]
                codes += [client.mail("a@example.com", ["SIZE=100000"])[0]]
                codes += [client.rcpt("b@remote.test")[0], client.data(mail(text="x\r\n" * 30_000))[0]]
                return codes

        assert await in_thread(talk) == [552, 250, 250, 552, 250, 250, 250]
        assert len(await listener.queued()) == 1
        assert listener.memory.used_bytes == 0

    async def test_memory_is_shared_with_whoever_else_needs_much(self, listener: Listening) -> None:
        assert listener.memory.take(256 * 1024 * 1024 - 50_000)
        code, text = await listener.send(mail(text="x\r\n" * 30_000))
        assert code == 452 and "Too many large messages" in text
        assert (await listener.send(mail()))[0] == 250
        assert listener.memory.used_bytes == 256 * 1024 * 1024 - 50_000


async def test_without_a_log_in_the_message_says_who_sends(open_listener: Listening) -> None:
    async def send(*fields: str) -> tuple[int, str]:
        return await open_listener.send(mail("open", *fields), login=None)

    assert (await send("X-EE-Account: bob"))[0] == 250
    assert [one.account for one in await open_listener.queued()] == [open_listener.desk.bob.number]
    code, text = await send()
    assert (code, "X-EE-Account" in text) == (451, True)
    assert (await send("X-EE-Account: nobody"))[0] == 550
    assert b"x-ee-account" not in (await open_listener.body((await open_listener.queued())[0])).lower()
    async with await open_listener.talk() as talk:
        [offers] = await talk.say("EHLO test")
        assert "AUTH" not in offers
        assert (await talk.say("AUTH PLAIN AGFubgBzaGFyZWQgc2VjcmV0"))[0].startswith("503 ")


async def test_an_account_that_cannot_send(listener: Listening) -> None:
    desk = listener.desk
    unit = desk.store.accounts.upsert(desk.ann.id, lambda profile: type(profile)(name="Ann"), NOW_MS)
    await desk.store.commit(unit)
    code, text = await listener.send(mail())
    assert code == 550 and "no way to send" in text


async def test_storage_that_fails_is_a_reason_to_try_again(listener: Listening) -> None:
    """The database is gone by the time the message has arrived: the client is told to keep it."""
    async with await listener.talk() as talk:
        replies = await talk.say("EHLO test", LOGIN, "MAIL FROM:<a@example.com>", "RCPT TO:<b@remote.test>", "DATA")
        assert replies[-1].startswith("354 ")
        await listener.desk.store.database.close()
        await talk.raw(mail() + b".\r\n")
        assert (await talk.reply()).startswith("451 4.3.0 ")
    assert listener.gauges.counted == {"events:smtpSubmitFail": 1}
