"""What is kept only for a time: settled events and submissions, idempotency keys, old message ids, expired tokens."""

from __future__ import annotations

import asyncio

import structlog

from mailquay.config import Config
from mailquay.errors import StorageError
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_STEP = 1000


async def keep_tidy(store: Store, settings: SettingsService, config: Config, clock: Clock) -> None:
    """Drop what is over, at intervals, until cancelled. Several nodes may do it at once."""
    while True:
        await asyncio.sleep(config.retention_interval_seconds)
        try:
            await _tidy(store, settings, config, clock.now_ms())
        except StorageError as error:
            _log.error("retention_failed", error=str(error))


async def _tidy(store: Store, settings: SettingsService, config: Config, now_ms: int) -> None:
    keep_sent = int(await settings.get("queueKeep") or 0)
    oldest_ms = now_ms - int(config.queue_keep_failed_age_seconds * 1000)
    dropped = await store.commit(
        store.outbox.expire(oldest_ms, max(config.queue_keep_failed, keep_sent), keep_sent, now_ms)
    )
    before_ms = now_ms - int(config.event_retention_seconds * 1000)
    # In small steps: other writers, and the renewal of leases among them, must not have to wait.
    while await store.commit(store.events.expire(before_ms, now_ms, _STEP)) == _STEP:
        continue
    while await store.commit(store.replacements.expire(now_ms, _STEP)) == _STEP:
        continue
    await store.commit(store.tokens.delete_expired(now_ms))
    if dropped:
        _log.info("outbox_tidied", dropped=dropped)
