"""The task that deletes what was removed: at once, and at the start what an earlier run left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mailquay.model.account import AccountId, AccountProfile
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import IndexEntry, Uid
from mailquay.runtime.purge import keep_purged
from mailquay.storage.store import Store, open_store

_NEVER_SECONDS = 3600.0


@asynccontextmanager
async def _purging(store: Store) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_purged(store, interval_seconds=_NEVER_SECONDS, rows=3))
    yield
    task.cancel()
    await asyncio.wait([task])


async def _fill(store: Store, account_id: str) -> MailboxNumber:
    account = (await store.commit(store.accounts.upsert(AccountId(account_id), lambda _: AccountProfile(), 0))).account
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), 0, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(uid)) for uid in range(1, 21)]))
    return number


async def _until_purged(store: Store, number: MailboxNumber) -> None:
    async with asyncio.timeout(10):
        while await store.messages.count(number):
            await asyncio.sleep(0.005)  # steps of a purge tell nobody


async def test_what_is_removed_is_purged_at_once(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    async with _purging(store):
        for account_id in ("ann", "bob"):
            number = await _fill(store, account_id)
            await store.commit(store.accounts.delete(AccountId(account_id), 0))
            await _until_purged(store, number)
    await store.close()


async def test_what_an_earlier_run_left_behind_is_purged_at_the_start(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    number = await _fill(store, "ann")
    await store.commit(store.accounts.delete(AccountId("ann"), 0))
    while await store.messages.count(number) == 20:
        assert await store.commit(store.upkeep.purge_some(3))
    await store.close()
    again = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    assert await again.messages.count(number) == 17
    async with _purging(again):
        await _until_purged(again, number)
    await again.close()
