"""Work that a committed unit may leave behind: done at the start, when a signal says so, and at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set

import structlog

from mailquay.errors import StorageError
from mailquay.storage.interface import Database, Signal

_log = structlog.get_logger(__name__)


async def do_on_signals(
    database: Database,
    kinds: Set[str],
    what: str,
    work: Callable[[], Awaitable[None]],
    *,
    interval_seconds: float,
    pause_seconds: float = 0.0,
) -> None:
    """Do `work` now, after each signal of one of these kinds, and at intervals, until cancelled.

    What it raises is logged, and it is done again the next time. Between two times there are `pause_seconds` at least.
    """
    due = asyncio.Event()

    def on_signals(signals: frozenset[Signal]) -> None:
        if any(signal.kind in kinds for signal in signals):
            due.set()

    stop_listening = database.subscribe(on_signals)
    try:
        while True:
            due.clear()
            try:
                await work()
            except (StorageError, OSError) as error:
                _log.error("background_work_failed", what=what, error=str(error))
            except Exception as error:
                _log.error("background_work_failed", what=what, exc_info=error)
            await asyncio.sleep(pause_seconds)
            try:
                async with asyncio.timeout(interval_seconds):
                    await due.wait()
            except TimeoutError:
                continue
    finally:
        stop_listening()
