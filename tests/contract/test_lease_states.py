"""An account whose lease changes hands has no connection: its state says so from that moment on."""

from __future__ import annotations

import dataclasses

import pytest

from mailquay.model.account import Account, AccountId, AccountProfile, AccountState, AccountStatus, ImapSettings
from mailquay.model.node import Fence, Lease
from mailquay.storage.store import Store

_NOW = 1_800_000_000_000


def _with_imap(profile: AccountProfile) -> AccountProfile:
    return dataclasses.replace(profile, imap=ImapSettings(host="h", password="secret"))


async def _owned(store: Store, account_id: str, state: AccountState) -> tuple[Account, Lease]:
    account = (await store.commit(store.accounts.upsert(AccountId(account_id), _with_imap, _NOW))).account
    free = [lease for lease in await store.nodes.free() if lease.account == account.number]
    [lease] = await store.commit(store.nodes.take("n1", free))
    fence = Fence(lease.account, lease.epoch)
    await store.commit(store.accounts.update_status(account.number, AccountStatus(state), fence))
    return account, lease


async def _state(store: Store, account: Account) -> AccountState:
    found = await store.accounts.by_number(account.number)
    assert found is not None
    return found.status.state


async def test_after_a_restart_of_its_node_an_account_is_not_connected_before_it_is(store: Store) -> None:
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    connected, _ = await _owned(store, "a", AccountState.CONNECTED)
    refused, _ = await _owned(store, "b", AccountState.AUTHENTICATION_ERROR)
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    assert await _state(store, connected) is AccountState.CONNECTING
    assert await _state(store, refused) is AccountState.AUTHENTICATION_ERROR
    assert await store.accounts.count_by_state() == {"authenticationError": 1, "connecting": 1}


@pytest.mark.parametrize("state", [AccountState.CONNECTED, AccountState.SYNCING])
async def test_an_account_that_is_given_back_is_disconnected_until_it_is_taken(
    store: Store, state: AccountState
) -> None:
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    account, lease = await _owned(store, "a", state)
    await store.commit(store.nodes.release(dataclasses.replace(lease, epoch=lease.epoch - 1)))
    assert await _state(store, account) is state, "a former owner has nothing to give back"
    await store.commit(store.nodes.release(lease))
    assert await _state(store, account) is AccountState.DISCONNECTED


async def test_a_node_that_ends_leaves_nothing_connected(store: Store) -> None:
    started_ms, _ = await store.commit(store.nodes.register("n1", "unix:x", ["sync"], 9000))
    account, _ = await _owned(store, "a", AccountState.CONNECTED)
    other = (await store.commit(store.accounts.upsert(AccountId("none"), lambda p: p, _NOW))).account
    await store.commit(store.nodes.unregister("n1", started_ms))
    assert await _state(store, account) is AccountState.DISCONNECTED
    assert await _state(store, other) is AccountState.UNSET


async def test_what_is_taken_from_a_dead_node_is_being_connected(store: Store) -> None:
    await store.commit(store.nodes.register("n1", "unix:x", ["sync"], -1))
    account, lease = await _owned(store, "a", AccountState.CONNECTED)
    await store.commit(store.nodes.register("n2", "unix:y", ["sync"], 9000))
    assert len(await store.commit(store.nodes.take("n2", [lease]))) == 1
    assert await _state(store, account) is AccountState.CONNECTING
