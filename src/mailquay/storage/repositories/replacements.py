"""Mailboxes whose UIDVALIDITY changed: what the former ones held, and where their messages are now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import ListedMailbox, MailboxNumber
from mailquay.model.message import IndexEntry, MessageRef, Uid
from mailquay.storage.codec import to_json
from mailquay.storage.interface import PURGE_DUE, Database, Pending, Run, RunMany, Script, Unit

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A former mailbox at the same path, under another UIDVALIDITY, last synced at that time (None: never wholly)."""

    number: MailboxNumber
    uidvalidity: int | None
    synced_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Former:
    """A message of a former mailbox by what identifies it; `digest` (of its Message-ID) None: none, or never read.

    `thread` is the thread of ours that it was in.
    """

    ref: MessageRef
    flags: tuple[str, ...]
    internal_date_ms: int | None
    size_bytes: int | None
    email_id: str | None
    digest: int | None
    thread: int | None = None


class ReplacementRepository:
    """Reads and units of work about mailboxes that were replaced."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(
        self,
        account: AccountNumber,
        number: MailboxNumber,
        listing: ListedMailbox,
        uidvalidity: int,
        now_ms: int,
        epoch: int,
    ) -> Unit[MailboxNumber]:
        """Retire a mailbox, and give the one that stands at its path now a number of its own, or its former one.

        A UIDVALIDITY that returns brings back its number (two servers behind one address may show one each by turns):
        its ids are good again, and there are no more numbers and old ids than there are UIDVALIDITYs. What the retired
        one held is kept until `close`; so is what was still to be carried over into it.
        """

        def script(_pending: Pending) -> Script[MailboxNumber]:
            # Its path must be free before the successor has a number: until then it stands in for its own successor.
            yield Run("mailbox_replace", (number, now_ms, number))
            yield Run("mailbox_delete", (number,))
            place = (account, listing.path, to_json(listing), now_ms, epoch)
            returns = (yield Run("mailbox_returns", (account, listing.path, uidvalidity))) if uidvalidity else []
            if returns:
                former = returns[0][0]
                yield Run("mailbox_unretire", (former,))
                yield Run("purge_done", ("messages", former))
                [(successor,)] = yield Run("mailbox_restore", (former, *place))
            else:
                [(successor,)] = yield Run("mailbox_insert", place)
            yield Run("mailbox_successor_changed", (number, successor))
            return MailboxNumber(successor)

        return script

    async def predecessors(self, number: MailboxNumber) -> list[Predecessor]:
        """The former mailboxes that are still to be carried over into this one, the last one first."""
        rows = await self._database.fetch("mailbox_predecessors", number)
        return [Predecessor(MailboxNumber(row[0]), row[1], row[2]) for row in rows]

    async def successor(self, number: MailboxNumber) -> MailboxNumber | None:
        """Into which mailbox a former one is being carried over; None when that is over, or never was."""
        rows = await self._database.point("mailbox_successor", number)
        return MailboxNumber(rows[0][0]) if rows else None

    async def formers(self, number: MailboxNumber) -> AsyncIterator[list[Former]]:
        """What a former mailbox still holds, in pages."""
        last = 0
        # Of hundreds of thousands most have the same flags.
        shared: dict[str, tuple[str, ...]] = {}
        while rows := await self._database.fetch("message_identities", number, last, _PAGE):
            page = []
            for uid, flags, date_ms, size, email_id, digest, thread in rows:
                ref = MessageRef(number, Uid(uid))
                if flags not in shared:
                    shared[flags] = tuple(flags.split())
                page.append(Former(ref, shared[flags], date_ms, size, email_id, digest, thread))
            yield page
            last = rows[-1][0]

    def carry_over(
        self, mailbox: MailboxNumber, pairs: Sequence[tuple[Former, IndexEntry]], expires_ms: int
    ) -> Unit[None]:
        """These former messages are those of the mailbox: the old ids stand for the new ones until they expire."""

        def script(_pending: Pending) -> Script[None]:
            places = [(*_pair(former.ref), mailbox, entry.uid) for former, entry in pairs]
            yield RunMany("message_alias_follow", places)
            yield RunMany("message_alias_insert", [(*place, expires_ms) for place in places])
            yield RunMany("text_follow", places)
            yield RunMany("message_forget", [_pair(former.ref) for former, _ in pairs])

        return script

    def close(self, number: MailboxNumber) -> Unit[None]:
        """Nothing is left to be carried over into a mailbox; what its former ones still hold is dropped."""

        def script(pending: Pending) -> Script[None]:
            yield Run("mailbox_purge_predecessors", (number,))
            pending.signal(PURGE_DUE)
            yield Run("mailbox_successor_changed", (number, None))

        return script

    async def place(self, ref: MessageRef) -> MessageRef | None:
        """Where a message of a former mailbox is now."""
        rows = await self._database.point("message_alias_get", ref.mailbox, ref.uid)
        return MessageRef(MailboxNumber(rows[0][0]), Uid(rows[0][1])) if rows else None

    async def carried_over(self, number: MailboxNumber) -> int:
        """How many messages of a mailbox have an id of a former one."""
        [(count,)] = await self._database.fetch("message_alias_count", number)
        return int(count)

    def expire(self, now_ms: int, limit: int) -> Unit[int]:
        """Forget old ids whose time is over, some at a time; returns how many."""

        def script(_pending: Pending) -> Script[int]:
            return len((yield Run("message_alias_expire", (now_ms, limit))))

        return script


def _pair(ref: MessageRef) -> tuple[int, int]:
    return ref.mailbox, ref.uid
