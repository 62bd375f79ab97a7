"""A database that fails for a while, or holds one broken row: the node goes on when it works again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from mailquay.config import Config
from mailquay.errors import NotOperational
from mailquay.model.account import AccountProfile
from mailquay.model.node import Fence
from mailquay.storage.interface import ANYTHING_CHANGED, Signal
from tests.runtime.harness import TestNode, running_node

_QUICK = Config(lease_ttl_seconds=0.6, lease_renew_seconds=0.1)


async def _until(node: TestNode, condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition that changes with commits, or with the passing of time."""
    changed = asyncio.Event()
    stop = node.store.database.subscribe(lambda _signals: changed.set())
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await changed.wait()
    finally:
        stop()


def _sql(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "m.db", timeout=10) as connection:
        connection.execute(statement)
    connection.close()


def _serves(node: TestNode, number: int) -> bool:
    try:
        node.supervisor.fence(number)
        return node.supervisor.runner(number) is not None
    except NotOperational:
        return False


async def test_a_node_comes_back_after_the_database_was_away_for_longer_than_its_leases(tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", AccountProfile(name="Ann"))
        await _until(node, lambda: _serves(node, account.number))
        _sql(tmp_path, "ALTER TABLE nodes RENAME TO nodes_away")
        await _until(node, lambda: node.supervisor.owned_accounts() == [])
        with structlog.testing.capture_logs() as logs:
            await _until(node, lambda: any(entry["event"] == "planning_failed" for entry in logs))
        assert not node.membership.alive
        _sql(tmp_path, "ALTER TABLE nodes_away RENAME TO nodes")
        await _until(node, lambda: _serves(node, account.number))


async def test_an_account_that_could_not_be_begun_is_begun_later(tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        _sql(tmp_path, "ALTER TABLE outbox RENAME TO outbox_away")
        account = await node.register("ann", AccountProfile(name="Ann"))

        with structlog.testing.capture_logs() as logs:
            await _until(node, lambda: any(entry["event"] == "account_not_handled" for entry in logs))
        lease = await node.store.nodes.lease(account.number)
        assert lease is not None
        assert lease.node == node.membership.id
        assert not _serves(node, account.number)
        _sql(tmp_path, "ALTER TABLE outbox_away RENAME TO outbox")
        await _until(node, lambda: _serves(node, account.number))


async def test_a_broken_account_does_not_keep_the_others_from_being_served(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    async with running_node(url, tmp_path, config=_QUICK) as node:
        broken = await node.register("broken", AccountProfile(name="x"))
        sound = await node.register("sound", AccountProfile(name="y"))
        await _until(node, lambda: _serves(node, broken.number) and _serves(node, sound.number))
    _sql(tmp_path, "UPDATE accounts SET state = 'nonsense' WHERE id = 'broken'")
    async with running_node(url, tmp_path, config=_QUICK) as node:
        await _until(node, lambda: _serves(node, sound.number))
        assert node.supervisor.owned_accounts() == [sound.number]
        later = await node.register("later", AccountProfile(name="z"))
        await _until(node, lambda: _serves(node, later.number))


async def test_an_account_that_another_node_has_taken_is_let_go_although_nothing_is_written(tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", AccountProfile(name="Ann"))
        await _until(node, lambda: _serves(node, account.number))
        before = node.supervisor.fence(account.number)
        _sql(tmp_path, f"UPDATE leases SET epoch = epoch + 1, node_id = 'gone' WHERE account_number = {account.number}")
        await _until(node, lambda: _serves(node, account.number) and node.supervisor.fence(account.number) != before)
        assert node.supervisor.fence(account.number) == Fence(account.number, before.epoch + 2)


async def test_what_another_process_changes_is_found_without_waking_everybody(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    async with running_node(url, tmp_path, config=_QUICK) as node:
        accounts = [await node.register(f"a{n}", AccountProfile(name="x")) for n in range(3)]
        await _until(node, lambda: all(_serves(node, account.number) for account in accounts))
        runner = node.supervisor.runner(accounts[1].number)
        _sql(tmp_path, "UPDATE accounts SET revision = revision + 1 WHERE id = 'a1'")
        before = node.supervisor.runner(accounts[1].number).account.revision
        node.supervisor._on_signals(frozenset([Signal(ANYTHING_CHANGED)]))
        await _until(node, lambda: runner.account.revision == before + 1)


async def test_a_runner_that_has_ended_for_whatever_reason_is_replaced(tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path, config=_QUICK) as node:
        account = await node.register("ann", AccountProfile(name="Ann"))
        await _until(node, lambda: _serves(node, account.number))
        runner = node.supervisor.runner(account.number)
        await runner.stop()
        await _until(node, lambda: _serves(node, account.number) and not node.supervisor.runner(account.number).ended)
