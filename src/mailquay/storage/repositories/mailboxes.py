"""Mailboxes and the index of their messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import (
    IndexVerification,
    ListedMailbox,
    Mailbox,
    MailboxCursor,
    MailboxEvidence,
    MailboxNumber,
    Verification,
)
from mailquay.model.message import DroppedMessage, Envelope, IndexEntry, MessageMarks, Structure, Uid
from mailquay.storage.codec import from_json, message_id_in, to_json
from mailquay.storage.interface import Database, Pending, Row, Run, RunMany, Script, Unit
from mailquay.storage.repositories.upkeep import detach

_NEAR = 64
_DAY_MS = 24 * 3600 * 1000


class MailboxRepository:
    """Reads and units of work about mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, number: int) -> Mailbox | None:
        """The mailbox with this number."""
        rows = await self._database.point("mailbox_by_number", number)
        return _mailbox(rows[0]) if rows else None

    async def by_path(self, account: int, path: str) -> Mailbox | None:
        """The mailbox of an account at this path."""
        rows = await self._database.point("mailbox_by_path", account, path)
        return _mailbox(rows[0]) if rows else None

    async def of_account(self, account: int) -> list[Mailbox]:
        """All mailboxes of an account, by path; those that vanished lately are among them (missing_since_ms)."""
        return [_mailbox(row) for row in await self._database.point("mailboxes_of_account", account)]

    async def all_verified(self) -> IndexVerification:
        """The same of all accounts together; `at_ms` is the oldest there is."""
        [row] = await self._database.fetch("index_verification")
        return IndexVerification(row[0], int(row[1]), int(row[2]))

    def add(self, account: AccountNumber, listing: ListedMailbox, now_ms: int, epoch: int) -> Unit[MailboxNumber]:
        """Give a mailbox its number, or bring back the one that it had."""

        def script(_pending: Pending) -> Script[MailboxNumber]:
            rows = yield Run("mailbox_insert", (account, listing.path, to_json(listing), now_ms, epoch))
            return MailboxNumber(rows[0][0])

        return script

    def update_listing(self, number: MailboxNumber, listing: ListedMailbox) -> Unit[None]:
        """Store what LIST says now; a new path is a rename, and the number stays."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_update_listing", (number, listing.path, to_json(listing)))

        return script

    def begin(self, number: MailboxNumber, uidvalidity: int) -> Unit[None]:
        """The first sync begins: from now on ids with this number stand for this UIDVALIDITY."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_begin", (number, uidvalidity))

        return script

    def lose_sync(self, number: MailboxNumber) -> Unit[None]:
        """The index is to be built anew; what was announced stays known by UIDNEXT."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_lose_sync", (number,))

        return script

    def record_verification(self, number: MailboxNumber, verdict: Verification) -> Unit[None]:
        """Store how the index stood when it was compared with the server."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_verified", (number, verdict.at_ms, verdict.messages, verdict.missing))

        return script

    def update_cursor(self, number: MailboxNumber, cursor: MailboxCursor, epoch: int) -> Unit[None]:
        """Move the cursor; it is evidence too."""

        def script(_pending: Pending) -> Script[None]:
            yield Run(
                "mailbox_update_cursor",
                (
                    number,
                    cursor.uidvalidity,
                    cursor.uidnext,
                    cursor.highestmodseq,
                    cursor.messages,
                    cursor.initial_uidnext,
                    cursor.synced_at_ms,
                    epoch,
                ),
            )

        return script

    def update_evidence(self, number: MailboxNumber, evidence: MailboxEvidence, now_ms: int, epoch: int) -> Unit[None]:
        """Store what the server last said."""

        def script(_pending: Pending) -> Script[None]:
            yield Run(
                "mailbox_update_evidence",
                (
                    number,
                    evidence.uidvalidity,
                    evidence.uidnext,
                    evidence.messages,
                    evidence.unseen,
                    evidence.highestmodseq,
                    now_ms,
                    epoch,
                ),
            )

        return script

    def doubt(self, number: MailboxNumber) -> Unit[None]:
        """We changed something there ourselves: what was seen before says nothing any more."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_doubt", (number,))

        return script

    def mark_missing(self, number: MailboxNumber, now_ms: int) -> Unit[None]:
        """The server does not list it at the moment; its index is kept for a return."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("mailbox_mark_missing", (number, now_ms))

        return script

    def remove(self, number: MailboxNumber, now_ms: int) -> Unit[None]:
        """Forget a mailbox; its number is retired and never used again. Its index is purged afterwards, in steps."""

        def script(pending: Pending) -> Script[None]:
            yield Run("mailbox_purge_predecessors", (number,))
            yield Run("mailbox_successor_changed", (number, None))
            yield Run("mailbox_retire", (number, now_ms))
            yield from detach("messages", number, pending)
            yield Run("mailbox_delete", (number,))

        return script


