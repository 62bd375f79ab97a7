"""The index of messages: what of each is kept, and which digests an account has seen before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

from mailquay.model.account import KEEPS_ENVELOPES, KEEPS_TEXT, AccountNumber
from mailquay.model.digest import message_digest
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import Address, DroppedMessage, Envelope, IndexEntry, MessageMarks, Structure, Uid
from mailquay.storage.codec import from_json, to_json
from mailquay.storage.interface import Database, Pending, Row, Run, RunMany, Script, Unit

_NEAR = 64
_DAY_MS = 24 * 3600 * 1000
_EVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Unread:
    """A message whose envelope is still to be read, in the order of its received date; without one it comes first."""

    received_ms: int
    uid: int


NEWEST = Unread(_EVER, 2**32)
"""Before this one come all others."""


@dataclass(frozen=True, slots=True)
class IndexTerms:
    """What the index can be searched for. Texts are looked for anywhere in a subject and in From; empty ones match all.

    Sizes in bytes, both exclusive.
    """

    subject: str = ""
    sender: str = ""
    larger: int = -1
    smaller: int = 2**62


class MessageIndex:
    """Reads and units of work about the messages of a mailbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, mailbox: int, uid: int) -> IndexEntry | None:
        """One entry."""
        rows = await self._database.point("message_by_uid", mailbox, uid)
        return read_entry(rows[0]) if rows else None

    async def page(self, mailbox: int, *, limit: int, offset: int) -> list[IndexEntry]:
        """Entries newest (highest UID) first."""
        small = offset <= 1000 and limit <= 100
        read = self._database.point if small else self._database.fetch
        return [read_entry(row) for row in await read("message_page", mailbox, limit, offset)]

    async def range(self, mailbox: int, first: int, last: int) -> list[IndexEntry]:
        """Entries from one UID to another, ascending."""
        return [read_entry(row) for row in await self._database.fetch("message_range", mailbox, first, last)]

    async def search(self, mailbox: int, terms: IndexTerms) -> list[int]:
        """The UIDs of the messages to which all terms apply, descending."""
        texts = (mailbox, folded(terms.subject), folded(terms.sender))
        if terms == IndexTerms(subject=terms.subject, sender=terms.sender):
            # A narrow index holds what is looked at.
            rows = await self._database.fetch("message_search_text", *texts)
        else:
            rows = await self._database.fetch("message_search", *texts, terms.larger, terms.smaller)
        return [uid for (uid,) in rows]

    async def unread(self, mailbox: int) -> tuple[bool, bool]:
        """Whether there are messages without a kept envelope, and whether there are such that cannot be read."""
        [(unread, broken)] = await self._database.point("message_unread", mailbox)
        return bool(unread), bool(broken)

    async def several(self, mailbox: int, uids: Sequence[int]) -> list[IndexEntry]:
        """Those of these messages that the index holds, newest first."""
        return [read_entry(row) for row in await self._database.fetch("message_several", mailbox, to_json(list(uids)))]

    async def uids(self, mailbox: int, first: int = 1, last: int = 2**32 - 1, *, limit: int = 2**32) -> list[int]:
        """UIDs from one to another, ascending."""
        return [uid for (uid,) in await self._database.fetch("message_uids", mailbox, first, last, limit)]

    async def flags(self, mailbox: int, first: int = 1, last: int = 2**32 - 1) -> list[tuple[int, str, int | None]]:
        """(UID, flags joined by blanks, MODSEQ) from one UID to another, ascending: enough to compare a mailbox."""
        rows = await self._database.fetch("message_flags", mailbox, first, last)
        return [(row[0], row[1], row[2]) for row in rows]

    async def without_envelope(
        self,
        mailbox: int,
        *,
        digested: bool = False,
        since_ms: int | None = None,
        after: Unread = NEWEST,
        limit: int,
    ) -> list[Unread]:
        """Messages without an envelope that were received at a time or later, the last received first.

        `digested` asks for those whose envelope was read and not kept, else it is for those that were never read. Those
        received before `since_ms` are not even passed over, however many there are.
        """
        key = (mailbox, int(digested), -_EVER if since_ms is None else since_ms, after.received_ms, after.uid, limit)
        return [Unread(*row) for row in await self._database.fetch("message_without_envelope", *key)]

    async def count(self, mailbox: int) -> int:
        """How many messages the index holds."""
        [(count,)] = await self._database.fetch("message_count", mailbox)
        return int(count)

    async def unseen(self, mailbox: int) -> int:
        """How many messages of the index lack \\Seen."""
        [(count,)] = await self._database.fetch("message_unseen_count", mailbox)
        return int(count)

    def put(
        self,
        mailbox: MailboxNumber,
        entries: Sequence[IndexEntry],
        threads: Sequence[int | None] = (),
        *,
        texts_follow: bool = False,
    ) -> Unit[None]:
        """Insert entries or update them; what an entry does not know (None) keeps its stored value.

        `threads` has the thread of ours of each, where they were put into threads. What the account does not want to be
        kept is left out. An entry with an envelope ends a quarantine; errors are left to QuarantineRepository. Nothing
        happens when the mailbox has been removed: its purge may be over. Unless `texts_follow` in the same transaction,
        the mailbox lacks texts from now on where the account wants them.
        """

        def script(_pending: Pending) -> Script[None]:
            if not entries:
                return
            keeper = yield from held(mailbox)
            if keeper is None:
                return
            rows = zip(entries, threads or repeat(None), strict=False)
            yield RunMany("message_upsert", [keeper.row(mailbox, entry, thread) for entry, thread in rows])
            if keeper.keeps_texts and not texts_follow:
                yield Run("mailbox_lacks_texts", (mailbox,))

        return script

    def fill(self, mailbox: MailboxNumber, entries: Sequence[IndexEntry], threads: Sequence[int | None]) -> Unit[None]:
        """Complete entries that are there: an entry that was dropped meanwhile stays away.

        Flags are left to whoever tells of their changes, and messages in quarantine to who tries them again. `threads`
        has the thread of ours of each. What the account does not want to be kept is left out.
        """

        def script(_pending: Pending) -> Script[None]:
            keeper = yield from held(mailbox)
            if keeper is None:
                return
            rows = [keeper.row(mailbox, entry, thread) for entry, thread in zip(entries, threads, strict=True)]
            yield RunMany("message_fill", [(*row[:2], *row[4:10], *row[11:]) for row in rows])

        return script

    def update_flags(
        self, mailbox: MailboxNumber, changes: Sequence[tuple[int, Sequence[str], int | None, Sequence[str] | None]]
    ) -> Unit[dict[int, MessageMarks]]:
        """Store flags: (uid, flags, modseq, labels) each. Returns, by UID, what those had before that changed.

        The comparison is part of the transaction, so that of two who see the same change one alone reports it.
        """

        def script(_pending: Pending) -> Script[dict[int, MessageMarks]]:
            stored: dict[int, tuple[str, str | None]] = {}
            for first, last in _near_runs(change[0] for change in changes):
                for row in (yield Run("message_marks", (mailbox, first, last))):
                    stored[row[0]] = (row[1], row[2])
            before: dict[int, MessageMarks] = {}
            updates = []
            for uid, flags, modseq, labels in changes:
                if uid not in stored:
                    continue
                known_flags, known_labels = stored[uid]
                joined = " ".join(sorted(flags))
                shown = known_labels if labels is None else to_json(sorted(labels))
                if (joined, shown) != stored[uid]:
                    before[uid] = MessageMarks(tuple(known_flags.split()), _labels(known_labels))
                    updates.append((mailbox, uid, joined, modseq, shown))
            if updates:
                yield RunMany("message_update_flags", updates)
            return before

        return script

    def delete(self, mailbox: MailboxNumber, uids: Iterable[int]) -> Unit[list[DroppedMessage]]:
        """Drop entries; returns those that were there, by UID."""
        chosen = sorted(set(uids))

        def script(_pending: Pending) -> Script[list[DroppedMessage]]:
            gone: list[DroppedMessage] = []
            for uid in chosen:
                for _, size, email_id, digest in (yield Run("message_delete", (mailbox, uid))):
                    gone.append(DroppedMessage(uid, size, email_id, digest))
            if gone:
                yield Run("mailbox_count_down", (mailbox, len(gone)))
            return gone

        return script

    def drop(self, mailbox: MailboxNumber, uids: Iterable[int]) -> Unit[None]:
        """Drop entries that the index is not to hold any more, although their messages are there."""

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("message_forget", [(mailbox, uid) for uid in uids])

        return script

    def recognise(self, account: AccountNumber, digests: Sequence[int], now_ms: int) -> Unit[list[bool]]:
        """Remember message digests (64-bit, signed) of an account; True where one was not known before."""

        def script(_pending: Pending) -> Script[list[bool]]:
            fresh: list[bool] = []
            for digest in digests:
                rows = yield Run("known_message_insert", (account, digest, now_ms // _DAY_MS))
                fresh.append(bool(rows))
            return fresh

        return script

    def remember(self, account: AccountNumber, digests: Iterable[int], now_ms: int) -> Unit[None]:
        """Remember digests without asking about each: for existing mail of a first sync."""
        rows = [(account, digest, now_ms // _DAY_MS) for digest in digests]

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("known_message_record", rows)

        return script

    async def is_known(self, account: AccountNumber, digest: int) -> bool:
        """Whether a digest was seen before."""
        return bool(await self._database.point("known_message_get", account, digest))


def _near_runs(uids: Iterable[int]) -> list[tuple[int, int]]:
    """Ranges that cover the UIDs without reading much in between: two changes far apart are two ranges."""
    runs: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if runs and uid - runs[-1][1] <= _NEAR:
            runs[-1] = (runs[-1][0], uid)
        else:
            runs.append((uid, uid))
    return runs


@dataclass(frozen=True, slots=True)
class Keeper:
    """For whom an index is kept, and how much of each message."""

    account: AccountNumber
    keeps_envelopes: bool
    keeps_texts: bool

    def row(self, mailbox: MailboxNumber, entry: IndexEntry, thread: int | None) -> tuple[object, ...]:
        """What is stored of an entry."""
        envelope, structure = (entry.envelope, entry.structure) if self.keeps_envelopes else (None, None)
        message_id = None if entry.envelope is None else entry.envelope.message_id
        return (
            mailbox,
            entry.uid,
            " ".join(sorted(entry.flags)),
            entry.modseq,
            entry.internal_date_ms,
            entry.size_bytes,
            None if envelope is None else to_json(envelope),
            None if structure is None else to_json(structure),
            entry.email_id,
            entry.thread_id,
            None if entry.labels is None else to_json(sorted(entry.labels)),
            message_digest(self.account, message_id) if message_id else None,
            int(entry.envelope is not None),
            thread,
            None if envelope is None else folded(envelope.subject or ""),
            None if envelope is None else folded_addresses(envelope.from_),
            None if envelope is None else envelope.date_ms,
        )


def folded(text: str) -> str:
    """A text as it is looked for, whatever its letters' case; no database keeps NUL in a text."""
    return text.casefold().replace("\0", "")


def folded_addresses(addresses: Sequence[Address]) -> str:
    """Addresses as they are looked for, in one line."""
    return folded(", ".join(map(_shown, addresses)))


def _shown(address: Address) -> str:
    return f"{address.name} <{address.address}>" if address.name else address.address


def held(mailbox: MailboxNumber) -> Script[Keeper | None]:
    """Keep a mailbox and its account as they are until the end of the transaction; None when it has been removed."""
    rows = yield Run("mailbox_hold", (mailbox,))
    if not rows:
        return None
    account, keeps = rows[0]
    return Keeper(AccountNumber(account), keeps in (KEEPS_ENVELOPES, KEEPS_TEXT), keeps == KEEPS_TEXT)


def _labels(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(from_json(stored, list[str]))


def read_entry(row: Row) -> IndexEntry:
    """An entry from the columns that every statement reads of it."""
    uid, flags, modseq, date_ms, size, envelope, structure, email_id, thread_id, labels, thread, digested, error = row
    return IndexEntry(
        uid=Uid(uid),
        flags=tuple(flags.split()),
        modseq=modseq,
        internal_date_ms=date_ms,
        size_bytes=size,
        envelope=None if envelope is None else from_json(envelope, Envelope),
        structure=None if structure is None else from_json(structure, Structure),
        email_id=email_id,
        thread_id=thread_id,
        labels=_labels(labels),
        error=error,
        thread=thread,
        digested=bool(digested),
    )
