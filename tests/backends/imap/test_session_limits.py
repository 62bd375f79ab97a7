"""A short answer that would be gigabytes of numbers is refused."""

from __future__ import annotations

import pytest

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.session import ImapSession
from mailquay.errors import RemoteProtocolError
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
