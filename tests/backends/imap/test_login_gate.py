"""Who may log in when, at one host and on the whole node."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from mailquay.backends.imap import login_gate
from mailquay.backends.imap.login_gate import LoginGate
from mailquay.errors import RateLimited


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_host_has_a_limit_of_its_own_and_urgent_ones_come_first() -> None:
    gate, entered = LoginGate(per_host=2, at_once=50), []

    async def log_in(name: str, host: str, done: asyncio.Event, *, urgent: bool = False) -> None:
        async with gate.turn(host, urgent=urgent):
            entered.append(name)
            await done.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(log_in("a1", "a.test", first))
        tasks.create_task(log_in("a2", "A.test", rest))
        tasks.create_task(log_in("a3", "a.test", rest))
        cancelled = tasks.create_task(log_in("a4", "a.test", rest, urgent=True))
        tasks.create_task(log_in("a5", "a.test", rest, urgent=True))
        tasks.create_task(log_in("b1", "b.test", rest))
        await _settle()
        assert entered == ["a1", "a2", "b1"]
        cancelled.cancel()
        first.set()
        await _settle()
        assert entered == ["a1", "a2", "b1", "a5"]
        rest.set()
    assert entered == ["a1", "a2", "b1", "a5", "a3"]


async def test_a_host_that_hangs_takes_only_its_share_of_the_node() -> None:
    gate = LoginGate(per_host=1, at_once=2)
    async with AsyncExitStack() as hanging, asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        await hanging.enter_async_context(gate.turn("hangs.test", urgent=False))

        async def wait() -> None:
            async with gate.turn("hangs.test", urgent=False):
                return

        tasks.create_task(wait())
        await _settle()
        async with gate.turn("works.test", urgent=False):
            await hanging.aclose()


async def test_several_hosts_that_hang_do_not_take_all_of_the_node_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_gate, "_BEGINNING_SECONDS", 0.01)
    gate = LoginGate(per_host=2, at_once=4)
    async with AsyncExitStack() as hanging, asyncio.timeout(5):
        for host in ("a.test", "b.test", "a.test", "b.test"):
            await hanging.enter_async_context(gate.turn(host, urgent=False))
        async with gate.turn("works.test", urgent=False):
            assert gate.limit("a.test") == 2
            await hanging.aclose()
    async with AsyncExitStack() as inside:
        for number in range(4):
            await inside.enter_async_context(gate.turn(f"{number}.test", urgent=False))
        assert gate._at_once.locked()


async def test_a_complaint_halves_the_limit_and_success_restores_it() -> None:
    gate = LoginGate(per_host=8)
    for expected in (4, 2, 1, 1):
        with pytest.raises(RateLimited):
            async with gate.turn("a.test", urgent=False):
                raise RateLimited("too many connections", retry_after_seconds=60)
        assert gate.limit("a.test") == expected
    assert gate.limit("b.test") == 8
    for _ in range(40):
        async with gate.turn("a.test", urgent=True):
            pass
    assert gate.limit("a.test") == 8
