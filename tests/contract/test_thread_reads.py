"""Reads of threads, the same from both databases."""

from __future__ import annotations

from mailquay.model.account import AccountId, AccountNumber, AccountProfile
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, Uid
from mailquay.storage.repositories.thread_reads import ThreadSums
from mailquay.storage.store import Store


async def _mailbox(store: Store, account: AccountNumber, path: str) -> MailboxNumber:
    return await store.commit(store.mailboxes.add(account, ListedMailbox(path, "/", frozenset()), 1, 1))


def _entry(uid: int, ms: int, *flags: str, server: str | None = None) -> IndexEntry:
    return IndexEntry(Uid(uid), flags, None, ms, 10, Envelope(subject=f"s{uid}"), thread_id=server)


async def test_threads_of_both_kinds(store: Store) -> None:
    made = await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile("Ann"), 1))
    account = made.account.number
    inbox, sent, gone = [await _mailbox(store, account, path) for path in ("INBOX", "Sent", "Gone")]
    ours = [_entry(1, 10), _entry(2, 30, "\\Seen"), _entry(3, 20), _entry(4, 40)]
    await store.commit(store.messages.put(inbox, ours, [7, 7, 8, None]))
    servers = [_entry(5, 50, server="T1"), _entry(6, 60, "\\SEEN", server="T1"), _entry(9, 70, server="7")]
    await store.commit(store.messages.put(inbox, servers))
    await store.commit(store.messages.put(sent, [_entry(1, 99)], [7]))
    await store.commit(store.messages.put(gone, [_entry(1, 100), _entry(2, 100, server="T1")], [7, None]))
    await store.commit(store.mailboxes.mark_missing(gone, 5))
    reads = store.thread_reads
    assert await reads.heads(inbox, limit=9, offset=0) == [9, 6, 3, 2]
    assert await reads.heads(inbox, limit=2, offset=1) == [6, 3]
    assert await reads.sums(account, [7, "T1", "none", 9]) == {
        7: ThreadSums(3, 2, 10, 99),
        "T1": ThreadSums(2, 1, 50, 60),
    }
    latest = await reads.latest(account, [7, 8, "T1"], 2)
    assert {key: [(one.mailbox, one.entry.uid) for one in latest if one.thread == key] for key in (7, 8, "T1")} == {
        7: [(sent, 1), (inbox, 2)],
        8: [(inbox, 3)],
        "T1": [(inbox, 6), (inbox, 5)],
    }
    members = await reads.members(account, 7, 9)
    assert [(one.mailbox, one.entry.uid, one.entry.internal_date_ms) for one in members] == [
        (inbox, 1, 10),
        (inbox, 2, 30),
        (sent, 1, 99),
    ]
    assert [one.entry.uid for one in await reads.members(account, "T1", 1)] == [5]
    assert await reads.members(account, "8", 9) == []
    assert await reads.members(AccountNumber(account + 1), 7, 9) == []
