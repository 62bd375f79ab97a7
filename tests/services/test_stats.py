"""Figures about the installation, from a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from mailquay.model.account import AccountId, AccountProfile, ImapSettings
from mailquay.runtime.metrics import Metrics
from mailquay.services.settings import SettingsService
from mailquay.services.stats import STATS_KEPT_SECONDS, StatsService
from mailquay.storage.store import Store, open_store


class Clock:
    """A clock that tests set."""

    ms = 1_795_219_200_000

    def now_ms(self) -> int:
        """The time that was set."""
        return self.ms


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "key")
    yield opened
    await opened.close()


def _become(profile: AccountProfile, _old: AccountProfile) -> AccountProfile:
    return profile


async def test_accounts_and_queues(store: Store) -> None:
    clock, settings = Clock(), SettingsService(store)
    stats = StatsService(store, settings, clock)
    for n, imap in enumerate((ImapSettings(host="h", port=1), ImapSettings(disabled=True), None)):
        profile = AccountProfile(imap=imap)
        await store.commit(store.accounts.upsert(AccountId(f"a{n}"), partial(_become, profile), clock.ms))
    await settings.pause("notify", True)
    shown = await stats.stats(3600)
    assert (shown["accounts"], shown["connections"]["init"], shown["connections"]["unset"]) == (3, 1, 2)
    assert (shown["queues"]["notify"]["waiting"], shown["queues"]["notify"]["isPaused"]) == (3, True)
    assert shown["queues"]["submit"]["total"] == shown["queues"]["documents"]["total"] == 0
    assert (await stats.queue("notify"))["jobs"] == {"active": 0, "delayed": 0, "waiting": 3, "paused": 0}


async def test_counters_add_up_over_nodes_and_minutes_and_end(store: Store) -> None:
    clock, settings = Clock(), SettingsService(store)
    stats = StatsService(store, settings, clock)
    nodes = [Metrics(store, stats, clock), Metrics(store, stats, clock)]
    for node in nodes:
        node.count("webhooks:success")
        node.count("submit:fail", 2)
        node.request("GET", "/v1/accounts", 204)
        node.request("GET", "/health", 200)
        await node.flush()
    expected = {"webhooks:success": 2, "submit:fail": 4, "apiCall:success": 2}
    assert (await stats.stats(60))["counters"] == expected
    clock.ms += 3600 * 1000
    nodes[0].count("webhooks:success")
    await nodes[0].flush()
    assert (await stats.stats(60))["counters"] == {"webhooks:success": 1}
    assert (await stats.stats(3660))["counters"] == {**expected, "webhooks:success": 3}
    clock.ms += STATS_KEPT_SECONDS * 1000 + 60_000
    nodes[0].count("x")
    await nodes[0].flush()
    assert await store.settings.stats_since(0) == {"x": 1}


async def test_the_event_metric_only_grows(store: Store) -> None:
    """Also over days, while the minutes that it is made of expire one after the other."""
    clock = Clock()
    metrics = Metrics(store, StatsService(store, SettingsService(store), clock), clock)
    seen = []
    for n in range(12):
        await store.commit(store.accounts.upsert(AccountId(f"a{n}"), partial(_become, AccountProfile()), clock.ms))
        [line] = [one for one in (await metrics.render()).decode().splitlines() if one.startswith("events{")]
        seen.append(line)
        clock.ms += 86_400_000
        metrics.count("x")
        await metrics.flush()
    assert seen == [f'events{{event="accountAdded"}} {n + 1}' for n in range(12)]


async def test_closing_writes_what_is_left(store: Store) -> None:
    clock = Clock()
    metrics = Metrics(store, StatsService(store, SettingsService(store), clock), clock)
    metrics.start()
    metrics.count("x", 5)
    await metrics.close()
    assert await store.settings.stats_since(0) == {"x": 5}
