"""An IMAP server that plays a script over a real socket: what it expects from the client, and what it sends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from mailquay.net.connect import connect
from mailquay.net.stream import Stream


@dataclass(frozen=True)
class Expect:
    """The next bytes of the client must match this expression, from their start."""

    pattern: str


@dataclass(frozen=True)
class Send:
    """Bytes for the client."""

    data: bytes


class Hang:
    """Say nothing more and wait until the client goes."""


class Close:
    """Close the connection."""


Step = Expect | Send | Hang | Close | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """Plays `steps` to one client. `mismatch` tells what came instead of what the script expects."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Sequence[Step] = steps
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.received = b""
        self.mismatch: str | None = None
        self.finished = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._play, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.transport.abort()
        assert self.mismatch is None, self.mismatch

    async def connect(self) -> Stream:
        """A client's stream to this server."""
        return await connect("127.0.0.1", self.port, tls=None, timeout_seconds=5)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            for step in self._steps:
                await self._step(step, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            self.mismatch = f"{error!r} after {self.received!r}"
        finally:
            self.finished.set()

    async def _step(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match step:
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Expect(pattern):
                line = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
                self.received += line
                if re.fullmatch(pattern, line.decode("latin-1").removesuffix("\r\n")) is None:
                    self.mismatch = f"expected {pattern!r}, got {line!r}"
                    writer.close()
                    raise ConnectionError(self.mismatch)
            case Hang():
                await reader.read()
            case Close():
                writer.close()
            case _:
                await step(reader, writer)


GREETING = Send(b"* OK [CAPABILITY IMAP4rev1 IDLE ENABLE CONDSTORE ID SASL-IR AUTH=PLAIN AUTH=XOAUTH2] ready\r\n")
LOGGED_IN = (
    GREETING,
    Expect("A1 AUTHENTICATE PLAIN AHUAcA=="),
    Send(b"A1 OK [CAPABILITY IMAP4rev1 IDLE ENABLE CONDSTORE ID LITERAL-] in\r\n"),
)
