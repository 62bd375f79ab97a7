"""Messages that cannot be read are kept apart, told of once, and have their turns: over both databases."""

from __future__ import annotations

from mailquay.model.account import KEEPS_ENVELOPES, KEEPS_IDENTIFIERS, AccountId, AccountNumber, AccountProfile
from mailquay.model.event import EventName
from mailquay.model.mailbox import ListedMailbox, Mailbox, MailboxNumber
from mailquay.model.message import Envelope, IndexEntry, Structure, Uid
from mailquay.services.identifiers import message_id
from mailquay.services.set_aside import RETRY_PAUSES_MS, UNIDENTIFIED_PAUSES_MS, next_try_ms, set_aside, with_turns
from mailquay.storage.repositories.quarantine import SetAside
from mailquay.storage.store import Store

NOW = 1_700_000_000_000
_NUMBER = AccountNumber(1)


async def _mailbox(store: Store, path: str = "INBOX", index: str = KEEPS_ENVELOPES) -> Mailbox:
    unit = store.accounts.upsert(AccountId("ann"), lambda _: AccountProfile("Ann", index=index), NOW)
    account = (await store.commit(unit)).account.number
    await store.commit(store.mailboxes.add(account, ListedMailbox(path, "/", frozenset()), NOW, 1))
    found = await store.mailboxes.by_path(account, path)
    assert found is not None
    return found


def _broken(uid: int, **known: int) -> IndexEntry:
    return IndexEntry(Uid(uid), error="cannot", **known)  # type: ignore[arg-type]


async def _told(store: Store) -> list[dict[str, object]]:
    events = await store.events.of_account_after(_NUMBER, 0, 1000)
    return [dict(event.facts) for event in events if event.name is EventName.MESSAGE_UNPROCESSABLE]


async def test_each_is_told_of_once(store: Store) -> None:
    box = await _mailbox(store)
    for now_ms in (NOW, NOW + 1):
        await store.commit(set_aside(store, _NUMBER, box, [_broken(3), _broken(4, size_bytes=7)], now_ms))
    facts = {"id": message_id(box.number, 3), "uid": 3, "path": "INBOX", "error": "cannot"}
    assert await _told(store) == [facts, {**facts, "id": message_id(box.number, 4), "uid": 4}]
    assert await store.quarantine.all(box.number, 9) == [SetAside(3, 1, False, False), SetAside(4, 1, False, True)]
    assert await store.quarantine.unidentified(box.number) == [3]
    await store.commit(set_aside(store, _NUMBER, box, [_broken(5)], NOW, silent=True, owed=True))
    assert len(await _told(store)) == 2
    assert (await store.quarantine.all(box.number, 9))[2] == SetAside(5, 1, False, False)
    entry = await store.messages.get(box.number, 3)
    assert entry is not None and (entry.error, entry.digested) == ("cannot", False)
    assert await store.messages.without_envelope(box.number, limit=9) == []


async def test_what_was_dropped_meanwhile_stays_away_and_what_is_kept_apart_keeps_what_is_known(store: Store) -> None:
    box = await _mailbox(store)
    await store.commit(store.messages.put(box.number, [IndexEntry(Uid(1), ("\\Seen",), 5, NOW, 10)]))
    await store.commit(set_aside(store, _NUMBER, box, [_broken(1), _broken(2)], NOW, only_known=True))
    assert await store.messages.uids(box.number) == [1]
    await store.commit(store.messages.put(box.number, [IndexEntry(Uid(1), ("\\Flagged",), 6)]))
    await store.commit(store.messages.fill(box.number, [IndexEntry(Uid(1), envelope=Envelope())], [None]))
    entry = await store.messages.get(box.number, 1)
    assert entry is not None
    assert (entry.error, entry.flags, entry.size_bytes, entry.digested) == ("cannot", ("\\Flagged",), 10, False)


