"""A TCP proxy that fails on demand: cuts, stalls, delays, truncates, refuses."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self

from tests.servers.process import LOOPBACK

_CHUNK_BYTES = 64 * 1024


class TcpProxy:
    """Forwards a free loopback port to a target, for the event loop of the test that opens it.

    Faults hold for all connections, present and future, until they are taken back:

    refusing              new connections are closed as soon as they are accepted
    delay_seconds         each piece waits so long before it is passed on
    truncate_after_bytes  what the target may still say, over all connections; then they are cut
    """

    def __init__(self, target_port: int, target_host: str = LOOPBACK) -> None:
        self.host, self.port = LOOPBACK, 0
        self.refusing = False
        self.delay_seconds = 0.0
        self.truncate_after_bytes: int | None = None
        self.connection_count = 0
        self._target = (target_host, target_port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._closing = asyncio.Event()
        self._changed = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> Self:
        """Begin to listen; `port` is known then."""
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self._closing.set()
        self._flowing.set()
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def cut(self) -> None:
        """Reset every present connection on both sides (the peer sees ECONNRESET, not an orderly end)."""
        for writer in list(self._writers):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def stall(self) -> None:
        """Pass nothing on in either direction while connections stay open: a half-open peer."""
        self._flowing.clear()

    def resume(self) -> None:
        """End a stall; what was held back goes on its way."""
        self._flowing.set()

    async def wait_for_connections(self, count: int, *, timeout_seconds: float = 15) -> None:
        """Return when so many connections have been accepted since the start; fail if they are not in time."""
        async with asyncio.timeout(timeout_seconds), self._changed:
            await self._changed.wait_for(lambda: self.connection_count >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._changed:
            self.connection_count += 1
            self._changed.notify_all()
        if self.refusing:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()  # the target is down: so are we
            return
        self._writers |= {writer, target_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, target_writer, from_target=False))
                group.create_task(self._pass_on(target_reader, writer, from_target=True))
        finally:
            self._writers -= {writer, target_writer}
            for one in (writer, target_writer):
                one.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_target: bool) -> None:
        """Carry bytes one way until that side ends, then end the other side likewise."""
        try:
            while piece := await reader.read(_CHUNK_BYTES):
                await self._flowing.wait()
                if self.delay_seconds:
                    await self._hold(self.delay_seconds)
                if from_target and self.truncate_after_bytes is not None:
                    piece = piece[: self.truncate_after_bytes]
                    self.truncate_after_bytes -= len(piece)
                writer.write(piece)
                await writer.drain()
                if from_target and self.truncate_after_bytes == 0:
                    writer.close()
                    return
            writer.write_eof()
        except ConnectionError:
            writer.close()  # this side was cut, perhaps by us: the other one must not stay open

    async def _hold(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
