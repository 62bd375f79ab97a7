"""Mailboxes that replace former ones: over both databases."""

from __future__ import annotations

import pytest

from mailquay.errors import MessageNotFound, Unavailable
from mailquay.model.account import AccountId, AccountNumber, AccountProfile
from mailquay.model.digest import message_digest
from mailquay.model.mailbox import ListedMailbox, MailboxCursor, MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, MessageRef, Uid
from mailquay.runtime.purge import purge_everything
from mailquay.services.places import place_of
from mailquay.storage.repositories.replacements import Former
from mailquay.storage.store import Store

WORK = ListedMailbox("Work", "/", frozenset())


def _entry(uid: int) -> IndexEntry:
    return IndexEntry(Uid(uid), ("\\Seen",), None, 1000 * uid, 10 * uid, Envelope(message_id=f"<{uid}>"))


async def _mailbox(store: Store, *uids: int) -> tuple[AccountNumber, MailboxNumber]:
    account = (await store.commit(store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile(), 0))).account
    number = await store.commit(store.mailboxes.add(account.number, WORK, 0, 1))
    await store.commit(store.mailboxes.begin(number, 5))
    await store.commit(store.messages.put(number, [_entry(uid) for uid in uids]))
    return account.number, number


async def _replace(store: Store, account: AccountNumber, number: MailboxNumber, uidvalidity: int = 0) -> MailboxNumber:
    return await store.commit(store.replacements.replace(account, number, WORK, uidvalidity, 7, 1))


async def _formers(store: Store, number: MailboxNumber) -> list[Former]:
    return [former async for page in store.replacements.formers(number) for former in page]


async def test_a_replaced_mailbox_is_kept_until_it_is_carried_over(store: Store) -> None:
    account, old = await _mailbox(store, 1, 2)
    new = await _replace(store, account, old)
    found = await store.mailboxes.by_path(account, "Work")
    assert found is not None and (found.number, found.uidvalidity, found.cursor) == (new, None, None)
    [before] = await store.replacements.predecessors(new)
    assert (before.number, before.uidvalidity, before.synced_at_ms) == (old, 5, None)
    formers = await _formers(store, old)
    assert [(one.ref, one.flags, one.size_bytes, one.digest) for one in formers] == [
        (MessageRef(old, Uid(uid)), ("\\Seen",), 10 * uid, message_digest(account, f"<{uid}>")) for uid in (1, 2)
    ]
    with pytest.raises(Unavailable):
        await place_of(store, account, MessageRef(old, Uid(1)))
    await store.commit(store.replacements.carry_over(new, [(formers[0], _entry(9))], expires_ms=100))
    assert (await place_of(store, account, MessageRef(old, Uid(1))))[1] == MessageRef(new, Uid(9))
    assert [one.ref.uid for one in await _formers(store, old)] == [2]
    await store.commit(store.replacements.close(new))
    assert await store.replacements.predecessors(new) == []
    await purge_everything(store)
    assert await _formers(store, old) == []
    with pytest.raises(MessageNotFound):
        await place_of(store, account, MessageRef(old, Uid(2)))
    with pytest.raises(MessageNotFound):
        await place_of(store, AccountNumber(account + 1), MessageRef(old, Uid(1)))


async def test_what_was_not_carried_over_yet_goes_to_the_next_successor(store: Store) -> None:
    account, first = await _mailbox(store, 1, 2)
    second = await _replace(store, account, first)
    [one, two] = await _formers(store, first)
    await store.commit(store.replacements.carry_over(second, [(one, _entry(5))], expires_ms=100))
    await store.commit(store.messages.put(second, [_entry(5)]))
    third = await _replace(store, account, second)
    assert [before.number for before in await store.replacements.predecessors(third)] == [second, first]
    [five] = await _formers(store, second)
    await store.commit(store.replacements.carry_over(third, [(five, _entry(6)), (two, _entry(7))], expires_ms=200))
    places = {
        ref: (await place_of(store, account, ref))[1]
        for ref in (MessageRef(first, Uid(1)), MessageRef(second, Uid(5)), MessageRef(first, Uid(2)))
    }
    assert list(places.values()) == [MessageRef(third, Uid(6)), MessageRef(third, Uid(6)), MessageRef(third, Uid(7))]
    assert await store.replacements.carried_over(third) == 2


