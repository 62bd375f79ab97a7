"""Connections that wait for the next message of the same account to the same server."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mailquay.backends.smtp.driver import SmtpConnection
from mailquay.backends.smtp.server import SmtpServer
from mailquay.net.tap import Tap


@dataclass(slots=True, eq=False)
class _Slot:
    """At most one connection for one account and server; the lock makes its messages go one after another."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: SmtpConnection | None = None
    messages: int = 0
    users: int = 0
    expiry: asyncio.TimerHandle | None = None


class SmtpPool:
    """One connection per (account, server), reused for up to `max_messages`, closed after `idle_seconds`.

    Of all idle connections at most `max_idle` are kept; the longest idle is closed first. A connection is handed out
    again only after the server answered RSET, and never after anything about it was doubtful.
    """

    def __init__(self, *, max_messages: int = 100, idle_seconds: float = 600.0, max_idle: int = 500) -> None:
        self._max_messages = max_messages
        self._idle_seconds = idle_seconds
        self._max_idle = max_idle
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def idle_count(self) -> int:
        """How many connections wait."""
        return sum(slot.connection is not None and slot.users == 0 for slot in self._slots.values())

    @asynccontextmanager
    async def connection(
        self, account: Hashable, server: SmtpServer, tap: Callable[[], Tap] | None = None
    ) -> AsyncIterator[SmtpConnection]:
        """A connection that is logged in, for one message; after the block it is kept if nothing speaks against it.

        `tap` makes one for somebody who reads along; such connections are kept apart from the others. Waits while
        another message of the account is on it. Raises SubmissionRejected when none can be made.
        """
        key = (account, server, tap is not None)
        slot = self._slots.setdefault(key, _Slot())
        slot.users += 1
        try:
            async with slot.lock:
                self._stop_expiry(slot)
                connection = await self._take(slot, server, tap)
                try:
                    slot.messages += 1
                    yield connection
                finally:
                    await self._give_back(key, slot)
        finally:
            slot.users -= 1
            if slot.users == 0 and slot.connection is None and self._slots.get(key) is slot:
                del self._slots[key]

    async def aclose(self) -> None:
        """Close every idle connection."""
        slots = list(self._slots.values())
        self._slots.clear()
        for slot in slots:
            self._stop_expiry(slot)
            if slot.users == 0:  # whoever uses the others finds their slot gone and closes them
                self._close_later(slot)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    async def _take(self, slot: _Slot, server: SmtpServer, tap: Callable[[], Tap] | None) -> SmtpConnection:
        kept = slot.connection
        if kept is not None:
            if slot.messages < self._max_messages and await kept.reset():
                return kept
            slot.connection = None
            await kept.close()
        connection = await open_connection(server, tap)
        slot.connection, slot.messages = connection, 0
        return connection

    async def _give_back(self, key: Hashable, slot: _Slot) -> None:
        connection = slot.connection
        if connection is None:
            return
        if connection.doubtful or slot.messages >= self._max_messages or self._slots.get(key) is not slot:
            slot.connection = None
            await connection.close()
            return
        self._slots.move_to_end(key)
        slot.expiry = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire, key, slot)
        self._evict()

    def _evict(self) -> None:
        """Close the longest idle connections beyond the limit."""
        surplus = len(self._slots) - self._max_idle
        for key, slot in list(self._slots.items())[: max(surplus, 0)]:
            if slot.users == 0:
                self._expire(key, slot)

    def _expire(self, key: Hashable, slot: _Slot) -> None:
        if slot.users == 0 and self._slots.get(key) is slot:
            del self._slots[key]
            self._stop_expiry(slot)
            self._close_later(slot)

    def _close_later(self, slot: _Slot) -> None:
        connection, slot.connection = slot.connection, None
        if connection is not None:
            task = asyncio.create_task(connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _stop_expiry(self, slot: _Slot) -> None:
        if slot.expiry is not None:
            slot.expiry.cancel()
            slot.expiry = None


async def open_connection(server: SmtpServer, tap: Callable[[], Tap] | None) -> SmtpConnection:
    """A new connection that is logged in. Raises SubmissionRejected."""
    connection = await SmtpConnection.open(server, tap() if tap is not None else None)
    try:
        await connection.greet()
        await connection.start_tls()
        await connection.authenticate()
    except BaseException:
        await connection.close()
        raise
    return connection
