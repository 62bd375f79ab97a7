"""What every store promises about the index of a mailbox."""

from __future__ import annotations

from mailquay.model.mailbox import ListedMailbox, MailboxCursor
from mailquay.model.message import Address, Envelope, IndexEntry, MessageMarks, Uid
from mailquay.storage.interface import append_events
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store
from tests.contract.records import NOW, new_event, own, register


async def test_index_and_cursor_and_events_are_one_transaction(store: Store) -> None:
    account = await register(store)
    fence = await own(store, account)
    listing = ListedMailbox("INBOX", "/", frozenset({"\\hasnochildren"}), special_use="\\Inbox")
    number = await store.commit(store.mailboxes.add(account.number, listing, NOW, fence.epoch))
    envelope = Envelope(subject="Grüße", from_=(Address("Ann", "ann@example.test"),), message_id="<1@x>")
    entries = [IndexEntry(Uid(uid), ("\\Seen",), 5, NOW, 100, envelope if uid == 3 else None) for uid in range(1, 6)]
    cursor = MailboxCursor(7, 6, 5, 5, 1, NOW)
    unit = fenced(
        fence,
        store.messages.put(number, entries),
        store.mailboxes.update_cursor(number, cursor, fence.epoch),
        append_events([new_event(account)]),
    )
    await store.commit(unit)
    mailbox = await store.mailboxes.by_path(account.number, "INBOX")
    assert mailbox is not None
    assert (mailbox.number, mailbox.cursor, mailbox.current, mailbox.listing) == (number, cursor, True, listing)
    page = await store.messages.page(number, limit=2, offset=1)
    assert [entry.uid for entry in page] == [4, 3]
    assert page[1].envelope == envelope
    assert [one.uid for one in await store.messages.without_envelope(number, limit=3)] == [5, 4, 2]
    assert await store.messages.unseen(number) == 0
    await store.commit(store.messages.update_flags(number, [(3, ["\\Flagged"], 6, None)]))
    changed = await store.messages.get(number, 3)
    assert changed is not None
    assert (changed.flags, changed.modseq, changed.envelope) == (("\\Flagged",), 6, envelope)
    assert await store.messages.unseen(number) == 1


async def test_a_mailbox_that_returns_keeps_its_number_and_a_removed_one_never_comes_back(store: Store) -> None:
    account = await register(store)
    listing = ListedMailbox("Work", "/", frozenset())
    first = await store.commit(store.mailboxes.add(account.number, listing, NOW, 1))
    await store.commit(store.mailboxes.mark_missing(first, NOW))
    assert await store.commit(store.mailboxes.add(account.number, listing, NOW, 1)) == first
    await store.commit(store.mailboxes.remove(first, NOW))
    assert await store.commit(store.mailboxes.add(account.number, listing, NOW, 1)) > first


async def test_flags_of_messages_far_apart_are_compared_without_what_lies_between(store: Store) -> None:
    account = await register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    uids = [1, 2, 50, 5000, 4_000_000_000]
    await store.commit(store.messages.put(number, [IndexEntry(Uid(uid)) for uid in uids]))
    changes = [(uid, ("\\Seen",), None, None) for uid in (4_000_000_000, 1, 50, 60, 7000)]
    changed = await store.commit(store.messages.update_flags(number, changes))
    assert sorted(changed) == [1, 50, 4_000_000_000]
    assert await store.commit(store.messages.update_flags(number, changes)) == {}
    assert await store.commit(store.messages.update_flags(number, [])) == {}


async def test_labels_are_compared_like_flags_once_they_are_known(store: Store) -> None:
    account = await register(store)
    number = await store.commit(store.mailboxes.add(account.number, ListedMailbox("INBOX", "/", frozenset()), NOW, 1))
    await store.commit(store.messages.put(number, [IndexEntry(Uid(1), ("\\Seen",))]))

    async def update(labels: tuple[str, ...] | None) -> dict[int, MessageMarks]:
        return await store.commit(store.messages.update_flags(number, [(1, ("\\Seen",), None, labels)]))

    assert await update(None) == {}
    assert await update(("b", "a")) == {1: MessageMarks(("\\Seen",))}
    assert await update(("a", "b")) == {}
    assert await update(None) == {}
    assert await update(("a",)) == {1: MessageMarks(("\\Seen",), ("a", "b"))}
    entry = await store.messages.get(number, 1)
    assert entry is not None and entry.labels == ("a",)


async def test_message_digests_are_new_once(store: Store) -> None:
    account = await register(store)
    assert await store.commit(store.messages.recognise(account.number, [1, -2, 1], NOW)) == [True, True, False]
    await store.commit(store.messages.remember(account.number, [-2, 3], NOW))
    assert await store.messages.is_known(account.number, 3)
