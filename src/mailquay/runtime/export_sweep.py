"""Removing the files of exports that nobody can download any more: at the start, when one ends, and at intervals."""

from __future__ import annotations

import asyncio

import structlog

from mailquay.errors import StorageError
from mailquay.storage.export_files import ExportFiles
from mailquay.storage.interface import ANYTHING_CHANGED, EXPORT_FILES_DUE, Signal
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_SHORTEST_PAUSE_SECONDS = 1.0
"""Another process may commit many times a second."""


async def keep_swept(store: Store, files: ExportFiles, *, interval_seconds: float) -> None:
    """Sweep now, when files of an export may have become useless, and at intervals, until cancelled."""
    due = asyncio.Event()

    def on_signals(signals: frozenset[Signal]) -> None:
        if any(signal.kind in (EXPORT_FILES_DUE, ANYTHING_CHANGED) for signal in signals):
            due.set()

    stop_listening = store.database.subscribe(on_signals)
    try:
        while True:
            due.clear()
            try:
                await sweep(store, files)
            except (StorageError, OSError) as error:
                _log.error("export_sweep_failed", error=str(error))
            except Exception as error:
                # Whatever it was, it must not end the sweeping for as long as the node runs.
                _log.error("export_sweep_failed", exc_info=error)
            await asyncio.sleep(_SHORTEST_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(interval_seconds):
                    await due.wait()
            except TimeoutError:
                continue
    finally:
        stop_listening()


async def sweep(store: Store, files: ExportFiles) -> None:
    """Remove what is of no use now."""
    # In this order: a folder is made after its export is stored.
    listed = await asyncio.to_thread(files.listed)
    if listed:
        removed = await asyncio.to_thread(files.sweep, listed, await store.exports.places())
        if removed:
            _log.info("export_files_removed", exports=removed)
