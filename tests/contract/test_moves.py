"""Telling moves from what leaves one mailbox and comes into another: over both databases."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mailquay.model.account import AccountId, AccountNumber, AccountProfile
from mailquay.model.digest import message_digest
from mailquay.model.event import EventName
from mailquay.model.mailbox import ListedMailbox, Mailbox, MailboxEvidence, MailboxNumber
from mailquay.model.message import DroppedMessage, Envelope, IndexEntry, Uid
from mailquay.runtime.purge import purge_everything
from mailquay.services.identifiers import message_id
from mailquay.services.moves import MOVE_WINDOW_MS, have_arrived, have_left
from mailquay.storage.store import Store, open_store

NOW = 1_700_000_000_000
_INBOX, _WORK, _HOME = 11, 12, 13
_PATHS = {_INBOX: "INBOX", _WORK: "Work", _HOME: "Home"}


async def _account(store: Store, name: str = "ann") -> AccountNumber:
    unit = store.accounts.upsert(AccountId(name), lambda _: AccountProfile(), NOW)
    return (await store.commit(unit)).account.number


def _mailbox(account: AccountNumber, number: int, path: str | None = None) -> Mailbox:
    listing = ListedMailbox(path or _PATHS[number], "/", frozenset())
    return Mailbox(MailboxNumber(number), account, listing, None, MailboxEvidence(), NOW, 1)


class _Account:
    """One account whose messages come and go; a message is a UID, a Message-ID and a size."""

    def __init__(self, store: Store, number: AccountNumber) -> None:
        self.store = store
        self.number = number

    async def left(self, mailbox: int, *messages: tuple[int, str | None, int | None], at_ms: int = NOW) -> None:
        dropped = [DroppedMessage(uid, size, None, self.digest(name)) for uid, name, size in messages]
        await self._left(_mailbox(self.number, mailbox), dropped, at_ms)

    def digest(self, name: str | None) -> int | None:
        return message_digest(self.number, name) if name else None

    async def _left(self, mailbox: Mailbox, dropped: Sequence[DroppedMessage], at_ms: int) -> None:
        await self.store.commit(have_left(self.store, self.number, mailbox, dropped, at_ms))

    async def arrived(
        self,
        mailbox: int,
        *messages: tuple[int, str | None, int | None],
        at_ms: int = NOW,
        path: str | None = None,
    ) -> None:
        entries = [
            IndexEntry(Uid(uid), size_bytes=size, envelope=Envelope(message_id=name)) for uid, name, size in messages
        ]
        box = _mailbox(self.number, mailbox, path)
        await self.store.commit(have_arrived(self.store, self.number, box, entries, at_ms))

    async def moves(self) -> list[tuple[str, int, str, int]]:
        """Which messages were told as moved: from where, to where."""
        events = await self.store.events.of_account_after(self.number, 0, 1000)
        told = []
        for event in events:
            if event.name is EventName.MESSAGE_MOVED:
                facts: Any = event.facts
                before = facts["previous"]
                assert event.path == facts["path"]
                told.append((before["path"], before["uid"], facts["path"], facts["uid"]))
        return told


@pytest.fixture
async def ann(store: Store) -> _Account:
    return _Account(store, await _account(store))


async def test_whichever_half_comes_first(ann: _Account) -> None:
    await ann.left(_INBOX, (1, "<a>", 10))
    await ann.arrived(_WORK, (7, "<a>", 10))
    await ann.arrived(_WORK, (8, "<b>", 10))
    await ann.left(_INBOX, (2, "<b>", 10))
    assert await ann.moves() == [("INBOX", 1, "Work", 7), ("INBOX", 2, "Work", 8)]
    [event, _] = [
        one for one in await ann.store.events.of_account_after(ann.number, 0, 10) if one.facts.get("previous")
    ]
    assert event.facts == {
        "id": message_id(_WORK, 7),
        "uid": 7,
        "path": "Work",
        "previous": {"id": message_id(_INBOX, 1), "uid": 1, "path": "INBOX"},
    }


async def test_each_half_is_used_once(ann: _Account) -> None:
    await ann.left(_INBOX, (1, "<a>", 10))
    await ann.arrived(_WORK, (7, "<a>", 10), (8, "<a>", 10))
    await ann.arrived(_HOME, (9, "<a>", 10))
    assert await ann.moves() == [("INBOX", 1, "Work", 7)]


async def test_two_alike_are_two_moves(ann: _Account) -> None:
    await ann.left(_INBOX, (1, "<a>", 10), (2, "<a>", 10))
    await ann.arrived(_WORK, (7, "<a>", 10), (8, "<a>", 10))
    assert sorted(await ann.moves()) == [("INBOX", 1, "Work", 7), ("INBOX", 2, "Work", 8)]


async def test_very_many_alike_in_the_same_mailbox_hide_no_move(ann: _Account) -> None:
    await ann.left(_INBOX, *((uid, "<a>", 10) for uid in range(1, 201)))
    await ann.left(_HOME, (5, "<a>", 10))
    await ann.arrived(_INBOX, (300, "<a>", 10))
    assert await ann.moves() == [("Home", 5, "INBOX", 300)]


async def test_on_to_a_third_mailbox(ann: _Account) -> None:
    await ann.left(_INBOX, (1, "<a>", 10))
    await ann.arrived(_WORK, (7, "<a>", 10))
    await ann.left(_WORK, (7, "<a>", 10))
    await ann.arrived(_HOME, (3, "<a>", 10))
    assert await ann.moves() == [("INBOX", 1, "Work", 7), ("Work", 7, "Home", 3)]


async def test_what_is_no_move(ann: _Account) -> None:
    bob = _Account(ann.store, await _account(ann.store, "bob"))
    await ann.left(_INBOX, (1, "<of another size>", 10), (2, "<late>", 10), (3, None, 10), (4, "<of another>", 10))
    await ann.left(_INBOX, (5, "<back in its place>", 10), (6, "<renamed>", 10), (7, "<under another number>", 10))
    await ann.arrived(_WORK, (1, "<of another size>", 11), (3, None, 10), (9, "<a copy>", 10))
    await ann.arrived(_WORK, (2, "<late>", 10), at_ms=NOW + MOVE_WINDOW_MS + 1)
    await bob.arrived(_WORK, (4, "<of another>", 10))
    await ann.arrived(_INBOX, (50, "<back in its place>", 10))
    await ann.arrived(_INBOX, (6, "<renamed>", 10), path="Renamed")
    await ann.arrived(99, (7, "<under another number>", 10), path="INBOX")
    assert await ann.moves() == [] and await bob.moves() == []


async def test_unknown_sizes_do_not_matter_and_server_ids_count_most(ann: _Account) -> None:
    await ann.left(_INBOX, (1, "<a>", None))
    await ann.arrived(_WORK, (7, "<a>", 10))
    dropped = [DroppedMessage(2, 10, "M1", ann.digest("<b>")), DroppedMessage(3, 10, "M2", ann.digest("<b>"))]
    await ann._left(_mailbox(ann.number, _INBOX), dropped, NOW)
    entry = IndexEntry(Uid(8), size_bytes=10, email_id="M2", envelope=Envelope(message_id="<b>"))
    await ann.store.commit(have_arrived(ann.store, ann.number, _mailbox(ann.number, _WORK), [entry], NOW))
    assert await ann.moves() == [("INBOX", 1, "Work", 7), ("INBOX", 3, "Work", 8)]


async def test_a_restart_between_the_halves(ann: _Account, database_url: str, tmp_path: Path) -> None:
    await ann.left(_INBOX, (1, "<a>", 10))
    reopened = await open_store(database_url, key_file=tmp_path / "key")
    try:
        await _Account(reopened, ann.number).arrived(_WORK, (7, "<a>", 10))
    finally:
        await reopened.close()
    assert await ann.moves() == [("INBOX", 1, "Work", 7)]


async def test_a_message_that_is_there_very_often_costs_no_more(ann: _Account) -> None:
    """Only so many candidates are read; the rest finds its like later, or not at all."""
    await ann.left(_INBOX, *((uid, "<a>", 10) for uid in range(1, 1001)))
    await ann.left(_INBOX, (2000, "<b>", 10))
    await ann.arrived(_WORK, *((uid, "<a>", 10) for uid in range(1, 41)), (50, "<b>", 10))
    moves = await ann.moves()
    assert len(moves) >= 40 and len(set(moves)) == len(moves)


async def test_old_halves_are_forgotten_in_steps_and_with_their_account(ann: _Account) -> None:
    await ann.left(_INBOX, *((uid, f"<{uid}>", 10) for uid in range(1, 6)))
    await ann.left(_INBOX, (9, "<young>", 10), at_ms=NOW + 1)
    expire = ann.store.moves.expire
    assert [await ann.store.commit(expire(NOW + 1, 2)) for _ in range(4)] == [2, 2, 1, 0]
    await ann.store.commit(ann.store.accounts.delete(AccountId("ann"), NOW))
    await purge_everything(ann.store, rows=1)
    assert await ann.store.commit(expire(NOW + 2, 2)) == 0


async def test_what_is_dropped_says_what_it_was(store: Store) -> None:
    account = await _account(store)
    listing = ListedMailbox("INBOX", "/", frozenset())
    number = await store.commit(store.mailboxes.add(account, listing, NOW, 1))
    entry = IndexEntry(Uid(1), size_bytes=10, email_id="M1", envelope=Envelope(message_id="<a>"))
    bare = dataclasses.replace(entry, uid=Uid(2), email_id=None, envelope=None, size_bytes=None)
    await store.commit(store.messages.put(number, [entry, bare]))
    assert await store.commit(store.messages.delete(number, [2, 1, 3])) == [
        DroppedMessage(1, 10, "M1", message_digest(account, "<a>")),
        DroppedMessage(2, None, None, None),
    ]
