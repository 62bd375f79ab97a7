"""A bounded queue between the reader of a connection and one consumer: a slow consumer slows the reader down."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

from mailquay.errors import MailquayError

T = TypeVar("T")
_MOST_WAITING_BYTES: Final = 1024 * 1024


class Channel(Generic[T]):
    """One producer, one consumer. `capacity` items may wait, and what came as a MB on the wire; then `put` waits."""

    __slots__ = (
        "_capacity",
        "_discarding",
        "_error",
        "_getter",
        "_interrupted",
        "_items",
        "_putter",
        "_waiting_bytes",
        "taken_bytes",
    )

    def __init__(self, capacity: int) -> None:
        self.taken_bytes = 0
        """What `take` and `drain` last gave came as so many bytes on the wire, more or less."""
        self._waiting_bytes = 0
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._error: MailquayError | None = None
        self._discarding = False
        self._interrupted = False
        self._getter: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None

    async def put(self, item: T) -> None:
        """Add an item, waiting for room. Items for a consumer that has gone are dropped."""
        while self._full and not self._discarding and self._error is None:
            self._putter = asyncio.get_running_loop().create_future()
            try:
                await self._putter
            finally:
                self._putter = None
        if not self._discarding:
            self._items.append(item)
            _wake(self._getter)

    @property
    def _full(self) -> bool:
        return len(self._items) >= self._capacity or (self._waiting_bytes > _MOST_WAITING_BYTES and bool(self._items))

    def weigh(self, count: int) -> None:
        """What is put from now on came with so many bytes."""
        self._waiting_bytes += count

    def offer(self, item: T, capacity: int) -> bool:
        """Add a small item without waiting, unless `capacity` items wait already, or too many bytes."""
        if len(self._items) >= capacity or self._discarding or self._error is not None:
            return False
        if self._waiting_bytes > _MOST_WAITING_BYTES:
            return False
        self._items.append(item)
        _wake(self._getter)
        return True

    async def get(self, timeout_seconds: float | None) -> T:
        """The next item.

        Raises TimeoutError when none comes in time or `interrupt` is called, and, once the channel is empty, the error
        it was failed with.
        """
        await self._something(timeout_seconds)
        item = self._items.popleft()
        if not self._items:
            self._waiting_bytes = 0
        _wake(self._putter)
        return item

    async def take(self, timeout_seconds: float | None) -> list[T]:
        """Everything that is waiting, one item at least. Raises what `get` raises."""
        await self._something(timeout_seconds)
        return self.drain()

    async def _something(self, timeout_seconds: float | None) -> None:
        if self._items:
            return
        async with asyncio.timeout(timeout_seconds):
            while not self._items:
                if self._error is not None:
                    raise self._error
                if self._interrupted:
                    self._interrupted = False
                    raise TimeoutError
                self._getter = asyncio.get_running_loop().create_future()
                try:
                    await self._getter
                finally:
                    self._getter = None

    def set_capacity(self, capacity: int) -> None:
        """Let more or fewer items wait from now on."""
        self._capacity = capacity
        _wake(self._putter)

    def interrupt(self) -> None:
        """Make the present or next wait in `get` end at once."""
        self._interrupted = True
        _wake(self._getter)

    def drain(self) -> list[T]:
        """Everything that is waiting, taken at once."""
        items = list(self._items)
        self._items.clear()
        self.taken_bytes, self._waiting_bytes = self._waiting_bytes, 0
        _wake(self._putter)
        return items

    def fail(self, error: MailquayError) -> None:
        """Nothing more will come: the consumer gets what is waiting, then this error."""
        self._error = self._error or error
        _wake(self._getter)
        _wake(self._putter)

    def discard(self) -> None:
        """The consumer is gone: forget what waits and take everything that still comes."""
        self._discarding = True
        self._items.clear()
        _wake(self._putter)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
