"""Connections to servers that many accounts send through: several at once, within a budget for each host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mailquay.backends.smtp.driver import SmtpConnection
from mailquay.backends.smtp.mapping import failed
from mailquay.backends.smtp.pool import open_connection
from mailquay.backends.smtp.server import SmtpServer
from mailquay.net.tap import Tap


@dataclass(slots=True, eq=False)
class _Held:
    """A connection, who may use it, and how many messages went over it."""

    key: Hashable
    connection: SmtpConnection
    messages: int = 0
    expiry: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class _Host:
    """The connections to one host and port: `in_use` of them carry a message, those in `idle` wait, the longest first.

    `users` counts who has a connection or waits for one.
    """

    place: tuple[str, int]
    turns: asyncio.Semaphore
    in_use: int = 0
    users: int = 0
    idle: list[_Held] = field(default_factory=list)


class SharedSmtpPool:
    """At most `per_host` connections to one host and port, whoever they are for, idle ones included.

    A connection is used again by the same owner for the same server, for up to `max_messages`, and closed after
    `idle_seconds`, or when another needs its place. Who finds none free for `wait_seconds` is turned away.
    """

    def __init__(
        self, *, per_host: int, wait_seconds: float = 60.0, max_messages: int = 100, idle_seconds: float = 600.0
    ) -> None:
        self._per_host = per_host
        self._wait_seconds = wait_seconds
        self._max_messages = max_messages
        self._idle_seconds = idle_seconds
        self._hosts: dict[tuple[str, int], _Host] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle_count(self) -> int:
        """How many connections wait."""
        return sum(len(host.idle) for host in self._hosts.values())

    @asynccontextmanager
    async def connection(
        self, owner: Hashable, server: SmtpServer, tap: Callable[[], Tap] | None = None
    ) -> AsyncIterator[SmtpConnection]:
        """A connection that is logged in, for one message; see SmtpPool.connection.

        Raises SubmissionRejected, not permanent, when none becomes free in time.
        """
        place = (server.host, server.port)
        host = self._hosts.setdefault(place, _Host(place, asyncio.Semaphore(self._per_host)))
        host.users += 1
        try:
            await self._turn(host, server)
            host.in_use += 1
            try:
                held = await self._take(host, (owner, server, tap is not None), server, tap)
                try:
                    held.messages += 1
                    yield held.connection
                finally:
                    await self._give_back(host, held)
            finally:
                host.in_use -= 1
                host.turns.release()
        finally:
            host.users -= 1
            self._forget(host)

    async def aclose(self) -> None:
        """Close every idle connection, and the others as they are given back."""
        self._closed = True
        for host in list(self._hosts.values()):
            while host.idle:
                self._expire(host, host.idle[0])
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _turn(self, host: _Host, server: SmtpServer) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await host.turns.acquire()
        except TimeoutError:
            words = f"All connections to {server.host} were busy for {self._wait_seconds:g} seconds"
            raise failed(words, "EBUSY") from None

    async def _take(self, host: _Host, key: Hashable, server: SmtpServer, tap: Callable[[], Tap] | None) -> _Held:
        while (held := next((one for one in reversed(host.idle) if one.key == key), None)) is not None:
            _take_out(host, held)
            if await _is_alive(held.connection):
                return held
        while host.idle and host.in_use + len(host.idle) > self._per_host:
            await _take_out(host, host.idle[0]).connection.close()
        return _Held(key, await open_connection(server, tap))

    async def _give_back(self, host: _Host, held: _Held) -> None:
        if held.connection.doubtful or held.messages >= self._max_messages or self._closed:
            await held.connection.close()
            return
        held.expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire, host, held)
        host.idle.append(held)

    def _expire(self, host: _Host, held: _Held) -> None:
        """Close a connection that waits."""
        task = asyncio.create_task(_take_out(host, held).connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self._forget(host)

    def _forget(self, host: _Host) -> None:
        """Keep nothing of a host that nobody uses and no connection leads to."""
        if not host.users and not host.idle and self._hosts.get(host.place) is host:
            del self._hosts[host.place]


async def _is_alive(connection: SmtpConnection) -> bool:
    """Whether a connection can carry another message; it is closed if not."""
    alive = False
    try:
        alive = await connection.reset()
    finally:
        if not alive:
            await connection.close()
    return alive


def _take_out(host: _Host, held: _Held) -> _Held:
    """Take a connection out of those that wait."""
    host.idle.remove(held)
    if held.expiry is not None:
        held.expiry.cancel()
        held.expiry = None
    return held
