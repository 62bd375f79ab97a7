"""Runtime settings (secret ones sealed), paused queues, and minute counters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from mailquay.storage.codec import to_json, to_json_bytes
from mailquay.storage.interface import (
    EVENTS_APPENDED,
    OUTBOX_CHANGED,
    SETTINGS_CHANGED,
    Database,
    Pending,
    Run,
    RunMany,
    Script,
    Unit,
)
from mailquay.storage.secrets import Vault


class SettingRepository:
    """Reads and units of work about settings, queues and counters. Values are what JSON can hold."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def all(self) -> dict[str, Any]:
        """Every stored setting, secret ones opened."""
        values: dict[str, Any] = {}
        for key, value, secret in await self._database.fetch("settings_all"):
            if secret is not None:
                value = self._vault.open(secret, table="settings", column="secret", row=key)
            values[key] = None if value is None else msgspec.json.decode(value)
        return values

    def put(
        self, values: Mapping[str, object], secret_keys: Collection[str], *, keep_existing: bool = False
    ) -> Unit[None]:
        """Store settings; None removes one. With `keep_existing` only those that are not stored yet."""

        def script(pending: Pending) -> Script[None]:
            for key, value in values.items():
                if value is None:
                    if not keep_existing:
                        yield Run("setting_delete", (key,))
                    continue
                plain, sealed = to_json(value), None
                if key in secret_keys:
                    sealed = self._vault.seal(to_json_bytes(value), table="settings", column="secret", row=key)
                name = "setting_put_if_absent" if keep_existing else "setting_put"
                yield Run(name, (key, None if sealed is not None else plain, sealed))
            pending.signal(SETTINGS_CHANGED)

        return script

    async def paused_queues(self) -> set[str]:
        """The names of the queues that are paused."""
        return {queue for queue, paused in await self._database.fetch("queues_all") if paused}

    def pause_queue(self, queue: str, paused: bool) -> Unit[None]:
        """Pause or resume a queue."""

        def script(pending: Pending) -> Script[None]:
            yield Run("queue_pause", (queue, int(paused)))
            pending.signal(SETTINGS_CHANGED)
            pending.signal(OUTBOX_CHANGED)
            pending.signal(EVENTS_APPENDED)

        return script

    def add_stats(self, counts: Mapping[tuple[int, str], int], expire_before_minute: int) -> Unit[None]:
        """Add to counters by (minute since the epoch, key), and drop old minutes."""
        rows = [(minute, key, count) for (minute, key), count in counts.items()]

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("stat_add", rows)
            yield Run("stats_expire", (expire_before_minute,))

        return script

    async def stats_since(self, minute: int) -> dict[str, int]:
        """The sums of the counters since a minute."""
        return {key: int(total) for key, total in await self._database.fetch("stats_since", minute)}
