"""An account that is paused is served by nobody, and a flush forgets nothing that another node serves."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.errors import Fenced, NotOperational
from mailquay.model.account import Account, AccountProfile, ImapSettings
from mailquay.model.event import EventName
from mailquay.runtime.account_runner import AccountRunner
from mailquay.sandbox.world import SandboxWorld
from mailquay.services.accounts import AccountService
from tests.runtime.harness import SystemClock, TestNode, running_node


@contextlib.asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[tuple[TestNode, Account]]:
    world = SandboxWorld(empty=True)
    await world.start()
    at = world.accounts[0]
    imap = ImapSettings(
        host=at.imap_host, port=at.imap_port, user=at.user, password=at.password, tls={"disabled": True}
    )
    profile = AccountProfile(name="Ann", email=at.email, imap=imap, notify_from_ms=SystemClock().now_ms())
    try:
        async with running_node(f"sqlite:///{folder}/m.db", folder) as node:
            account = await node.register("ann", profile)
            await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
            yield node, account
    finally:
        await world.stop()


async def test_a_pause_holds_although_the_account_is_changed_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, stopping = asyncio.Event(), asyncio.Event()
    real = AccountRunner.stop
    runners: list[AccountRunner] = []

    async def slow(self: AccountRunner) -> None:
        stopping.set()
        await gate.wait()
        await real(self)

    real_start = AccountRunner.start

    def noted(self: AccountRunner) -> None:
        runners.append(self)
        real_start(self)

    monkeypatch.setattr(AccountRunner, "start", noted)
    async with _serving(tmp_path) as (node, account):
        monkeypatch.setattr(AccountRunner, "stop", slow)
        fewer = node.store.accounts.update(account.id, lambda profile: dataclasses.replace(profile, path=("INBOX",)))
        await node.store.commit(fewer)
        await stopping.wait()
        pausing = asyncio.create_task(node.supervisor.pause(account.number))
        await asyncio.sleep(0)
        gate.set()
        await pausing
        assert [runner for runner in runners if not runner.ended] == []
        with pytest.raises(NotOperational):
            node.supervisor.runner(account.number)
        node.supervisor.resume(account.number, after_seconds=0)
        await node.wait_for(EventName.ACCOUNT_INITIALIZED, account=account)
        async with asyncio.timeout(5):
            while len(runners) < 2:
                await asyncio.sleep(0.01)  # nothing tells of a runner that begins
        assert runners[-1].account.profile.path == ("INBOX",)


async def test_a_flush_does_nothing_once_another_node_serves_the_account(tmp_path: Path) -> None:
    async with _serving(tmp_path) as (node, account):
        service = AccountService(
            node.store, node.settings, SystemClock(), node.access, node.supervisor, flush_pause_seconds=0
        )
        lease = await node.store.nodes.lease(account.number)
        assert lease is not None
        await node.store.commit(node.store.nodes.take("another", [lease]))
        with pytest.raises(Fenced):
            await service.flush(account, notify_from_ms=None, imap_indexer=None)
        assert await node.store.mailboxes.of_account(account.number) != []
