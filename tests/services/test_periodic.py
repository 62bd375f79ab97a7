"""Background work goes on, whatever becomes of it once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mailquay.config import Config
from mailquay.errors import StorageError
from mailquay.runtime.logs import AccountLogs
from mailquay.runtime.metrics import Metrics
from mailquay.runtime.retention import keep_tidy
from mailquay.services.periodic import do_every
from mailquay.services.settings import SettingsService
from mailquay.services.stats import StatsService
from mailquay.services.tokens import TokenService
from mailquay.storage.store import open_store
from tests.runtime.harness import SystemClock

_LONG_ENOUGH = 10


async def test_an_error_is_told_and_the_work_done_again() -> None:
    again = asyncio.Event()
    failures = [RuntimeError("a defect"), StorageError("away")]

    async def work() -> None:
        if failures:
            raise failures.pop(0)
        again.set()

    with capture_logs() as logs:
        task = asyncio.create_task(do_every(0.001, "a test", work))
        async with asyncio.timeout(_LONG_ENOUGH):
            await again.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [(line["event"], line["what"]) for line in logs] == [("background_work_failed", "a test")] * 2


async def test_no_part_of_a_node_stops_after_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    clock, settings = SystemClock(), SettingsService(store)
    tokens = TokenService(store, clock, log_entries=10, log_age_seconds=10, flush_seconds=0.001)
    logs = AccountLogs(store, settings, clock, flush_seconds=0.001)
    metrics = Metrics(store, StatsService(store, settings, clock), clock, flush_seconds=0.001)
    parts: dict[str, TokenService | AccountLogs | Metrics] = {
        "token use": tokens,
        "account logs": logs,
        "counters": metrics,
    }
    for name, part in parts.items():
        failed, worked = asyncio.Event(), asyncio.Event()

        async def flush(failed: asyncio.Event = failed, worked: asyncio.Event = worked) -> None:
            if failed.is_set():
                worked.set()
                return
            failed.set()
            raise RuntimeError("a defect")

        monkeypatch.setattr(part, "flush", flush)
        with capture_logs() as lines:
            part.start()
            async with asyncio.timeout(_LONG_ENOUGH):
                await worked.wait()
            await part.close()
        assert [line["what"] for line in lines] == [name]
    await store.close()


async def test_retention_goes_on_after_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    calls, twice = [0], asyncio.Event()

    def expire(*_arguments: object) -> None:
        calls[0] += 1
        if calls[0] > 1:
            twice.set()
        raise RuntimeError("a defect")

    monkeypatch.setattr(store.outbox, "expire", expire)
    config = Config(retention_interval_seconds=0.001)
    with capture_logs() as lines:
        task = asyncio.create_task(keep_tidy(store, SettingsService(store), config, SystemClock()))
        async with asyncio.timeout(_LONG_ENOUGH):
            await twice.wait()
        task.cancel()
        await asyncio.wait([task])
    assert {line["what"] for line in lines} == {"retention"}
    await store.close()
