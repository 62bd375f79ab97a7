"""Threads that render, so that no template holds up anything else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from mailquay.errors import TemplateError
from mailquay.templating.engine import Engine, Source


class RenderPool:
    """Renders in threads of its own; each has its own contexts, since those belong to the thread that made them."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="render")
        self._local = threading.local()
        self._turns: dict[int, asyncio.Lock] = {}

    async def render(
        self, owner: int, source: Source, contexts: Sequence[bytes], now_ms: int, *, timeout_seconds: float
    ) -> list[list[str] | TemplateError]:
        """See Engine.render. Each owner has one thread at a time at most: slow templates hold up their owner first.

        Raises TimeoutError when it takes longer, also in the queue.
        """
        async with asyncio.timeout(timeout_seconds), self._turn(owner):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._render, source, contexts, now_ms)

    @asynccontextmanager
    async def _turn(self, owner: int) -> AsyncIterator[None]:
        lock = self._turns.setdefault(owner, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._turns.pop(owner, None)

    def _render(self, source: Source, contexts: Sequence[bytes], now_ms: int) -> list[list[str] | TemplateError]:
        engine: Engine | None = getattr(self._local, "engine", None)
        if engine is None:
            engine = self._local.engine = Engine()
        return engine.render(source, contexts, now_ms)

    async def close(self) -> None:
        """Let what runs end, and nothing begin."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
