"""Short answers that would be gigabytes of numbers, or be asked for without end, are refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.pump import DriverOptions
from mailquay.backends.imap.session import ImapSession
from mailquay.errors import RemoteProtocolError, Unavailable
from mailquay.model.mailbox_state import KnownState
from tests.backends.imap.scripted_server import Expect, Hang, ScriptedServer, Send


async def test_a_search_that_finds_every_possible_uid() -> None:
    script = (
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1 ESEARCH UIDPLUS] ready\r\n"),
        Expect("A1 EXAMINE INBOX"),
        Send(b"* 3 EXISTS\r\nA1 OK [READ-ONLY] done\r\n"),
        Expect(r"A2 UID SEARCH RETURN \(ALL\) ALL"),
        Send(b'* ESEARCH (TAG "A2") UID ALL 1:4294967294\r\nA2 OK done\r\n'),
        Hang(),
    )
    async with ScriptedServer(*script) as server:
        connection = await ImapConnection.open(await server.connect())
        session = ImapSession(connection)
        await session.open_mailbox("INBOX")
        with pytest.raises(RemoteProtocolError):
            await session.uids()
        await connection.aclose()


async def _the_same_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer everything as limited to messages from 11 on, also what was asked about those below."""
    while line := await reader.readline():
        tag, *words = line.split()
        found = b"* SEARCH 11 12\r\n" if b"SEARCH" in words else b"* 1 FETCH (UID 11 FLAGS ())\r\n"
        writer.write(found + tag + b" OK [MESSAGELIMIT 2 11] done\r\n")
        await writer.drain()


@pytest.mark.parametrize("search", [True, False])
async def test_a_limit_that_never_comes_lower(search: bool) -> None:
    script = (
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS MESSAGELIMIT=2] ready\r\n"),
        Expect("A1 EXAMINE INBOX"),
        Send(b"* 3 EXISTS\r\nA1 OK [READ-ONLY] done\r\n"),
        _the_same_again,
    )
    async with ScriptedServer(*script) as server, asyncio.timeout(5):
        connection = await ImapConnection.open(await server.connect())
        session = ImapSession(connection)
        await session.open_mailbox("INBOX")
        with pytest.raises(RemoteProtocolError):
            if search:
                await session.uids()
            async for _ in session.fetch_flags("1:20"):
                continue
        await connection.aclose()


async def _hold_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that it takes a while, again and again."""
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"* OK Hang in there..\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)


async def _tell_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Tell of a change every now and then, and come to the end."""
    writer.write(b"* 20 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 21] .\r\n* OK [HIGHESTMODSEQ 9] .\r\n")
    for uid in range(1, 21):
        writer.write(b"* %d FETCH (UID %d MODSEQ (9) FLAGS ())\r\n" % (uid, uid))
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.write(b"A2 OK done\r\n")
    await writer.drain()


@pytest.mark.parametrize("dead", [True, False])
async def test_a_server_that_asks_for_patience_while_it_opens_a_mailbox_gets_no_more_than_others(dead: bool) -> None:
    """Dovecot does so every 15 seconds, however long its storage hangs."""
    script = (
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1 ENABLE QRESYNC CONDSTORE] ready\r\n"),
        Expect("A1 ENABLE QRESYNC"),
        Send(b"* ENABLED QRESYNC\r\nA1 OK done\r\n"),
        Expect(r"A2 EXAMINE INBOX \(QRESYNC \(7 5\)\)"),
        _hold_on if dead else _tell_slowly,
        Hang(),
    )
    async with ScriptedServer(*script) as server, asyncio.timeout(5):
        connection = await ImapConnection.open(await server.connect(), options=DriverOptions(command_seconds=0.4))
        session = ImapSession(connection)
        if dead:
            with pytest.raises(Unavailable):
                await session.open_mailbox("INBOX", since=KnownState(7, 5))
            assert not session.usable
        else:
            opened = await session.open_mailbox("INBOX", since=KnownState(7, 5))
            assert opened.changes is not None and len(opened.changes.changed) == 20
        await connection.aclose()
