"""Figures about the whole installation: accounts by state, queues, counters of the last hours."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from mailquay.model.account import AccountState
from mailquay.services.ports import Clock
from mailquay.services.settings import QUEUES, SettingsService
from mailquay.storage.store import Store
from mailquay.version import __version__

STATS_KEPT_SECONDS = 7 * 86400
_NO_JOBS = {"active": 0, "delayed": 0, "waiting": 0}


class StatsService:
    """Reads what others count."""

    def __init__(self, store: Store, settings: SettingsService, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def stats(self, seconds: int) -> dict[str, Any]:
        """Everything, with the counters of the last `seconds`."""
        states = await self._store.accounts.count_by_state()
        since_minute = (self._clock.now_ms() // 1000 - seconds) // 60
        return {
            "version": __version__,
            "license": "MIT",
            "accounts": sum(states.values()),
            "node": platform.python_version(),
            "arch": platform.machine(),
            "connections": self.connections(states),
            "queues": {queue: await self._shown_queue(queue) for queue in QUEUES},
            "counters": await self._store.settings.stats_since(since_minute),
        }

    @staticmethod
    def connections(states: Mapping[str, int]) -> dict[str, int]:
        """How many accounts are in each state, all states named."""
        return {**{state.value: states.get(state.value, 0) for state in AccountState}, "unassigned": 0}

    async def queue(self, queue: str) -> dict[str, Any]:
        """One queue as the settings show it. While it is paused its jobs wait all the same, so `paused` stays 0."""
        jobs = await self.jobs(queue)
        return {"queue": queue, "jobs": {**jobs, "paused": 0}, "paused": await self._settings.is_paused(queue)}

    async def jobs(self, queue: str) -> dict[str, int]:
        """How many jobs of a queue are active, delayed and waiting."""
        if queue == "submit":
            counts = await self._store.outbox.count_by_state(self._clock.now_ms())
            return {state: counts.get(state, 0) for state in _NO_JOBS}
        if queue == "notify":
            return {**_NO_JOBS, "waiting": sum((await self._store.events.webhook_backlog()).values())}
        return dict(_NO_JOBS)

    async def _shown_queue(self, queue: str) -> dict[str, Any]:
        jobs = await self.jobs(queue)
        paused = await self._settings.is_paused(queue)
        return {**jobs, "paused": 0, "isPaused": paused, "total": sum(jobs.values())}
