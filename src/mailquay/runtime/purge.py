"""Deleting what removed accounts and mailboxes have left behind: in small steps, with pauses, until nothing is left."""

from __future__ import annotations

import asyncio
from functools import partial

from mailquay.runtime.on_signal import do_on_signals
from mailquay.storage.interface import PURGE_DUE
from mailquay.storage.repositories.upkeep import PURGE_ROWS
from mailquay.storage.store import Store

_SHORTEST_PAUSE_SECONDS = 0.001


async def keep_purged(store: Store, *, interval_seconds: float, rows: int = PURGE_ROWS) -> None:
    """Purge now, whenever something was removed, and at intervals (what a node left undone), until cancelled.

    Several nodes may do it at once.
    """
    work = partial(purge_everything, store, rows)
    await do_on_signals(store.database, {PURGE_DUE}, "purge", work, interval_seconds=interval_seconds)


async def purge_everything(store: Store, rows: int = PURGE_ROWS) -> None:
    """Purge about `rows` at a time. Each step is followed by a pause as long as it took: others write meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        if not await store.commit(store.upkeep.purge_some(rows)):
            return
        await asyncio.sleep(max(_SHORTEST_PAUSE_SECONDS, loop.time() - began))