async def test_turns_come_in_growing_pauses_and_those_who_waited_longest_first(store: Store) -> None:
    box = await _mailbox(store)
    for uid in (1, 2, 3):
        await store.commit(set_aside(store, _NUMBER, box, [_broken(uid)], NOW + 10 - uid))
    due = NOW + UNIDENTIFIED_PAUSES_MS[0]
    assert await store.quarantine.turns(_NUMBER) == {"INBOX": due + 7}
    assert await store.quarantine.due(box.number, due + 6, 9) == []
    assert [one.uid for one in await store.quarantine.due(box.number, due + 8, 9)] == [3, 2]
    assert [one.uid for one in await store.quarantine.due(box.number, due + 9, 1)] == [3]
    turns = [(3, 2, next_try_ms(2, NOW, identified=False)), (2, 9, next_try_ms(9, NOW, identified=False))]
    await store.commit(store.quarantine.tried(box.number, turns))
    assert [(one.uid, one.tries) for one in await store.quarantine.all(box.number, 9)] == [(1, 1), (3, 2), (2, 9)]
    assert await store.quarantine.turns(_NUMBER) == {"INBOX": due + 9}
    await store.commit(store.quarantine.tried(box.number, [(1, 9, None), (3, 9, None)]))
    assert await store.quarantine.turns(_NUMBER) == {}
    assert await store.quarantine.due(box.number, 2**62, 9) == []
    await store.commit(store.quarantine.tried(box.number, [(1, 9, NOW)]))
    assert await store.quarantine.turns(_NUMBER) == {"INBOX": NOW}
    await store.commit(store.mailboxes.mark_missing(box.number, NOW))
    assert await store.quarantine.turns(_NUMBER) == {}


def test_what_is_not_even_identified_may_be_there_in_a_minute() -> None:
    known = IndexEntry(Uid(1), size_bytes=7, error="cannot")
    assert with_turns([known, _broken(2)], NOW) == [(known, NOW + 3_600_000), (_broken(2), NOW + 60_000)]
    pauses = [
        (next_try_ms(tries, 0, identified=True), next_try_ms(tries, 0, identified=False)) for tries in range(1, 7)
    ]
    hour = RETRY_PAUSES_MS[0]
    assert pauses == [
        (hour, 60_000),
        (6 * hour, 600_000),
        (24 * hour, hour),
        (None, 6 * hour),
        (None, 24 * hour),
        (None, None),
    ]


async def test_an_envelope_ends_it(store: Store) -> None:
    box = await _mailbox(store)
    await store.commit(set_aside(store, _NUMBER, box, [_broken(1)], NOW, owed=True))
    assert await store.quarantine.all(box.number, 9) == [SetAside(1, 1, True, False)]
    await store.commit(store.messages.put(box.number, [IndexEntry(Uid(1), ("\\Seen",), envelope=Envelope())], [8]))
    assert await store.quarantine.all(box.number, 9) == []
    entry = await store.messages.get(box.number, 1)
    assert entry is not None
    assert (entry.error, entry.flags, entry.digested, entry.thread) == (None, ("\\Seen",), True, 8)
    await store.commit(set_aside(store, _NUMBER, box, [_broken(1)], NOW))
    assert len(await _told(store)) == 2


async def test_nothing_of_a_broken_message_is_kept_where_nothing_shall_be(store: Store) -> None:
    box = await _mailbox(store, index=KEEPS_IDENTIFIERS)
    half = IndexEntry(Uid(1), envelope=Envelope(subject="s", message_id="<a>"), structure=Structure(), error="cannot")
    await store.commit(set_aside(store, _NUMBER, box, [half], NOW))
    entry = await store.messages.get(box.number, 1)
    assert entry is not None and (entry.envelope, entry.structure, entry.error) == (None, None, "cannot")
    put = store.quarantine.put(MailboxNumber(99), with_turns([half], NOW), owed=True, only_known=False)
    assert await store.commit(put) == []
