"""A TCP proxy that fails on demand: cuts, resets, freezes, stalls, slows down, delays, truncates, refuses."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Self

from tests.servers.process import LOOPBACK

_CHUNK_BYTES = 64 * 1024
_SLICES_PER_SECOND = 20


class Strike(Enum):
    """What happens to a connection: FIN, RST, silence for good while it stays open, or a trickle of bytes."""

    CUT = "cut"
    RESET = "reset"
    FREEZE = "freeze"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes one connection, once: the first on which `marker` passes in one direction.

    `after_bytes` more bytes behind the marker pass on before; an empty marker is any byte.
    The marker is looked for in what arrives together, upper case. `bytes_per_second` is for SLOW.
    """

    strike: Strike
    from_target: bool
    marker: bytes = b""
    after_bytes: int = 0
    bytes_per_second: int = 200


class _Connection:
    """One connection through the proxy, and what has become of it."""

    def __init__(self, client: asyncio.StreamWriter, target: asyncio.StreamWriter) -> None:
        self.writers = (client, target)
        self.frozen = False
        self.slow: int | None = None
        self.armed: tuple[Fault, int] | None = None
        """A fault whose marker has passed, and how many bytes may still follow it."""

    def reset(self) -> None:
        """Both sides see ECONNRESET, not an orderly end."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def end(self) -> None:
        """Both sides see an orderly end."""
        for writer in self.writers:
            writer.close()


class TcpProxy:
    """Forwards a free loopback port to a target, for the event loop of the test that opens it.

    Faults hold for all connections, present and future, until they are taken back:

    refusing              new connections are closed as soon as they are accepted
    delay_seconds         each piece waits so long before it is passed on
    truncate_after_bytes  what the target may still say, over all connections; then they are cut

    `plan` strikes single connections, at a step of their dialogue; `struck` lists what has struck.
    """

    def __init__(self, target_port: int, target_host: str = LOOPBACK) -> None:
        self.host, self.port = LOOPBACK, 0
        self.refusing = False
        self.delay_seconds = 0.0
        self.truncate_after_bytes: int | None = None
        self.connection_count = 0
        self.struck: list[Fault] = []
        self._planned: list[Fault] = []
        self._connections: set[_Connection] = set()
        self._target = (target_host, target_port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._closing = asyncio.Event()
        self._changed = asyncio.Condition()
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
        for connection in list(self._connections):
            connection.reset()

    def end(self) -> None:
        """End every present connection on both sides in an orderly way."""
        for connection in list(self._connections):
            connection.end()

    def freeze(self) -> None:
        """Pass nothing on over the present connections any more, for good; they take bytes and stay open."""
        for connection in self._connections:
            connection.frozen = True

    def plan(self, *faults: Fault) -> None:
        """Have faults strike, each the first connection that it fits."""
        self._planned += faults

    def clear(self) -> None:
        """Forget planned faults, and slow nothing down any more; what is frozen stays so."""
        self._planned.clear()
        for connection in self._connections:
            connection.armed, connection.slow = None, None

    @property
    def open_connections(self) -> int:
        """How many connections are open now; those frozen count until one side closes."""
        return len(self._connections)

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
        connection = _Connection(writer, target_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, target_writer, connection, from_target=False))
                group.create_task(self._pass_on(target_reader, writer, connection, from_target=True))
        finally:
            self._connections.discard(connection)
            connection.end()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection, *, from_target: bool
    ) -> None:
        """Carry bytes one way until that side ends, then end the other side likewise."""
        try:
            while piece := await reader.read(_CHUNK_BYTES):
                await self._flowing.wait()
                if self.delay_seconds:
                    await self._hold(self.delay_seconds)
                if from_target and self.truncate_after_bytes is not None:
                    piece = piece[: self.truncate_after_bytes]
                    self.truncate_after_bytes -= len(piece)
                await self._send(piece, writer, connection, from_target=from_target)
                if from_target and self.truncate_after_bytes == 0:
                    writer.close()
                    return
            if not connection.frozen or not from_target:
                writer.write_eof()
        except (OSError, RuntimeError):
            connection.end()  # this side was cut, perhaps by us: the other one must not stay open

    async def _send(
        self, piece: bytes, writer: asyncio.StreamWriter, connection: _Connection, *, from_target: bool
    ) -> None:
        if connection.frozen:
            return
        left = self._arm(connection, piece, from_target=from_target)
        before = piece if left is None else piece[:left]
        if connection.slow is not None:
            await self._trickle(before, writer, connection)
        else:
            writer.write(before)
            await writer.drain()
        if left is not None:
            self._strike(connection)
            await self._send(piece[left:], writer, connection, from_target=from_target)

    def _arm(self, connection: _Connection, piece: bytes, *, from_target: bool) -> int | None:
        """How many bytes of a piece may pass before a fault strikes; None when none strikes in it."""
        if connection.armed is None:
            for fault in self._planned:
                start = piece.upper().find(fault.marker)
                if start >= 0 and fault.from_target is from_target:
                    self._planned.remove(fault)
                    connection.armed = (fault, start + len(fault.marker) + fault.after_bytes)
                    break
        if connection.armed is None or connection.armed[0].from_target is not from_target:
            return None
        fault, left = connection.armed
        connection.armed = (fault, left - len(piece))
        return left if left <= len(piece) else None

    def _strike(self, connection: _Connection) -> None:
        assert connection.armed is not None
        fault, connection.armed = connection.armed[0], None
        self.struck.append(fault)
        match fault.strike:
            case Strike.CUT:
                connection.end()
                raise ConnectionAbortedError
            case Strike.RESET:
                connection.reset()
                raise ConnectionAbortedError
            case Strike.FREEZE:
                connection.frozen = True
            case Strike.SLOW:
                connection.slow = fault.bytes_per_second

    async def _trickle(self, piece: bytes, writer: asyncio.StreamWriter, connection: _Connection) -> None:
        while piece and connection.slow is not None:
            size = max(1, connection.slow // _SLICES_PER_SECOND)
            writer.write(piece[:size])
            await writer.drain()
            piece = piece[size:]
            await self._hold(1 / _SLICES_PER_SECOND)
        writer.write(piece)
        await writer.drain()

    async def _hold(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
