"""The driver: large bodies, streams, and the limits of what is collected."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mailquay.backends.imap.pump import DriverOptions
from mailquay.errors import (
    CommandRejected,
    RemoteProtocolError,
    Unavailable,
)
from mailquay.wire.imap.command_mailbox import List
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.response import (
    LiteralChunk,
    LiteralEnd,
    LiteralStart,
)
from mailquay.wire.imap.section import FetchAttribute, FetchSection
from mailquay.wire.imap.sequence_set import UidSet
from tests.backends.imap.driving import FLAGS, IMPATIENT, selected
from tests.backends.imap.scripted_server import Expect, Hang, Send

BODY = Fetch(UidSet.of([5]), (FetchAttribute.UID, FetchSection()))
LARGE = b"0123456789abcdef" * 16 * 1024


async def test_large_bodies_are_collected_by_execute() -> None:
    steps = (
        Expect(r"A3 UID FETCH 5 \(UID BODY.PEEK\[\]\)"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps) as connection:
        row = (await connection.execute(BODY)).last(FetchResponse)
        assert row is not None
        assert row.sections[0].data == LARGE


async def test_an_answer_of_many_small_lines_has_the_same_limit() -> None:
    line = b'* LIST () "/" "a mailbox that is one of very many"\r\n'
    steps = (Expect("A3 .*"), Send(line * 10_000))
    async with selected(*steps, options=DriverOptions(command_seconds=2, max_collected_bytes=100_000)) as connection:
        with pytest.raises(RemoteProtocolError, match="100000 bytes"):
            await connection.execute(List())


async def test_collecting_has_a_limit() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps, options=DriverOptions(command_seconds=2, max_collected_bytes=100_000)) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.execute(BODY)


async def test_large_bodies_stream() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps) as connection:
        events = [event async for run in connection.execute_streaming(BODY) for event in run]
        assert isinstance(events[0], LiteralStart)
        assert events[0].uid == 5
        assert b"".join(event.data for event in events if isinstance(event, LiteralChunk)) == LARGE
        assert isinstance(events[-2], LiteralEnd)
        row = events[-1]
        assert isinstance(row, FetchResponse)
        assert (row.sections[0].data, row.sections[0].size_bytes) == (None, len(LARGE))


async def test_a_slow_consumer_holds_the_server_back() -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n" % size)
        chunk = b"x" * 65536
        with contextlib.suppress(ConnectionError):
            while sent < size:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)

    async with selected(Expect("A3 .*"), flood) as connection:
        received = 0
        async with contextlib.aclosing(connection.execute_streaming(BODY)) as events:
            async for run in events:
                received += sum(len(event.data) for event in run if isinstance(event, LiteralChunk))
                if received > 1024 * 1024:
                    break
            # What has left the server lies in socket buffers and our short queue, not in memory without bound.
            assert sent < size / 2


async def test_leaving_a_stream_early_leaves_the_connection_usable() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
        Expect("A4 NOOP"),
        Send(b"A4 OK\r\n"),
    )
    async with selected(*steps) as connection:
        async with contextlib.aclosing(connection.execute_streaming(BODY)) as events:
            async for _ in events:
                break
        await connection.noop()


async def test_streaming_reports_refusals_and_deadlines() -> None:
    steps = (Expect("A3 .*"), Send(b"A3 NO [EXPUNGEISSUED] gone\r\n"), Expect("A4 .*"), Hang())
    async with selected(*steps, options=IMPATIENT) as connection:
        with pytest.raises(CommandRejected):
            _ = [run async for run in connection.execute_streaming(BODY)]
        with pytest.raises(Unavailable) as late:
            _ = [run async for run in connection.execute_streaming(BODY)]
        assert late.value.code == "ETIMEDOUT"


async def test_one_broken_message_does_not_end_the_session() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b'* 1 FETCH (ENVELOPE ("broken (" UID 1)\r\n* 2 FETCH (UID 2 FLAGS ())\r\nA3 OK\r\n'),
    )
    async with selected(*steps) as connection:
        rows = (await connection.execute(FLAGS)).all(FetchResponse)
        assert [(row.uid, row.error is None) for row in rows] == [(1, False), (2, True)]


async def test_a_flood_of_responses_has_a_limit() -> None:
    options = DriverOptions(command_seconds=2, limits=Limits(max_untagged_responses_per_command=100))
    async with selected(Expect("A3 NOOP"), Send(b"* 1 EXISTS\r\n" * 200 + b"A3 OK\r\n"), options=options) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.noop()
