"""What is kept only for a time: settled events and submissions, idempotency keys, exports, expired tokens, traces."""

from __future__ import annotations

import structlog

from mailquay.config import Config
from mailquay.services.moves import MOVE_WINDOW_MS
from mailquay.services.periodic import do_every
from mailquay.services.ports import Clock
from mailquay.services.settings import SettingsService
from mailquay.storage.repositories.upkeep import FIRST_PLACE, KnownPlace
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_STEP = 1000
_DAY_MS = 24 * 3600 * 1000
_KNOWN_MS = 730 * _DAY_MS
"""How long a message is recognised when it turns up in another mailbox (`seemsLikeNew`)."""
_KNOWN_STEP = 20_000
_RETIRED_MS = 30 * _DAY_MS
_DEAD_NODE_MS = 30 * _DAY_MS


async def keep_tidy(store: Store, settings: SettingsService, config: Config, clock: Clock) -> None:
    """Drop what is over, at intervals, until cancelled. Several nodes may do it at once."""
    place = FIRST_PLACE

    async def tidy() -> None:
        nonlocal place
        await _tidy(store, settings, config, clock.now_ms())
        place = await forget_traces(store, clock.now_ms(), place)

    await do_every(config.retention_interval_seconds, "retention", tidy)


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
    while await store.commit(store.moves.expire(now_ms - MOVE_WINDOW_MS, _STEP)) == _STEP:
        continue
    while await store.commit(store.exports.expire(now_ms, _STEP)) == _STEP:
        continue
    await store.commit(store.tokens.delete_expired(now_ms))
    if dropped:
        _log.info("outbox_tidied", dropped=dropped)


async def forget_traces(store: Store, now_ms: int, place: KnownPlace) -> KnownPlace:
    """Forget removed mailboxes, dead nodes, audit logs of tokens that are gone, and some of the known messages.

    The known messages are walked through from `place`, a part at each call; returns where to go on.
    """
    upkeep = store.upkeep
    await store.commit(upkeep.forget_retired(now_ms - _RETIRED_MS))
    await store.commit(upkeep.forget_nodes(_DEAD_NODE_MS))
    while token_ids := await upkeep.orphaned_token_logs():
        for token_id in token_ids:
            while await store.commit(upkeep.purge_token_log(token_id)):
                continue
    forgotten, following = await upkeep.forget_known(place, now_ms - _KNOWN_MS, _KNOWN_STEP)
    if forgotten:
        _log.info("known_messages_forgotten", count=forgotten)
    return following
