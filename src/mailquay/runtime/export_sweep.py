"""Removing the files of exports that nobody can download any more: at the start, when one ends, and at intervals."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from mailquay.runtime.on_signal import do_on_signals
from mailquay.storage.export_files import ExportFiles
from mailquay.storage.interface import ANYTHING_CHANGED, EXPORT_FILES_DUE
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_SHORTEST_PAUSE_SECONDS = 1.0
"""Another process may commit many times a second."""


async def keep_swept(store: Store, files: ExportFiles, *, interval_seconds: float) -> None:
    """Sweep now, when files of an export may have become useless, and at intervals, until cancelled."""
    await do_on_signals(
        store.database,
        {EXPORT_FILES_DUE, ANYTHING_CHANGED},
        "export files",
        partial(sweep, store, files),
        interval_seconds=interval_seconds,
        pause_seconds=_SHORTEST_PAUSE_SECONDS,
    )


async def sweep(store: Store, files: ExportFiles) -> None:
    """Remove what is of no use now."""
    # In this order: a folder is made after its export is stored.
    listed = await asyncio.to_thread(files.listed)
    if listed:
        removed = await asyncio.to_thread(files.sweep, listed, await store.exports.places())
        if removed:
            _log.info("export_files_removed", exports=removed)
