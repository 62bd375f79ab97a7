"""Nodes that share accounts: even shares, hand-over, take-over, fencing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from mailquay.config import Config
from mailquay.errors import Fenced, NotOperational, StorageError
from mailquay.model.account import Account, AccountNumber, AccountProfile
from mailquay.runtime.node import Membership, NodeIdentity
from mailquay.runtime.owners import LeaseDirectory
from mailquay.runtime.supervisor import preferred_node
from mailquay.storage.interface import append_events
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import open_store
from tests.runtime.harness import TestNode, running_node

_QUICK = Config(lease_ttl_seconds=1.0, lease_renew_seconds=0.2)


async def _until(condition: Callable[[], bool], nodes: list[TestNode], seconds: float = 10) -> None:
    """Wait for a condition that changes with the leases."""
    changed = asyncio.Event()
    stops = [node.store.database.subscribe(lambda _signals: changed.set()) for node in nodes]
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                changed.clear()
                try:
                    async with asyncio.timeout(0.1):
                        await changed.wait()
                except TimeoutError:
                    continue
    finally:
        for stop in stops:
            stop()


def _owned(*nodes: TestNode) -> list[int]:
    return sorted(number for node in nodes for number in node.supervisor.owned_accounts())


async def _accounts(node: TestNode, count: int) -> list[Account]:
    return [await node.register(f"a{n}", AccountProfile(name=f"a{n}")) for n in range(count)]


@pytest.mark.server
async def test_a_second_node_gets_its_share_and_gives_it_back(postgres_dsn: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_node(postgres_dsn, tmp_path, config=_QUICK))
        accounts = await _accounts(first, 20)
        numbers = sorted(account.number for account in accounts)
        await _until(lambda: _owned(first) == numbers, [first])
        async with running_node(postgres_dsn, tmp_path, config=_QUICK) as second:
            await _until(lambda: _owned(first, second) == numbers and bool(_owned(second)), [first, second])
            assert 0 < len(_owned(second)) < 20
            directory = LeaseDirectory(second.store, second.supervisor)
            theirs = first.supervisor.owned_accounts()[0]
            ours = second.supervisor.owned_accounts()[0]
            assert await directory.owner(AccountNumber(theirs)) == "unix:none"
            assert await directory.owner(AccountNumber(ours)) is None
        await _until(lambda: _owned(first) == numbers, [first])


@pytest.mark.server
async def test_a_node_that_stops_renewing_loses_its_accounts_and_cannot_write(
    postgres_dsn: str, tmp_path: Path
) -> None:
    async with (
        running_node(postgres_dsn, tmp_path, config=_QUICK) as first,
        running_node(postgres_dsn, tmp_path, config=_QUICK) as second,
    ):
        accounts = await _accounts(first, 12)
        numbers = sorted(account.number for account in accounts)
        await _until(lambda: _owned(first, second) == numbers and bool(_owned(first)), [first, second])
        victim = first.supervisor.owned_accounts()[0]
        fence = first.supervisor.fence(victim)
        task = first.membership._task
        assert task is not None
        task.cancel()  # as a loop that hangs: no renewal, and nobody tells
        await _until(lambda: victim in second.supervisor.owned_accounts(), [second])
        with pytest.raises(Fenced):
            await first.store.commit(fenced(fence, append_events([])))
        with pytest.raises(NotOperational):
            first.supervisor.fence(victim)


async def test_a_restarted_node_has_its_accounts_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    async with running_node(url, tmp_path) as node:
        accounts = await _accounts(node, 5)
        numbers = [account.number for account in accounts]
        await _until(lambda: _owned(node) == numbers, [node])
        epochs = {number: node.supervisor.fence(number).epoch for number in numbers}
    async with running_node(url, tmp_path) as node:
        await _until(lambda: _owned(node) == numbers, [node])
        assert all(node.supervisor.fence(number).epoch > epochs[number] for number in numbers)


async def test_a_deleted_account_is_let_go(tmp_path: Path) -> None:
    async with running_node(f"sqlite:///{tmp_path}/m.db", tmp_path) as node:
        [account] = await _accounts(node, 1)
        await _until(lambda: _owned(node) == [account.number], [node])
        await node.store.commit(node.store.accounts.delete(account.id, 0))
        await _until(lambda: _owned(node) == [], [node])


async def test_a_copied_data_directory_does_not_make_two_nodes_fight(tmp_path: Path) -> None:
    """The one whose id is taken goes on under a new one, and keeps that: both serve their share."""
    url, folder, copy = f"sqlite:///{tmp_path}/m.db", tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    async with running_node(url, folder, config=_QUICK) as first:
        numbers = sorted(account.number for account in await _accounts(first, 12))
        await _until(lambda: _owned(first) == numbers, [first])
        shared = first.membership.id
        shutil.copytree(folder, copy)
        with capture_logs() as lines:
            async with running_node(url, copy, config=_QUICK) as second:
                both = [first, second]
                await _until(lambda: first.membership.id != shared and first.membership.alive, both)
                await _until(lambda: _owned(*both) == numbers and all(_owned(node) for node in both), both)
                assert second.membership.id == shared and second.membership.alive
        [taken] = [line for line in lines if line["event"] == "node_id_taken"]
        assert (taken["node"], taken["drawn"]) == (shared, first.membership.id)
        drawn = first.membership.id
        await _until(lambda: _owned(first) == numbers, [first])
    identity = NodeIdentity.claim(folder)
    assert identity.id == drawn
    identity.release()


async def test_a_node_without_accounts_makes_way_as_well(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    identities = [NodeIdentity.claim(tmp_path / "a")]
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    identities.append(NodeIdentity.claim(tmp_path / "b"))
    options: dict[str, Any] = {"roles": ("api",), "ttl_seconds": 1.0, "renew_seconds": 0.01}
    first, second = (Membership(store, identity, address="unix:x", **options) for identity in identities)
    assert first.id == second.id
    registered = asyncio.Event()
    stop = store.database.subscribe(lambda _signals: registered.set())
    await first.join()
    await second.join()
    async with asyncio.timeout(10):
        while first.id == second.id or not first.alive:
            registered.clear()
            await registered.wait()
    stop()
    assert second.alive and {node.id for node in await store.nodes.all()} == {first.id, second.id}
    for member, identity in zip((first, second), identities, strict=True):
        await member.leave()
        identity.release()
    assert await store.nodes.all() == []
    await store.close()


def test_two_processes_of_one_folder_are_two_nodes(tmp_path: Path) -> None:
    first = NodeIdentity.claim(tmp_path)
    second = NodeIdentity.claim(tmp_path)
    assert first.id != second.id
    first_id = first.id
    first.release()
    again = NodeIdentity.claim(tmp_path)
    assert again.id == first_id
    again.release()
    second.release()


def test_no_more_processes_than_identities(tmp_path: Path) -> None:
    claimed = [NodeIdentity.claim(tmp_path) for _ in range(64)]
    with pytest.raises(StorageError):
        NodeIdentity.claim(tmp_path)
    for identity in claimed:
        identity.release()


def test_rendezvous_moves_only_what_it_must() -> None:
    before = {account: preferred_node(account, ["a", "b", "c"]) for account in range(300)}
    after = {account: preferred_node(account, ["a", "b"]) for account in range(300)}
    assert all(after[account] == owner for account, owner in before.items() if owner != "c")
    assert 60 < sum(owner == "c" for owner in before.values()) < 140
