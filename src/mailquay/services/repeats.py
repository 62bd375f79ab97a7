"""Requests with an idempotency key: what was answered first is the answer to every repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mailquay.model.account import Account
from mailquay.services.ports import Clock
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store


class Repeats:
    """Knows the keys of the last day; all requests that queue messages share one, and with it their keys."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._in_hand: dict[tuple[int, str], asyncio.Lock] = {}

    async def answer(
        self, account: Account, key: str | None, work: Callable[[], Awaitable[Enqueued]]
    ) -> dict[str, Any]:
        """What `work` answers, or what was answered under the key before; `work` stores its answer under the key.

        Raises what `work` raises.
        """
        if key is None:
            return dict((await work()).response)
        async with self._one_at_a_time(account, key):
            stored = await self._store.outbox.idempotent_response(account.number, key, self._clock.now_ms())
            if stored is not None:
                return _with_key(stored, key, repeated=True)
            enqueued = await work()
            return _with_key(enqueued.response, key, repeated=enqueued.repeated)

    @asynccontextmanager
    async def _one_at_a_time(self, account: Account, key: str) -> AsyncIterator[None]:
        """A repeat that comes while the first is in hand waits for its answer."""
        slot = (account.number, key)
        lock = self._in_hand.setdefault(slot, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._in_hand.pop(slot, None)


def _with_key(answer: Mapping[str, Any], key: str, *, repeated: bool) -> dict[str, Any]:
    return {**answer, "idempotency": {"key": key, "status": "HIT" if repeated else "MISS"}}
