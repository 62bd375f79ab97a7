"""Work that belongs to accounts: one run per account at a time, started by a nudge or when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from mailquay.errors import Fenced

_log = structlog.get_logger(__name__)
_RETRY_SECONDS = 5.0

Handler = Callable[[int], Awaitable[float | None]]
"""Works for one account; returns after how many seconds to be called again, None to wait for a nudge."""


@dataclass(slots=True)
class _Key:
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    again: bool = False


class KeyedWorker:
    """Runs a handler for many keys, at most `concurrency` at once. A handler that fails harms only its key."""

    def __init__(self, name: str, handler: Handler, *, concurrency: int) -> None:
        self._name = name
        self._handler = handler
        self._slots = asyncio.Semaphore(concurrency)
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

    async def remove(self, key: int) -> None:
        """Stop working for a key; returns when its run has ended."""
        state = self._keys.pop(key, None)
        if state is None:
            return
        if state.timer is not None:
            state.timer.cancel()
        if state.task is not None:
            state.task.cancel()
            await asyncio.wait([state.task])

    async def close(self) -> None:
        """Stop working for every key."""
        await asyncio.gather(*(self.remove(key) for key in list(self._keys)))

    async def _run(self, key: int, state: _Key) -> None:
        delay: float | None = None
        try:
            async with self._slots:
                state.again = False
                delay = await self._handler(key)
        except asyncio.CancelledError:
            raise
        except Fenced:
            # The account belongs to another node now; the supervisor is about to remove the key.
            delay = None
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
            state.timer = asyncio.get_running_loop().call_later(delay, self.nudge, key)
