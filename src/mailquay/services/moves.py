"""Telling that a message was moved: it has left one mailbox and come into another, in whatever order that is seen."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.model.account import AccountNumber
from mailquay.model.digest import digest_of, message_digest
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import DroppedMessage, IndexEntry
from mailquay.services.sync_events import moved_event
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.repositories.moves import Passing
from mailquay.storage.store import Store

MOVE_WINDOW_MS = 10 * 60 * 1000
"""How long after the one half of a move the other may be seen."""


def recognised_by(account: AccountNumber, email_id: str | None, digest: int | None) -> int | None:
    """64 bits that recognise a message wherever it turns up again: by its server id, else its Message-ID's digest."""
    return digest if email_id is None else digest_of(f"{account} email {email_id}")


def entry_digest(account: AccountNumber, entry: IndexEntry) -> int | None:
    """The same of a message whose envelope is at hand; None for one without any id."""
    message_id = entry.envelope.message_id if entry.envelope is not None else None
    return recognised_by(account, entry.email_id, message_digest(account, message_id) if message_id else None)


def known_digest(account: AccountNumber, entry: IndexEntry) -> int:
    """What an account remembers of each of its messages; one without any id is recognised by its place alone."""
    digest = entry_digest(account, entry)
    if digest is None:
        return digest_of(f"{account} uid {entry.uid} {entry.internal_date_ms} {entry.size_bytes}")
    return digest


def have_left(
    store: Store, account: AccountNumber, mailbox: Mailbox, dropped: Sequence[DroppedMessage], now_ms: int
) -> Unit[None]:
    """Messages have left a mailbox: those that were seen to arrive in another one get a messageMoved."""
    passing = [
        _passing(mailbox, digest, one.uid, one.size_bytes)
        for one in dropped
        if (digest := recognised_by(account, one.email_id, one.digest)) is not None
    ]
    return _told(store, account, passing, arrived=False, now_ms=now_ms)


def have_arrived(
    store: Store, account: AccountNumber, mailbox: Mailbox, entries: Sequence[IndexEntry], now_ms: int
) -> Unit[None]:
    """Messages known before have arrived: those that were seen to leave another mailbox get a messageMoved."""
    passing = []
    for entry in entries:
        digest = entry_digest(account, entry)
        if digest is not None:
            passing.append(_passing(mailbox, digest, entry.uid, entry.size_bytes))
    return _told(store, account, passing, arrived=True, now_ms=now_ms)


def _passing(mailbox: Mailbox, digest: int, uid: int, size_bytes: int | None) -> Passing:
    return Passing(digest, mailbox.number, uid, mailbox.listing.path, mailbox.listing.special_use, size_bytes)


def _told(
    store: Store, account: AccountNumber, passing: Sequence[Passing], *, arrived: bool, now_ms: int
) -> Unit[None]:
    pair = store.moves.pair(account, passing, arrived=arrived, now_ms=now_ms, window_ms=MOVE_WINDOW_MS)

    def script(pending: Pending) -> Script[None]:
        for move in (yield from pair(pending)):
            pending.append(moved_event(account, move, now_ms))

    return script
