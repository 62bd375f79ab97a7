"""Foreign clients for the sandbox: imaplib and smtplib in threads, and a bare IMAP client that says what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import re
import smtplib
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, TypeVar

from mailquay.sandbox.world import SandboxAccount

T = TypeVar("T")
TIMEOUT_SECONDS = 10.0


class Imaplib:
    """imaplib's client; each call runs in a thread, since the server lives in this one."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self.client = client

    @classmethod
    async def open(cls, account: SandboxAccount) -> Self:
        """Connect; nobody is logged in yet."""
        return cls(await asyncio.to_thread(imaplib.IMAP4, account.imap_host, account.imap_port, TIMEOUT_SECONDS))

    async def __call__(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method that must succeed; its data."""
        status, data = await asyncio.to_thread(getattr(self.client, method), *arguments)
        assert status in ("OK", "BYE"), f"{method} {arguments}: {status} {data}"
        return list(data)

    async def refused(self, method: str, *arguments: Any) -> str:
        """Call a method that must be answered NO; the text."""
        status, data = await asyncio.to_thread(getattr(self.client, method), *arguments)
        assert status == "NO", f"{method} {arguments}: {status} {data}"
        return str(data[0].decode())

    def response(self, code: str) -> list[Any]:
        """The untagged data or response codes of that name since it was last asked for."""
        return list(self.client.response(code)[1])


@contextlib.asynccontextmanager
async def imaplib_client(account: SandboxAccount) -> AsyncIterator[Imaplib]:
    """A client that is logged in, and logs out at the end."""
    client = await Imaplib.open(account)
    await client("login", account.user, account.password)
    yield client
    await client("logout")


class BareImap:
    """Sends lines as given and returns the server's lines, literals spliced in behind their announcements."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tag = 0

    @classmethod
    async def open(cls, account: SandboxAccount) -> Self:
        """Connect and read the greeting."""
        client = cls(*await asyncio.open_connection(account.imap_host, account.imap_port))
        assert (await client.line()).startswith(b"* OK")
        return client

    @classmethod
    async def log_in(cls, account: SandboxAccount, *commands: str) -> Self:
        """Connect, log in, and send further commands that must succeed."""
        client = await cls.open(account)
        await client.ok(f"LOGIN {account.user} {account.password}")
        for command in commands:
            await client.ok(command)
        return client

    async def line(self) -> bytes:
        """The next line of the server without its CRLF; b"" when it has closed."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            line = await self._reader.readline()
            while (literal := re.search(rb"\{(\d+)\}\r\n\Z", line)) is not None:
                line += await self._reader.readexactly(int(literal.group(1)))
                line += await self._reader.readline()
        return line.removesuffix(b"\r\n")

    async def send(self, text: str | bytes) -> str:
        """Send a command; its tag."""
        self._tag += 1
        tag = f"a{self._tag}"
        self._writer.write(f"{tag} ".encode() + (text.encode() if isinstance(text, str) else text) + b"\r\n")
        await self._writer.drain()
        return tag

    async def read_some(self) -> bytes:
        """Some bytes, as they come."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._reader.read(65536)

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self, tag: str) -> list[bytes]:
        """The server's lines up to the end of a command, that one included."""
        lines: list[bytes] = []
        while not lines or not lines[-1].startswith(tag.encode() + b" "):
            line = await self.line()
            assert line, f"closed after {lines}"
            lines.append(line)
        return lines

    async def command(self, text: str | bytes) -> list[bytes]:
        """Send a command and return all that is said to it, without the tag of its end."""
        tag = await self.send(text)
        lines = await self.finish(tag)
        return [*lines[:-1], lines[-1].removeprefix(tag.encode() + b" ")]

    async def ok(self, text: str | bytes) -> list[bytes]:
        """A command that must succeed."""
        lines = await self.command(text)
        assert lines[-1].startswith(b"OK"), lines
        return lines

    async def close(self) -> None:
        """Close without a word."""
        self._writer.close()
        await self._writer.wait_closed()


def send_mail(
    account: SandboxAccount, recipients: list[str], message: bytes, *, login: bool = True
) -> dict[str, tuple[int, bytes]]:
    """Submit with smtplib; the recipients that were refused. Raises what smtplib raises."""
    with smtplib.SMTP(account.smtp_host, account.smtp_port, timeout=TIMEOUT_SECONDS) as client:
        if login:
            client.login(account.user, account.password)
        return client.sendmail(account.email, recipients, message)


async def in_thread(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run a blocking client while the server goes on here."""
    return await asyncio.to_thread(work, *arguments, **named)


def mail(subject: str, body: str = "Hello\r\n", extra: str = "") -> bytes:
    """A small message."""
    return (
        f"From: Ann Archer <ann@sandbox.test>\r\nTo: bruno@sandbox.test\r\nSubject: {subject}\r\n{extra}"
        f"Message-ID: <{subject.replace(' ', '.')}@sandbox.test>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\n\r\n{body}"
    ).encode()
