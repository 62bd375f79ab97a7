"""Envelopes that come late complete what is in the index, and change nothing else: over both databases."""

from __future__ import annotations

from mailquay.model.account import AccountId, AccountProfile
from mailquay.model.mailbox import ListedMailbox
from mailquay.model.message import Envelope, IndexEntry, Structure, Uid
from mailquay.storage.store import Store


async def test_a_late_envelope_brings_back_no_message_and_no_old_flags(store: Store) -> None:
    account = (await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile(), 0))).account
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("Work", "/", frozenset()), 0, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1), ("\\Seen",), 5), IndexEntry(Uid(2))]))
    late = [
        IndexEntry(Uid(uid), (), 9, 1000, 10, Envelope(subject="x"), Structure(), "e", "t", (), None) for uid in (1, 2)
    ]
    await store.commit(store.messages.delete(number, [2]))
    await store.commit(store.messages.fill(number, late, [7, 8]))
    assert await store.messages.uids(number) == [1]
    entry = await store.messages.get(number, 1)
    assert entry is not None
    assert (entry.flags, entry.modseq, entry.size_bytes, entry.email_id, entry.thread) == (("\\Seen",), 5, 10, "e", 7)
    assert entry.envelope is not None and entry.envelope.subject == "x"
