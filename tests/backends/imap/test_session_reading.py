"""Rows that nobody asked for, in the middle of an answer."""

from __future__ import annotations

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.session import ImapSession
from tests.backends.imap.scripted_server import Expect, Hang, ScriptedServer, Send

_WHOLE = b'INTERNALDATE "01-Jan-2026 10:00:00 +0000" RFC822.SIZE 10'


async def test_flags_that_change_during_a_fetch_make_no_second_message() -> None:
    """Told before or after the row that was asked for.

    A message of which nothing else is told is asked for again, and is one all the same.
    """
    script = (
        Send(b"* PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n"),
        Expect("A1 EXAMINE INBOX"),
        Send(b"* 3 EXISTS\r\nA1 OK [READ-ONLY] done\r\n"),
        Expect("A2 UID FETCH .*"),
        Send(
            b"* 2 FETCH (UID 8 FLAGS (\\Seen))\r\n"
            b"* 1 FETCH (UID 7 FLAGS () " + _WHOLE + b")\r\n"
            b"* 1 FETCH (UID 7 FLAGS (\\Flagged))\r\n"
            b"* 2 FETCH (UID 8 FLAGS () " + _WHOLE + b")\r\n"
            b"* 3 FETCH (UID 9 FLAGS ())\r\n* 4 FETCH (UID 11 FLAGS ())\r\nA2 OK done\r\n"
        ),
        Expect(r"A3 UID FETCH 9,11 .*"),
        Send(b"* 3 FETCH (UID 9 FLAGS (\\Draft) " + _WHOLE + b")\r\nA3 OK done\r\n"),
        Hang(),
    )
    async with ScriptedServer(*script) as server:
        connection = await ImapConnection.open(await server.connect())
        session = ImapSession(connection)
        await session.open_mailbox("INBOX")
        entries = [entry async for batch in session.fetch_identifiers("7:*") for entry in batch]
        assert [(entry.uid, entry.size_bytes) for entry in entries] == [(7, 10), (8, 10), (9, 10), (11, None)]
        await connection.aclose()