async def test_an_id_is_found_although_its_mailbox_is_carried_over_in_the_same_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, old = await _mailbox(store, 1)
    new = await _replace(store, account, old)
    real = store.replacements.successor

    async def overtaken(number: int) -> MailboxNumber | None:
        if await store.replacements.predecessors(new):
            pairs = [(former, _entry(9)) for former in await _formers(store, old)]
            await store.commit(store.replacements.carry_over(new, pairs, expires_ms=100))
            await store.commit(store.replacements.close(new))
        return await real(MailboxNumber(number))

    monkeypatch.setattr(store.replacements, "successor", overtaken)
    assert (await place_of(store, account, MessageRef(old, Uid(1))))[1] == MessageRef(new, Uid(9))


async def test_old_ids_expire(store: Store) -> None:
    account, old = await _mailbox(store, 1, 2, 3)
    new = await _replace(store, account, old)
    pairs = [(former, _entry(former.ref.uid)) for former in await _formers(store, old)]
    await store.commit(store.replacements.carry_over(new, pairs, expires_ms=100))
    await store.commit(store.replacements.close(new))
    assert await store.commit(store.replacements.expire(100, 2)) == 0
    assert [await store.commit(store.replacements.expire(101, 2)) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(MessageNotFound):
        await place_of(store, account, MessageRef(old, Uid(1)))


async def _carry_all(store: Store, old: MailboxNumber, new: MailboxNumber, uidvalidity: int, shift: int) -> None:
    """Carry a whole mailbox over, to UIDs that are `shift` higher."""
    await store.commit(store.mailboxes.begin(new, uidvalidity))
    pairs = [(former, _entry(former.ref.uid + shift)) for former in await _formers(store, old)]
    await store.commit(store.messages.put(new, [entry for _, entry in pairs]))
    await store.commit(store.replacements.carry_over(new, pairs, expires_ms=100))
    cursor = MailboxCursor(uidvalidity, 99, None, len(pairs), 1, 7)
    await store.commit(store.mailboxes.update_cursor(new, cursor, 1))
    await store.commit(store.replacements.close(new))


async def test_a_uidvalidity_that_returns_brings_back_its_number_and_nothing_grows(store: Store) -> None:
    account, first = await _mailbox(store, 1, 2)
    await store.commit(store.mailboxes.update_cursor(first, MailboxCursor(5, 3, None, 2, 1, 7), 1))
    numbers = [first]
    for turn in range(6):
        to, shift = ((6, 10), (5, -10))[turn % 2]
        numbers.append(await _replace(store, account, numbers[-1], to))
        await _carry_all(store, numbers[-2], numbers[-1], to, shift)
    second = numbers[1]
    assert numbers == [first, second] * 3 + [first]
    await purge_everything(store)
    found = [
        (await place_of(store, account, MessageRef(number, Uid(uid))))[1] for number, uid in ((first, 1), (second, 12))
    ]
    assert found == [MessageRef(first, Uid(1)), MessageRef(first, Uid(2))]
    assert [entry.uid for entry in await store.messages.page(first, limit=9, offset=0)] == [2, 1]
    assert await store.commit(store.replacements.expire(101, 1000)) == 4


async def test_a_uidvalidity_that_returns_in_the_middle_finds_what_was_left_there(store: Store) -> None:
    account, first = await _mailbox(store, 1, 2)
    second = await _replace(store, account, first, 6)
    [one, _] = await _formers(store, first)
    await store.commit(store.messages.put(second, [_entry(11)]))
    await store.commit(store.replacements.carry_over(second, [(one, _entry(11))], expires_ms=100))
    assert await _replace(store, account, second, 5) == first
    assert [before.number for before in await store.replacements.predecessors(first)] == [second]
    assert [entry.uid for entry in await store.messages.page(first, limit=9, offset=0)] == [2]


async def test_a_mailbox_that_was_removed_does_not_return(store: Store) -> None:
    """Simple servers begin each mailbox with the same UIDVALIDITY, also one that is made anew."""
    account, first = await _mailbox(store, 1)
    await store.commit(store.mailboxes.remove(first, 8))
    second = await store.commit(store.mailboxes.add(account, WORK, 9, 1))
    assert await _replace(store, account, second, 5) not in (first, second)
