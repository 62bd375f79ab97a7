"""What every store promises about submissions that were sent and are still to be filed."""

from __future__ import annotations

import dataclasses

import pytest

from mailquay.errors import Fenced
from mailquay.model.account import Account
from mailquay.model.event import EventName
from mailquay.model.node import Fence
from mailquay.model.submission import Filing, Phase, Submission
from mailquay.runtime.purge import purge_everything
from mailquay.storage.interface import FILING_DUE, Signal
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.store import Store
from tests.contract.records import NOW, new_event, own, queued, register

_BODY = b"x" * (2 * CHUNK_BYTES)


async def _sent(store: Store, account: Account, fence: Fence, queue_id: str = "q1", *, copy: bool = True) -> Submission:
    """A submission as a delivery leaves it; due for filing at NOW."""
    waiting = queued(account, queue_id)
    await store.commit(store.outbox.enqueue(waiting, _BODY, {}, None))
    sent = dataclasses.replace(
        waiting, phase=Phase.FILING, next_attempt_ms=None, attempts_made=1, size_bytes=len(_BODY)
    )
    unit = store.outbox.record(sent, fence, [new_event(account)], keep_body=copy, settled_ms=None, filing_due_ms=NOW)
    await store.commit(unit)
    return sent


async def test_what_is_to_be_filed_is_no_longer_in_the_outbox_and_stays_until_it_is_filed(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    heard: set[Signal] = set()
    store.database.subscribe(heard.update)
    sent = await _sent(store, account, fence)
    assert Signal(FILING_DUE, account.number) in heard
    assert await store.outbox.page(NOW, limit=10, offset=0) == (0, [])
    assert await store.outbox.waiting_accounts() == []
    assert not await store.commit(store.outbox.delete("q1"))
    assert await store.commit(store.outbox.mark_uncertain(account.number, fence, NOW)) == []
    assert await store.commit(store.outbox.expire(NOW + 10**12, 0, 0, NOW + 10**12)) == 0
    assert await store.outbox.filing_due(account.number, NOW - 1) is None
    assert await store.outbox.next_filing_ms(account.number) == NOW
    assert await store.outbox.filing_due(account.number, NOW) == Filing(sent, 0, copy=True)
    assert b"".join([chunk async for chunk in store.outbox.body("q1")]) == _BODY
    events = await store.events.of_account_after(account.number, 1, 10)
    assert [event.name for event in events] == [EventName.MESSAGE_NEW], "the outcome and its events are one transaction"


async def test_an_outcome_whose_commit_seemed_to_fail_wakes_the_filing_when_it_is_stored_again(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    sent = await _sent(store, account, fence)
    heard: set[Signal] = set()
    store.database.subscribe(heard.update)
    again = store.outbox.record(sent, fence, [new_event(account)], keep_body=True, settled_ms=None, filing_due_ms=NOW)
    await store.commit(again)
    assert heard == {Signal(FILING_DUE, account.number)}
    assert len(await store.events.of_account_after(account.number, 1, 10)) == 1
    assert await store.outbox.filing_accounts() == [account.number]


async def test_an_attempt_is_counted_before_it_begins(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    sent = await _sent(store, account, fence)
    assert await store.commit(store.outbox.begin_filing(sent, fence, NOW + 5))
    assert await store.outbox.filing_due(account.number, NOW + 4) is None
    assert await store.outbox.filing_due(account.number, NOW + 5) == Filing(sent, 1, copy=True)
    await store.commit(store.outbox.end_filing(sent, fence, settled_ms=None))
    assert not await store.commit(store.outbox.begin_filing(sent, fence, NOW + 9))
    assert await store.outbox.next_filing_ms(account.number) is None


@pytest.mark.parametrize("settled_ms", [None, NOW])
async def test_what_is_filed_goes_or_is_kept_as_sent_without_its_body(store: Store, settled_ms: int | None) -> None:
    account = await register(store)
    fence = await own(store, account)
    sent = await _sent(store, account, fence)
    for _ in range(2):
        await store.commit(store.outbox.end_filing(sent, fence, settled_ms=settled_ms))
    kept = None if settled_ms is None else dataclasses.replace(sent, phase=Phase.SENT)
    assert await store.outbox.get("q1") == kept
    assert await store.database.fetch("blob_chunk", 1, 0) == []
    assert await store.outbox.filing_due(account.number, NOW) is None


async def test_flags_alone_need_no_body(store: Store) -> None:
    account = await register(store)
    sent = await _sent(store, account, await own(store, account), copy=False)
    assert await store.outbox.filing_due(account.number, NOW) == Filing(sent, 0, copy=False)
    assert await store.database.fetch("blob_chunk", 1, 0) == []


async def test_a_former_owner_files_nothing(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    sent = await _sent(store, account, fence)
    stale = Fence(account.number, fence.epoch - 1)
    for unit in (store.outbox.begin_filing(sent, stale, NOW), store.outbox.end_filing(sent, stale, settled_ms=None)):
        with pytest.raises(Fenced):
            await store.commit(unit)
    assert await store.outbox.filing_due(account.number, NOW) == Filing(sent, 0, copy=True)


async def test_what_is_to_be_filed_goes_with_its_account(store: Store) -> None:
    account = await register(store)
    await _sent(store, account, await own(store, account))
    await store.commit(store.accounts.delete(account.id, NOW))
    await purge_everything(store)
    assert await store.outbox.next_filing_ms(account.number) is None
    assert await store.database.fetch("blob_chunk", 1, 0) == []
