"""Work that belongs to accounts: one run per account at a time, started by a nudge or when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from mailquay.errors import Fenced, NotOperational

_log = structlog.get_logger(__name__)
_RETRY_SECONDS = 5.0
_QUICK_SECONDS = 5.0
_SLOW_LANES = 20
_LONGEST_TIMER_SECONDS = 300.0

Handler = Callable[[int], Awaitable[float | None]]
"""Works for one account; returns after how many seconds to be called again, None to wait for a nudge."""


@dataclass(slots=True)
class _Key:
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    again: bool = False


class KeyedWorker:
    """Runs a handler for many keys. A handler that fails, or hangs, harms only its key.

    At most `concurrency` runs begin within a few seconds; those that take longer (they wait for a peer) do not count
    any more, up to twenty times as many.
    """

    def __init__(self, name: str, handler: Handler, *, concurrency: int) -> None:
        self._name = name
        self._handler = handler
        self._quick = asyncio.Semaphore(concurrency)
        self._all = asyncio.Semaphore(concurrency * _SLOW_LANES)
        self._keys: dict[int, _Key] = {}

    def add(self, key: int) -> None:
        """Begin to work for a key, at once."""
        if key not in self._keys:
            self._keys[key] = _Key()
            self.nudge(key)

    def nudge(self, key: int) -> None:
        """Something changed for a key that was added: run for it now, or once more when it is running."""
        state = self._keys.get(key)
        if state is None:
            return
        if state.timer is not None:
            state.timer.cancel()
            state.timer = None
        if state.task is not None:
            state.again = True
            return
        state.task = asyncio.create_task(self._run(key, state), name=f"{self._name}-{key}")

    def nudge_all(self) -> None:
        """Something changed for anybody."""
        for key in list(self._keys):
            self.nudge(key)

    async def remove(self, key: int, *, grace_seconds: float = 0.0) -> None:
        """Stop working for a key; returns when its run has ended, by itself within the grace or cancelled after it."""
        state = self._keys.pop(key, None)
        if state is None:
            return
        if state.timer is not None:
            state.timer.cancel()
        task = state.task
        if task is None:
            return
        if grace_seconds > 0:
            await asyncio.wait([task], timeout=grace_seconds)
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        """Stop working for every key."""
        await asyncio.gather(*(self.remove(key) for key in list(self._keys)))

    async def _run(self, key: int, state: _Key) -> None:
        delay: float | None = None
        try:
            async with self._all, self._quick_lane():
                state.again = False
                delay = await self._handler(key)
        except asyncio.CancelledError:
            raise
        except (Fenced, NotOperational) as error:
            # The account is another node's, or about to be: the supervisor removes the key when it has seen that.
            _log.info("worker_not_owner", worker=self._name, account=key, error=str(error))
            delay = _RETRY_SECONDS
        except Exception as error:
            _log.error("worker_failed", worker=self._name, account=key, exc_info=error)
            delay = _RETRY_SECONDS
        finally:
            state.task = None
        if self._keys.get(key) is not state:
            return
        if state.again:
            self.nudge(key)
        elif delay is not None:
            # A look in between costs little, and finds out when the clock of the machine was set.
            pause = min(delay, _LONGEST_TIMER_SECONDS)
            state.timer = asyncio.get_running_loop().call_later(pause, self.nudge, key)

    @asynccontextmanager
    async def _quick_lane(self) -> AsyncIterator[None]:
        """A place among those that have just begun; it is given up after a while."""
        await self._quick.acquire()
        held = True

        def give_up() -> None:
            nonlocal held
            if held:
                held = False
                self._quick.release()

        timer = asyncio.get_running_loop().call_later(_QUICK_SECONDS, give_up)
        try:
            yield
        finally:
            timer.cancel()
            give_up()
