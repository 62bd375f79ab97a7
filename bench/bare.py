"""A client that is no more than a socket, to compare with."""

from __future__ import annotations

import asyncio

from tests.servers.dovecot import Dovecot, MailUser


async def logged_in(dovecot: Dovecot, user: MailUser) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of its own for a user."""
    reader, writer = await asyncio.open_connection(dovecot.host, dovecot.imap_port)
    await exchange(reader, writer, f"a LOGIN {user.login} {user.password}")
    return reader, writer


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str) -> bytes:
    """Send a command line and read to its end, or to the continuation of IDLE."""
    writer.write(f"{line}\r\n".encode())
    tag, read = line.split()[0].encode(), b""
    while True:
        answer = await reader.readline()
        if not answer:
            raise ConnectionError(f"the server closed the connection after {line.split()[1]}")
        read += answer
        if answer.startswith((tag + b" ", b"+ ")):
            return read
