"""A server that never stops talking while it is listened to: what it says is passed on in pieces."""

from __future__ import annotations

import asyncio

from mailquay.backends.imap.backend import ImapBackend, ImapOptions
from mailquay.backends.imap.idle import MOST_AT_ONCE
from mailquay.model.account import ImapSettings

_CAPABILITIES = "IMAP4rev1 IDLE NOTIFY"


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let anybody in, agree to everything, and once it is listened to tell of one mailbox after the other."""
    writer.write(f"* OK [CAPABILITY {_CAPABILITIES}] hello\r\n".encode())
    while line := await reader.readline():
        tag, command = line.decode().split()[:2]
        if command == "CAPABILITY":
            writer.write(f"* CAPABILITY {_CAPABILITIES}\r\n".encode())
        if command != "IDLE":
            writer.write(f"{tag} OK done\r\n".encode())
            continue
        writer.write(b"+ idling\r\n")
        for number in range(3 * MOST_AT_ONCE):
            writer.write(f"* STATUS box{number} (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3)\r\n".encode())
    writer.close()


async def test_endless_news_come_in_pieces() -> None:
    server = await asyncio.start_server(_talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = ImapSettings("127.0.0.1", port, tls={"disabled": True}, user="ann", password="secret")
    options = ImapOptions(connect_seconds=10, command_seconds=10, idle_restart_seconds=60, poll_seconds=1, client_id={})
    watch = await ImapBackend(settings, options).open_watch("INBOX", everywhere=True)
    await watch.start()
    told: list[int] = []
    async with asyncio.timeout(20):
        while sum(told) < 3 * MOST_AT_ONCE:
            told.append(len(await watch.next_news()))
    assert max(told) <= MOST_AT_ONCE + 1
    await watch.close()
    server.close()
    await server.wait_closed()