class MessageIndex:
    """Reads and units of work about the messages of a mailbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, mailbox: int, uid: int) -> IndexEntry | None:
        """One entry."""
        rows = await self._database.point("message_by_uid", mailbox, uid)
        return _entry(rows[0]) if rows else None

    async def page(self, mailbox: int, *, limit: int, offset: int) -> list[IndexEntry]:
        """Entries newest (highest UID) first."""
        small = offset <= 1000 and limit <= 100
        read = self._database.point if small else self._database.fetch
        return [_entry(row) for row in await read("message_page", mailbox, limit, offset)]

    async def range(self, mailbox: int, first: int, last: int) -> list[IndexEntry]:
        """Entries from one UID to another, ascending."""
        return [_entry(row) for row in await self._database.fetch("message_range", mailbox, first, last)]

    async def several(self, mailbox: int, uids: Sequence[int]) -> list[IndexEntry]:
        """Those of these messages that the index holds, newest first."""
        return [_entry(row) for row in await self._database.fetch("message_several", mailbox, to_json(list(uids)))]

    async def uids(self, mailbox: int, first: int = 1, last: int = 2**32 - 1, *, limit: int = 2**32) -> list[int]:
        """UIDs from one to another, ascending."""
        return [uid for (uid,) in await self._database.fetch("message_uids", mailbox, first, last, limit)]

    async def flags(self, mailbox: int, first: int = 1, last: int = 2**32 - 1) -> list[tuple[int, str, int | None]]:
        """(UID, flags joined by blanks, MODSEQ) from one UID to another, ascending: enough to compare a mailbox."""
        rows = await self._database.fetch("message_flags", mailbox, first, last)
        return [(row[0], row[1], row[2]) for row in rows]

    async def without_envelope(self, mailbox: int, *, below: int = 2**32, limit: int) -> list[int]:
        """UIDs whose envelope is still to be filled, newest first."""
        return [uid for (uid,) in await self._database.fetch("message_without_envelope", mailbox, below, limit)]

    async def count(self, mailbox: int) -> int:
        """How many messages the index holds."""
        [(count,)] = await self._database.fetch("message_count", mailbox)
        return int(count)

    async def unseen(self, mailbox: int) -> int:
        """How many messages of the index lack \\Seen."""
        [(count,)] = await self._database.fetch("message_unseen_count", mailbox)
        return int(count)

    def put(
        self, mailbox: MailboxNumber, entries: Sequence[IndexEntry], threads: Sequence[int | None] = ()
    ) -> Unit[None]:
        """Insert entries or update them; what an entry does not know (None) keeps its stored value.

        `threads` has the thread of ours of each, where they were put into threads.
        Nothing happens when the mailbox has been removed: its purge may be over.
        """

        def script(_pending: Pending) -> Script[None]:
            if not entries or not (yield Run("mailbox_hold", (mailbox,))):
                return
            rows = zip(entries, threads or repeat(None), strict=False)
            yield RunMany("message_upsert", [_row(mailbox, entry, thread) for entry, thread in rows])

        return script

    def fill(self, mailbox: MailboxNumber, entries: Sequence[IndexEntry], threads: Sequence[int | None]) -> Unit[None]:
        """Complete entries that are there: an entry that was dropped meanwhile stays away.

        Flags are left to whoever tells of their changes. `threads` has the thread of ours of each.
        """

        def script(_pending: Pending) -> Script[None]:
            rows = zip(entries, threads, strict=True)
            yield RunMany("message_fill", [_filling(mailbox, entry, thread) for entry, thread in rows])

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
                for _, size, email_id, envelope in (yield Run("message_delete", (mailbox, uid))):
                    gone.append(DroppedMessage(uid, size, email_id, message_id_in(envelope)))
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


def _mailbox(row: Row) -> Mailbox:
    cursor = None
    if row[3] is not None and row[8] is not None:
        cursor = MailboxCursor(
            uidvalidity=row[3],
            uidnext=row[4],
            highestmodseq=row[5],
            messages=row[6],
            initial_uidnext=row[7],
            synced_at_ms=row[8],
        )
    return Mailbox(
        number=MailboxNumber(row[0]),
        account=AccountNumber(row[1]),
        listing=from_json(row[2], ListedMailbox),
        cursor=cursor,
        evidence=MailboxEvidence(row[9], row[10], row[11], row[12], row[13]),
        evidence_at_ms=row[14],
        evidence_epoch=row[15],
        missing_since_ms=row[16],
        uidvalidity=row[3],
        announced_below=row[4],
        verification=None if row[17] is None else Verification(row[17], row[18], row[19]),
    )


def _row(mailbox: MailboxNumber, entry: IndexEntry, thread: int | None) -> tuple[object, ...]:
    return (
        mailbox,
        entry.uid,
        " ".join(sorted(entry.flags)),
        entry.modseq,
        entry.internal_date_ms,
        entry.size_bytes,
        None if entry.envelope is None else to_json(entry.envelope),
        None if entry.structure is None else to_json(entry.structure),
        entry.email_id,
        entry.thread_id,
        None if entry.labels is None else to_json(sorted(entry.labels)),
        entry.error,
        thread,
    )


def _filling(mailbox: MailboxNumber, entry: IndexEntry, thread: int | None) -> tuple[object, ...]:
    row = _row(mailbox, entry, thread)
    return (*row[:2], *row[4:10], *row[11:])


def _labels(stored: str | None) -> tuple[str, ...] | None:
    return None if stored is None else tuple(from_json(stored, list[str]))


def _entry(row: Row) -> IndexEntry:
    uid, flags, modseq, date_ms, size, envelope, structure, email_id, thread_id, labels, error, thread = row
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
    )
