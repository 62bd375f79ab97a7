"""Work per account: slow ones do not hold up the others, what is under way may end, failures are tried again."""

from __future__ import annotations

import asyncio

import pytest

from mailquay.runtime import keyed_worker
from mailquay.runtime.keyed_worker import KeyedWorker


async def test_runs_that_wait_for_a_peer_do_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_worker, "_QUICK_SECONDS", 0.01)
    hang, done = asyncio.Event(), asyncio.Event()

    async def handler(key: int) -> float | None:
        if key < 5:
            await hang.wait()
        else:
            done.set()
        return None

    worker = KeyedWorker("test", handler, concurrency=2)
    for key in range(6):
        worker.add(key)
    async with asyncio.timeout(5):
        await done.wait()
    await worker.close()


async def test_at_most_so_many_begin_at_once() -> None:
    running, most = 0, 0
    ended = asyncio.Semaphore(0)

    async def handler(_key: int) -> float | None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        ended.release()
        return None

    worker = KeyedWorker("test", handler, concurrency=3)
    for key in range(20):
        worker.add(key)
    async with asyncio.timeout(5):
        for _ in range(20):
            await ended.acquire()
    assert most == 3
    await worker.close()


async def test_removing_lets_a_run_end_within_its_grace() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(_key: int) -> float | None:
        begun.set()
        await go.wait()
        ended.set()
        return None

    worker = KeyedWorker("test", handler, concurrency=1)
    worker.add(1)
    await begun.wait()
    removing = asyncio.create_task(worker.remove(1, grace_seconds=5))
    await asyncio.sleep(0)
    go.set()
    await removing
    assert ended.is_set()
    worker.add(2)
    begun.clear()
    go.clear()
    ended.clear()
    await begun.wait()
    await worker.remove(2, grace_seconds=0.01)
    assert not ended.is_set()
