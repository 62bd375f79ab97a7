"""Downloads from servers that break off in the middle: every byte comes, once, and a hopeless one ends in an error."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap import session_reading
from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.session import ImapSession
from mailquay.backends.interface import MailSession
from mailquay.errors import MessageNotFound, RateLimited, RemoteProtocolError, Unavailable
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.section_stream import stream_section
from tests.backends.imap.scripted_server import Expect, Hang, ScriptedServer, Send
from tests.backends.imap.test_session_changes import Place, place

_BLOCK = 100_000
_MAIL = b"Subject: large\r\n\r\n" + random.Random(1).randbytes(450_000).hex().encode()


class _Server:
    """A server with one large message, and a count of the connections to it."""

    def __init__(self, world: SandboxWorld, there: Place) -> None:
        self.world = world
        self.faults = world.imap_faults
        self.connections = 0
        self._there = there

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[MailSession]:
        self.connections += 1
        async with self._there.session() as session:
            await session.open_mailbox("INBOX")
            yield session

    async def download(self, uid: int = 1) -> bytes:
        return b"".join([chunk async for chunk in stream_section(self.opened, uid, "")])


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Server]:
    monkeypatch.setattr(session_reading, "_BLOCK_BYTES", _BLOCK)
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    world.store_of(ann.email).append("INBOX", _MAIL)
    yield _Server(world, place(ann.imap_host, ann.imap_port, ann.user, ann.password))
    await world.stop()


async def test_a_message_that_is_never_sent_as_a_whole(server: _Server) -> None:
    server.faults.section_limit = 2 * _BLOCK
    assert await server.download() == _MAIL
    assert server.connections == 2


async def test_connections_that_end_again_and_again(server: _Server) -> None:
    server.faults.drop_after_bytes = 3 * _BLOCK + 12_345
    assert await server.download() == _MAIL
    assert server.connections == 3


async def test_a_fetch_that_is_refused_goes_on_in_blocks_over_the_same_connection(server: _Server) -> None:
    server.faults.on("UID FETCH", ImapAction.NO)
    assert await server.download() == _MAIL
    assert server.connections == 1


async def test_a_server_that_does_not_know_blocks_is_not_believed() -> None:
    script = (
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n"),
        Expect("A1 EXAMINE INBOX"),
        Send(b"A1 OK done\r\n"),
        Expect("A2 UID FETCH.*"),
        Send(b"A2 NO too large\r\n"),
        Expect("A3 UID FETCH.*"),
        Send(b'* 1 FETCH (UID 7 BODY[] "whole")\r\nA3 OK done\r\n'),
        Hang(),
    )
    async with ScriptedServer(*script) as scripted:
        connection = await ImapConnection.open(await scripted.connect())
        session = ImapSession(connection)
        await session.open_mailbox("INBOX")
        with pytest.raises(RemoteProtocolError):
            await anext(session.stream_section(7, ""))
        await connection.aclose()


async def test_a_server_that_gives_nothing_is_given_up(server: _Server) -> None:
    server.faults.section_limit = 10
    with pytest.raises(Unavailable):
        await server.download()
    assert server.connections == 2


async def test_a_pause_that_the_server_asks_for_is_not_passed_over(server: _Server) -> None:
    server.faults.on("UID FETCH", ImapAction.BYE, code="THROTTLED")
    with pytest.raises(RateLimited):
        await server.download()
    assert server.connections == 1


async def test_a_message_that_goes_meanwhile_is_no_shorter_message(server: _Server) -> None:
    store = server.world.store_of(server.world.accounts[0].email)
    server.faults.drop_after_bytes = 3 * _BLOCK
    stream = stream_section(server.opened, 1, "")
    with pytest.raises(MessageNotFound):
        async for _ in stream:
            store.expunge(store.mailbox("INBOX"), list(store.mailbox("INBOX")))
    with pytest.raises(MessageNotFound):
        await server.download(5)
