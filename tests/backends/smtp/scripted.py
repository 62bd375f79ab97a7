"""An SMTP server that follows a script, for the things that a well-behaved server never does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mailquay.backends.smtp.server import SmtpServer, SmtpTimeouts
from tests.net.peer import serve

IMPATIENT = SmtpTimeouts(
    connect_seconds=5,
    greeting_seconds=5,
    command_seconds=5,
    data_block_seconds=5,
    end_of_data_seconds=5,
    quit_seconds=1,
)

CLOSE = "close"
"""As a reply: cut the connection instead."""

SILENT = "silent"
"""As a reply: say nothing any more."""


@dataclass
class Scripted:
    """Replies by verb; a list is used up one by one, its last entry stays. `END` is the reply after the final dot."""

    replies: dict[str, str | list[str]] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    context: ssl.SSLContext | None = None
    greeting: str = "220 scripted\r\n"
    seen: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def server(self, **options: object) -> SmtpServer:
        """Settings that lead here."""
        values: dict[str, object] = {"secure": False, "timeouts": IMPATIENT, "ehlo_name": "client.example"}
        return SmtpServer(host="127.0.0.1", port=self.port, **{**values, **options})  # type: ignore[arg-type]

    async def until(self, satisfied: Callable[[], bool]) -> None:
        """Wait until what was seen or received satisfies the condition."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(satisfied)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def verbs(self) -> list[str]:
        """The commands that came, without arguments."""
        return [line.split(" ")[0].split(":")[0].upper() for line in self.seen]

    def reply_to(self, verb: str) -> str:
        """The scripted reply, or the usual one."""
        scripted = self.replies.get(verb)
        if isinstance(scripted, list):
            scripted = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if scripted is not None:
            return scripted
        return {"EHLO": self._ehlo(), "DATA": "354 go", "QUIT": "221 bye", "STARTTLS": "220 go"}.get(verb, "250 ok")

    def _ehlo(self) -> str:
        lines = ["scripted", *self.extensions]
        return "\r\n".join([f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"])

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        writer.write(self.greeting.encode())
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            self.seen.append(text)
            await self._notify()
            verb = text.split(" ")[0].upper()
            if not await self._answer(verb, self.reply_to(verb), reader, writer):
                return

    async def _answer(self, verb: str, reply: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if reply == CLOSE:
            return False
        if reply == SILENT:
            await reader.read()
            return False
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()
        if verb == "DATA" and reply.startswith("354"):
            self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
            await self._notify()
            return await self._answer("END", self.reply_to("END"), reader, writer)
        if verb == "STARTTLS" and reply.startswith("220") and self.context is not None:
            await writer.start_tls(self.context)
        return verb != "QUIT" and not reply.startswith("421")


@asynccontextmanager
async def scripted(**options: object) -> AsyncIterator[Scripted]:
    """A running scripted server."""
    script = Scripted(**options)  # type: ignore[arg-type]
    async with serve(script.handle) as port:
        script.port = port
        yield script
