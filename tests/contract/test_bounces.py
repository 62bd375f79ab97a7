"""Bounces that are kept: by account and original, a limited number each, gone with what an account knows."""

from __future__ import annotations

import dataclasses

from mailquay.model.mailbox import MailboxNumber
from mailquay.storage.repositories.bounces import MAX_EACH, KeptBounce
from mailquay.storage.store import Store
from tests.contract.records import NOW, named, register

ORIGINAL, OTHER, REPORT = -5, 2**62, 7
BOUNCE = KeptBounce(MailboxNumber(3), 9, "you@receiver.example", "failed", "550 5.1.1 no", "5.1.1", NOW)


async def test_bounces_are_told_by_account_and_original(store: Store) -> None:
    ann, bob = await register(store), await register(store, "bob")
    later = dataclasses.replace(BOUNCE, uid=8, message=None, status=None, date_ms=NOW + 1)
    await store.commit(store.bounces.put(ann.number, ORIGINAL, 2, later))
    await store.commit(store.bounces.put(ann.number, ORIGINAL, 1, BOUNCE))
    await store.commit(store.bounces.put(bob.number, ORIGINAL, 1, dataclasses.replace(BOUNCE, recipient="x@y.example")))
    found = await store.bounces.of([(ann.number, ORIGINAL), (ann.number, OTHER)])
    assert found == {(ann.number, ORIGINAL): [BOUNCE, later]}
    assert len(await store.bounces.of([(ann.number, ORIGINAL), (bob.number, ORIGINAL)])) == 2
    assert await store.bounces.of([]) == {}


async def test_many_originals_are_asked_for_at_once(store: Store) -> None:
    ann = await register(store)
    await store.commit(store.bounces.put(ann.number, OTHER, REPORT, BOUNCE))
    found = await store.bounces.of([(ann.number, OTHER - n) for n in range(1000)])
    assert found == {(ann.number, OTHER): [BOUNCE]}


async def test_the_same_report_gets_its_new_place(store: Store) -> None:
    ann = await register(store)
    await store.commit(store.bounces.put(ann.number, ORIGINAL, REPORT, BOUNCE))
    moved = dataclasses.replace(BOUNCE, mailbox=MailboxNumber(4), uid=1)
    await store.commit(store.bounces.put(ann.number, ORIGINAL, REPORT, moved))
    assert await store.bounces.of([(ann.number, ORIGINAL)]) == {(ann.number, ORIGINAL): [moved]}


async def test_no_more_than_the_limit_is_kept_and_no_nul(store: Store) -> None:
    ann = await register(store)
    hostile = dataclasses.replace(BOUNCE, recipient="a\0b@c.example", action="x" * 1000, message="\0" * 5000)
    for report in range(MAX_EACH + 5):
        await store.commit(store.bounces.put(ann.number, ORIGINAL, report, hostile))
    [kept] = (await store.bounces.of([(ann.number, ORIGINAL)])).values()
    assert len(kept) == MAX_EACH
    assert (kept[0].recipient, len(kept[0].action), len(kept[0].message or "")) == ("a\ufffdb@c.example", 40, 1000)


async def test_a_flush_and_a_removal_take_them_along(store: Store) -> None:
    ann = await register(store)
    await store.commit(store.bounces.put(ann.number, ORIGINAL, REPORT, BOUNCE))
    await store.commit(store.accounts.forget_index(ann.number, ann.id, named))
    assert await store.bounces.of([(ann.number, ORIGINAL)]) == {}
    await store.commit(store.bounces.put(ann.number, ORIGINAL, REPORT, BOUNCE))
    await store.commit(store.accounts.delete(ann.id, NOW))
    assert await store.bounces.of([(ann.number, ORIGINAL)]) == {}
