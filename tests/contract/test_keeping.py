"""What an account does not want to be kept is not stored, and taken away in steps: over both databases."""

from __future__ import annotations

import dataclasses
from typing import Any

from mailquay.model.account import KEEPS_ENVELOPES, KEEPS_IDENTIFIERS, AccountId, AccountNumber, AccountProfile
from mailquay.model.digest import message_digest
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, Structure, Uid
from mailquay.storage.repositories.messages import Unread
from mailquay.storage.store import Store

NOW = 1_700_000_000_000
_ANN = AccountId("ann")


def _entry(uid: int, received_ms: int | None = NOW) -> IndexEntry:
    envelope = Envelope(subject="s", message_id=f"<{uid}>")
    return IndexEntry(Uid(uid), ("\\Seen",), 1, received_ms, 10, envelope, Structure(), "e", None, ("l",))


async def _mailbox(store: Store, index: str = KEEPS_ENVELOPES) -> tuple[AccountNumber, MailboxNumber]:
    unit = store.accounts.upsert(_ANN, lambda _: AccountProfile("Ann", index=index), NOW)
    account = (await store.commit(unit)).account.number
    return account, await store.commit(store.mailboxes.add(account, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))


async def _wish(store: Store, index: str) -> None:
    await store.commit(store.accounts.update(_ANN, lambda profile: dataclasses.replace(profile, index=index)))


async def _kept(store: Store, number: MailboxNumber) -> list[int]:
    entries = await store.messages.range(number, 1, 2**32 - 1)
    assert all(entry.digested for entry in entries)
    assert all((entry.envelope is None) is (entry.structure is None) for entry in entries)
    return [entry.uid for entry in entries if entry.envelope is not None]


async def test_identifiers_and_digests_stay_and_the_rest_is_never_stored(store: Store) -> None:
    account, number = await _mailbox(store, KEEPS_IDENTIFIERS)
    await store.commit(store.messages.put(number, [_entry(1), IndexEntry(Uid(2))], [7, None]))
    await store.commit(store.messages.fill(number, [_entry(2)], [8]))
    bare: dict[str, Any] = {"envelope": None, "structure": None, "digested": True}
    assert await store.messages.get(number, 1) == dataclasses.replace(_entry(1), thread=7, **bare)
    second = dataclasses.replace(_entry(2), thread=8, flags=(), modseq=None, labels=None, **bare)
    assert await store.messages.get(number, 2) == second
    gone = await store.commit(store.messages.delete(number, [1, 2]))
    assert [one.digest for one in gone] == [message_digest(account, "<1>"), message_digest(account, "<2>")]
    assert message_digest(account, "<1>") != message_digest(AccountNumber(account + 1), "<1>")


async def test_a_change_of_mind_holds_for_what_is_written_next_and_clears_the_rest_in_steps(store: Store) -> None:
    _, number = await _mailbox(store)
    await store.commit(store.messages.put(number, [_entry(uid) for uid in range(1, 6)]))
    await _wish(store, KEEPS_IDENTIFIERS)
    await store.commit(store.messages.put(number, [_entry(6)]))
    assert await _kept(store, number) == [1, 2, 3, 4, 5]
    for left in ([3, 4, 5], [5], []):
        assert await store.commit(store.upkeep.purge_some(2))
        assert await _kept(store, number) == left
    assert not await store.commit(store.upkeep.purge_some(2))
    await _wish(store, KEEPS_ENVELOPES)
    assert len(await store.messages.without_envelope(number, digested=True, limit=9)) == 6
    assert await store.messages.without_envelope(number, limit=9) == []
    await store.commit(store.messages.fill(number, [_entry(uid) for uid in (1, 2, 6)], [None] * 3))
    await _wish(store, KEEPS_IDENTIFIERS)
    await store.commit(store.upkeep.purge_some(2))
    await _wish(store, KEEPS_ENVELOPES)
    assert not await store.commit(store.upkeep.purge_some(2))
    assert await _kept(store, number) == [6]


async def test_what_a_replaced_mailbox_still_holds_is_cleared_as_well(store: Store) -> None:
    account, number = await _mailbox(store)
    await store.commit(store.messages.put(number, [_entry(1)]))
    listing = ListedMailbox("INBOX", "/", frozenset())
    await store.commit(store.replacements.replace(account, number, listing, 9, NOW, 1))
    await _wish(store, KEEPS_IDENTIFIERS)
    await store.commit(store.upkeep.purge_some())
    assert await _kept(store, number) == []
    [[former]] = [page async for page in store.replacements.formers(number)]
    assert former.digest == message_digest(account, "<1>")


async def test_what_is_still_to_be_read_comes_by_its_received_date(store: Store) -> None:
    _, number = await _mailbox(store)
    dates = {1: 500, 2: None, 3: 300, 4: 500, 5: 100, 6: None}
    await store.commit(
        store.messages.put(number, [IndexEntry(Uid(uid), internal_date_ms=at) for uid, at in dates.items()])
    )
    everything = await store.messages.without_envelope(number, limit=9)
    assert [one.uid for one in everything] == [6, 2, 4, 1, 3, 5]
    assert everything[2] == Unread(500, 4)
    assert [one.uid for one in await store.messages.without_envelope(number, since_ms=300, limit=9)] == [6, 2, 4, 1, 3]
    for position, one in enumerate(everything):
        assert await store.messages.without_envelope(number, after=one, limit=2) == everything[position + 1 :][:2]
