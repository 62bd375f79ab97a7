"""What every store promises about submissions."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from mailquay.errors import NotFound
from mailquay.model.submission import Phase
from mailquay.storage.repositories.outbox import CHUNK_BYTES
from mailquay.storage.store import Store
from tests.contract.records import NOW, new_event, own, queued, register


async def test_an_idempotency_key_gives_the_first_response_again(store: Store) -> None:
    account = await register(store)
    submits = [
        store.commit(store.outbox.enqueue(queued(account, f"q{n}"), b"body", {"queueId": f"q{n}"}, "key"))
        for n in range(8)
    ]
    results = await asyncio.gather(*submits)
    assert sorted(result.repeated for result in results) == [False] + [True] * 7
    assert len({result.response["queueId"] for result in results}) == 1
    assert (await store.outbox.page(NOW, limit=10, offset=0))[0] == 1
    stored = await store.outbox.idempotent_response(account.number, "key", NOW)
    assert stored == results[0].response
    assert await store.outbox.idempotent_response(account.number, "key", NOW + 25 * 3600 * 1000) is None


async def test_a_large_body_is_kept_in_sealed_chunks_and_dropped_with_its_submission(store: Store) -> None:
    account = await register(store)
    body = bytes(range(256)) * (CHUNK_BYTES // 100)
    await store.commit(store.outbox.enqueue(queued(account), body, {}, None))
    chunks = [chunk async for chunk in store.outbox.body("q1")]
    assert b"".join(chunks) == body
    assert max(len(chunk) for chunk in chunks) <= CHUNK_BYTES
    assert await store.commit(store.outbox.delete("q1"))
    assert [chunk async for chunk in store.outbox.body("q1")] == []
    assert await store.database.fetch("blob_chunk", 1, 0) == []


async def test_phases_of_a_delivery(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    await store.commit(store.outbox.enqueue(queued(account), b"body", {}, None))
    [due] = await store.outbox.due(account.number, NOW, 10)
    assert due == dataclasses.replace(queued(account), size_bytes=4)
    assert await store.commit(store.outbox.begin_data(due, fence, {"status": "smtp-starting"}))
    assert not await store.commit(store.outbox.begin_data(due, fence, {}))
    assert await store.outbox.due(account.number, NOW + 1, 10) == []
    assert not await store.commit(store.outbox.delete("q1"))
    assert await store.commit(store.outbox.mark_uncertain(account.number, fence, NOW)) == ["q1"]
    found = await store.outbox.get("q1")
    assert found is not None
    assert found.phase is Phase.UNCERTAIN
    await store.commit(store.outbox.settle_and_remove(due, fence, [new_event(account, 9)]))
    assert await store.outbox.get("q1") is None


async def test_recent_submissions_of_an_account(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    for queue_id, account, at_ms in (("q1", ann, NOW - 10), ("q2", ann, NOW), ("q3", ann, NOW + 10), ("q4", bob, NOW)):
        one = dataclasses.replace(queued(account, queue_id), created_ms=at_ms)
        await store.commit(store.outbox.enqueue(one, b"x", {}, None))
    found = await store.outbox.recent(ann.number, NOW - 5, NOW + 10, 10)
    assert sorted(one.queue_id for one in found) == ["q2", "q3"]
    assert found[0].envelope.recipients == ("bob@example.test",)
    assert len(await store.outbox.recent(ann.number, 0, 2 * NOW, 2)) == 2


async def test_the_response_to_many_submissions_is_kept_once(store: Store) -> None:
    account = await register(store)
    for n in range(3):
        await store.commit(store.outbox.enqueue(queued(account, f"q{n}"), b"body", {"n": n}, f"key\n{n}"))
    keeps = [store.commit(store.outbox.keep_response(account.number, "key", {"first": n}, NOW)) for n in range(4)]
    results = await asyncio.gather(*keeps)
    assert sorted(result.repeated for result in results) == [False] + [True] * 3
    assert len({result.response["first"] for result in results}) == 1
    assert await store.outbox.idempotent_response(account.number, "key", NOW) == results[0].response
    repeated = await store.commit(store.outbox.enqueue(queued(account, "q9"), b"body", {"n": 9}, "key\n1"))
    assert repeated.repeated and repeated.response == {"n": 1}
    day_later = NOW + 25 * 3600 * 1000
    fresh = await store.commit(store.outbox.keep_response(account.number, "key", {"first": 9}, day_later))
    assert not fresh.repeated
    await store.commit(store.accounts.delete(account.id, NOW))
    with pytest.raises(NotFound):
        await store.commit(store.outbox.keep_response(account.number, "key", {}, NOW))
