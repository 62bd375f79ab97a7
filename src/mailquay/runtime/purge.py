"""Deleting what removed accounts and mailboxes have left behind: in small steps, with pauses, until nothing is left."""

from __future__ import annotations

import asyncio

import structlog

from mailquay.errors import StorageError
from mailquay.storage.interface import PURGE_DUE, Signal
from mailquay.storage.repositories.upkeep import PURGE_ROWS
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_SHORTEST_PAUSE_SECONDS = 0.001


async def keep_purged(store: Store, *, interval_seconds: float, rows: int = PURGE_ROWS) -> None:
    """Purge now, whenever something was removed, and at intervals (what a node left undone), until cancelled.

    Several nodes may do it at once.
    """
    due = asyncio.Event()

    def on_signals(signals: frozenset[Signal]) -> None:
        if any(signal.kind == PURGE_DUE for signal in signals):
            due.set()

    stop_listening = store.database.subscribe(on_signals)
    try:
        while True:
            due.clear()
            try:
                await purge_everything(store, rows)
            except StorageError as error:
                _log.error("purge_failed", error=str(error))
            except Exception as error:
                # Whatever it was, it must not end the purging for as long as the node runs.
                _log.error("purge_failed", exc_info=error)
            try:
                async with asyncio.timeout(interval_seconds):
                    await due.wait()
            except TimeoutError:
                continue
    finally:
        stop_listening()


async def purge_everything(store: Store, rows: int = PURGE_ROWS) -> None:
    """Purge about `rows` at a time. Each step is followed by a pause as long as it took: others write meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        if not await store.commit(store.upkeep.purge_some(rows)):
            return
        await asyncio.sleep(max(_SHORTEST_PAUSE_SECONDS, loop.time() - began))
