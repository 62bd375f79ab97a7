"""What clients may say when, and what becomes of those that do not keep to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailquay.smtpd.limits import Limits
from tests.smtpd.listening import LOGIN, Listening, Talk, listening, mail

_ENVELOPE = ("MAIL FROM:<a@example.com>", "RCPT TO:<b@remote.test>")


async def _logged_in(talk: Talk) -> None:
    [_, welcome] = await talk.say("EHLO test", LOGIN)
    assert welcome.startswith("235 ")


async def test_offers_that_hold(listener: Listening) -> None:
    async with await listener.talk() as talk:
        [offers] = await talk.say("EHLO test")
        assert [line[4:] for line in offers.split("\n")[1:]] == [
            "PIPELINING",
            f"SIZE {25 * 1024 * 1024}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "AUTH PLAIN LOGIN",
        ]
        [_, offers] = await talk.say(LOGIN, "EHLO test")
        assert "AUTH" not in offers  # RFC 4954 §4: one log-in for each connection
        assert (await talk.say("HELO test"))[0].startswith("250 ")


async def test_a_pipelined_session_in_one_go(listener: Listening) -> None:
    """Everything but the message, which waits for 354; two messages, what follows the first in the same packet."""
    async with await listener.talk() as talk:
        replies = await talk.say("EHLO test", LOGIN, "NOOP", *_ENVELOPE, "RSET", *_ENVELOPE, "DATA")
        assert [reply[:3] for reply in replies] == ["250", "235", *["250"] * 6, "354"]
        again = "".join(f"{line}\r\n" for line in (*_ENVELOPE, "DATA"))
        await talk.raw(mail("first") + b".\r\n" + again.encode())
        assert [(await talk.reply())[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        await talk.raw(mail("second") + b".\r\nQUIT\r\n")
        assert [(await talk.reply())[:3] for _ in range(3)] == ["250", "221", ""]
    assert sorted(str(one.options.subject) for one in await listener.queued()) == ["first", "second"]


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        (["MAIL FROM:<a@example.com>"], [503]),
        (["EHLO"], [501]),
        (["EHLO test", "MAIL FROM:<a@example.com>"], [250, 530]),
        (["EHLO test", "RCPT TO:<b@remote.test>", "DATA"], [250, 503, 503]),
        (["EHLO test", LOGIN, LOGIN], [250, 235, 503]),
        (["EHLO test", LOGIN, "MAIL FROM:<a@example.com>", "DATA"], [250, 235, 250, 503]),
        (["EHLO test", LOGIN, "MAIL FROM:<a@example.com>", "MAIL FROM:<a@example.com>"], [250, 235, 250, 503]),
        (["EHLO test", LOGIN, *_ENVELOPE, "DATA now"], [250, 235, 250, 250, 501]),
        (["EHLO test", LOGIN, *_ENVELOPE, "EHLO test", "DATA"], [250, 235, 250, 250, 250, 503]),
        (["EHLO test", LOGIN, "MAIL FROM:<a@example.com> X=1"], [250, 235, 555]),
        (["EHLO test", LOGIN, "MAIL FROM:<a@example.com>", "RCPT TO:<>"], [250, 235, 250, 553]),
        (["EHLO test", "STARTTLS"], [250, 503]),
        (["EHLO test", "AUTH CRAM-MD5"], [250, 504]),
        (["BDAT 5 LAST", "XYZZY", "VRFY ann", "RSET"], [502, 502, 252, 250]),
    ],
)
async def test_what_may_be_said_when(listener: Listening, lines: list[str], codes: list[int]) -> None:
    async with await listener.talk() as talk:
        assert [int(reply[:3]) for reply in await talk.say(*lines)] == codes


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n"])
async def test_a_message_within_a_message_is_never_seen(listener: Listening, end: bytes) -> None:
    """SMTP smuggling: servers before us may have taken these bytes for text. The whole of it is refused."""
    smuggled = mail("innocent") + end + b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<v@remote.test>\r\nDATA\r\n"
    async with await listener.talk() as talk:
        await _logged_in(talk)
        await talk.say(*_ENVELOPE, "DATA")
        await talk.raw(smuggled + mail("evil") + b"\r\n.\r\n")
        assert (await talk.reply()).startswith("550 5.5.2 ")
        assert (await talk.say("NOOP"))[0].startswith("250 ")
    assert await listener.queued() == []


async def test_lines_that_do_not_end_with_crlf(listener: Listening) -> None:
    for line in (b"EHLO test\n", b"NOOP\rNOOP\r\n"):
        async with await listener.talk() as talk:
            await talk.raw(line)
            assert [(await talk.reply())[:3] for _ in range(2)] == ["500", ""]


async def test_an_endless_line(listener: Listening) -> None:
    async with await listener.talk() as talk:
        await talk.raw(b"A" * 5000)
        assert (await talk.reply()).startswith("500 5.5.6 ")
        assert await talk.reply() == ""


class TestSmallLimits:
    """With limits that tests reach."""

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(
            message_bytes=1000,
            commands=30,
            errors=5,
            login_delay=0.01,
            login_timeout=0.5,
            command_timeout=1.0,
            data_timeout=0.5,
            connections=5,
            connections_per_address=3,
        )

    async def test_too_many_errors(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            assert (await talk.say(*["XYZZY"] * 5))[-1].startswith("502 ")
            assert [(await talk.reply())[:3] for _ in range(2)] == ["421", ""]

    async def test_too_many_commands(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            replies = await talk.say(*["NOOP"] * 31)
            assert replies[-1].startswith("421 ") and replies[-2].startswith("250 ")

    async def test_a_message_resets_the_count_of_commands(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            await _logged_in(talk)
            for _ in range(10):
                await talk.say("NOOP", *_ENVELOPE, "DATA")
                await talk.raw(mail() + b".\r\n")
                assert (await talk.reply()).startswith("250 ")
        assert len(await listener.queued()) == 10

    async def test_nobody_stays_without_logging_in(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            began = asyncio.get_running_loop().time()
            await talk.say("EHLO test")
            assert (await talk.reply()).startswith("421 4.4.2 ")
            assert asyncio.get_running_loop().time() - began < 0.95

    async def test_a_client_that_falls_silent(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            await _logged_in(talk)
            assert (await talk.reply()).startswith("421 4.4.2 ")
            assert await talk.reply() == ""

    async def test_a_message_that_does_not_go_on(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            await _logged_in(talk)
            await talk.say(*_ENVELOPE, "DATA")
            await talk.raw(b"Subject: x\r\n")
            assert (await talk.reply()).startswith("421 4.4.2 ")
        assert listener.memory.used_bytes == 0
        assert await listener.queued() == []

    async def test_a_message_that_drips(self, listener: Listening) -> None:
        """No pause is long, but all of it takes too long for what it is."""
        async with await listener.talk() as talk:
            await _logged_in(talk)
            await talk.say(*_ENVELOPE, "DATA")

            async def drip() -> None:
                while True:
                    await talk.raw(b"x")
                    await asyncio.sleep(0.1)  # the client's own pace, not a wait for anything

            dripping = asyncio.create_task(drip())
            assert (await talk.reply()).startswith("421 4.4.2 ")
            dripping.cancel()

    async def test_a_client_that_vanishes_in_the_middle(self, listener: Listening) -> None:
        async with await listener.talk() as talk:
            await _logged_in(talk)
            await talk.say(*_ENVELOPE, "DATA")
            await talk.raw(mail())
        async with await listener.talk() as talk:
            assert (await talk.say("EHLO test"))[0].startswith("250")
        assert await listener.queued() == []
        assert listener.memory.used_bytes == 0

    async def test_connections_of_one_address(self, listener: Listening) -> None:
        talks = [await listener.talk() for _ in range(3)]
        for talk in talks:
            await talk.__aenter__()
        fourth = await listener.talk()
        assert (await fourth.reply()).startswith("421 4.7.0 Too many connections")
        await talks[0].say("QUIT")
        assert await talks[0].reply() == ""
        async with await listener.talk() as talk:
            assert (await talk.say("NOOP"))[0].startswith("250 ")
        for talk in (*talks, fourth):
            talk.writer.close()


async def test_connections_in_all(tmp_path: Path) -> None:
    async with listening(tmp_path, limits=Limits(connections=2)) as listener:
        talks = [await listener.talk() for _ in range(2)]
        assert [(await talk.reply())[:3] for talk in talks] == ["220", "220"]
        third = await listener.talk()
        assert (await third.reply()).startswith("421 4.7.0 Too many connections")
        assert await third.ended()
        for talk in (*talks, third):
            talk.writer.close()


async def test_a_flood_behind_data_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long is read on, so that a client that ends it hears of it, but not for ever."""
    monkeypatch.setattr("mailquay.smtpd.message._DISCARDED_BYTES", 300_000)
    async with listening(tmp_path, limits=Limits(message_bytes=1000)) as listener, await listener.talk() as talk:
        await _logged_in(talk)
        await talk.say(*_ENVELOPE, "DATA")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(15):
                while True:
                    await talk.raw(b"x" * 9998 + b"\r\n")
        assert listener.memory.used_bytes == 0


async def test_recipients_have_a_limit(listener: Listening) -> None:
    async with await listener.talk() as talk:
        await _logged_in(talk)
        replies = await talk.say("MAIL FROM:<>", *(f"RCPT TO:<r{n}@remote.test>" for n in range(1001)), "DATA")
        assert [reply[:3] for reply in replies] == ["250"] * 1001 + ["452", "354"]
        await talk.raw(mail() + b".\r\n")
        assert (await talk.reply()).startswith("250 ")
    assert len((await listener.queued())[0].envelope.recipients) == 1000
