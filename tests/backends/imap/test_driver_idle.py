"""The driver: IDLE, its renewal and its end."""

from __future__ import annotations

import pytest

from mailquay.errors import (
    CommandRejected,
    LocalProtocolError,
    Unavailable,
    Unsupported,
)
from mailquay.wire.imap.response import (
    Exists,
    UntaggedResponse,
    UntaggedStatus,
)
from tests.backends.imap.driving import IMPATIENT, selected
from tests.backends.imap.scripted_server import Close, Expect, Hang, Send


async def test_idle_delivers_news_even_before_its_confirmation() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"* 4 EXISTS\r\n+ idling\r\n* 5 EXISTS\r\n"),
        Expect("DONE"),
        Send(b"* 6 EXISTS\r\nA3 OK\r\n"),
        Expect("A4 NOOP"),
        Send(b"A4 OK\r\n"),
    )
    async with selected(*steps) as connection:
        session = await connection.idle()
        assert await session.next(2) == Exists(4)
        assert await session.next(2) == Exists(5)
        assert await session.next(0.01) is None
        assert await session.stop() == [Exists(6)]
        with pytest.raises(LocalProtocolError):
            await session.next()
        await connection.noop()


async def test_idle_is_renewed_and_loses_nothing() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"+ idling\r\n"),
        Expect("DONE"),
        Send(b"A3 OK\r\n* 4 EXISTS\r\n"),
        Expect("A4 IDLE"),
        Send(b"+ idling\r\n* 5 EXISTS\r\n"),
        Hang(),
    )
    async with selected(*steps) as connection:
        session = await connection.idle(restart_seconds=0.05)
        heard: list[UntaggedResponse] = []
        async for event in session:
            heard.append(event)
            if len(heard) == 2:
                break
        assert heard == [Exists(4), Exists(5)]


async def test_idle_that_the_server_ends_is_begun_again_or_given_up() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\nA3 OK too early\r\n"), Hang()) as connection:
        session = await connection.idle()
        with pytest.raises(Unsupported):
            await session.next(2)


async def test_a_refused_idle_is_an_error() -> None:
    async with selected(
        Expect("A3 IDLE"), Send(b"A3 BAD no IDLE\r\n"), Expect("A4 NOOP"), Send(b"A4 OK\r\n")
    ) as connection:
        with pytest.raises(CommandRejected):
            await connection.idle()
        await connection.noop()


async def test_idle_without_confirmation_is_dead() -> None:
    async with selected(Expect("A3 IDLE"), Hang(), options=IMPATIENT) as connection:
        with pytest.raises(Unavailable):
            await connection.idle()
        assert not connection.usable


async def test_a_connection_lost_during_idle_is_reported() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\n* BYE Autologout\r\n"), Close()) as connection:
        session = await connection.idle()
        event = await session.next(2)
        assert isinstance(event, UntaggedStatus)
        with pytest.raises(Unavailable, match="Autologout"):
            await session.next(2)


async def test_two_idles_at_once_are_refused() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\n"), Hang()) as connection:
        await connection.idle()
        with pytest.raises(LocalProtocolError):
            await connection.idle()


async def test_a_storm_of_news_does_not_block_the_end_of_idle() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"+ idling\r\n" + b"* 1 EXPUNGE\r\n" * 5000),
        Expect("DONE"),
        Send(b"A3 OK\r\n"),
    )
    async with selected(*steps) as connection:
        session = await connection.idle()
        assert len(await session.stop()) == 5000
