"""Mailboxes: what is listed, up to where each is indexed, and what the server last said of it."""

from __future__ import annotations

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
from mailquay.storage.codec import from_json, to_json
from mailquay.storage.interface import Database, Pending, Row, Run, Script, Unit
from mailquay.storage.repositories.upkeep import detach


class MailboxRepository:
    """Reads and units of work about mailboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, number: int) -> Mailbox | None:
        """The mailbox with this number."""
        rows = await self._database.point("mailbox_by_number", number)
        return read_mailbox(rows[0]) if rows else None

    async def by_path(self, account: int, path: str) -> Mailbox | None:
        """The mailbox of an account at this path."""
        rows = await self._database.point("mailbox_by_path", account, path)
        return read_mailbox(rows[0]) if rows else None

    async def of_account(self, account: int) -> list[Mailbox]:
        """All mailboxes of an account, by path; those that vanished lately are among them (missing_since_ms)."""
        return [read_mailbox(row) for row in await self._database.point("mailboxes_of_account", account)]

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


def read_mailbox(row: Row) -> Mailbox:
    """A mailbox from the columns that every statement reads of it."""
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
        texts_state=row[20],
    )
