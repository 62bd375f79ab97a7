"""Indexing a mailbox for the first time, or following it without an index; a replaced one takes its former over."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from mailquay.backends.interface import MailSession, OpenedMailbox, SearchTerms
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import Mailbox, MailboxCursor, MailboxEvidence
from mailquay.model.message import IndexEntry
from mailquay.services.arrivals import MOST_BATCHES, Arrivals
from mailquay.services.ports import Clock
from mailquay.services.presentation import mailbox_event_data
from mailquay.services.replacement import MailboxReplacement
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import listed
from mailquay.services.sync_context import SyncContext
from mailquay.storage.interface import Unit, append_events
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.repositories.replacements import Predecessor
from mailquay.storage.store import Store

_DROPPED_PER_COMMIT = 1000


class FirstSync:
    """Ends with the cursor in place; after a crash before that, the work starts over and announces nothing twice."""

    def __init__(
        self, store: Store, arrivals: Arrivals, replacement: MailboxReplacement, clock: Clock, *, batch_size: int
    ) -> None:
        self._store = store
        self._arrivals = arrivals
        self._replacement = replacement
        self._clock = clock
        self._batch_size = batch_size

    async def seed(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """Index a mailbox for the first time. Its cursor comes last, so that after a crash the work starts over.

        News are put into the index together with their events, so that starting over announces none twice. What
        arrives meanwhile (at or above UIDNEXT) is left to the next round.
        """
        begin: list[Unit[None]] = [self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0)]
        indexed = set(await self._store.messages.uids(mailbox.number))
        known: list[IndexEntry] = []
        news: list[int] = []
        total, highest, batches = 0, 0, 0
        async for batch in session.fetch_identifiers("1:*") if opened.messages else _nothing():
            batch = [entry for entry in batch if opened.uidnext is None or entry.uid < opened.uidnext]
            total += len(batch)
            highest = max(highest, max((entry.uid for entry in batch), default=0))
            for entry in batch:
                if entry.uid not in indexed and _is_news(context, mailbox, entry):
                    news.append(entry.uid)
                else:
                    known.append(entry)
            batches += 1
            # Batches of few messages are large ones.
            if len(known) >= self._batch_size or batches >= MOST_BATCHES:
                await self._store.commit(fenced(context.fence, *begin, self._listed(context, mailbox, known)))
                begin, known, batches = [], [], 0
        rest = [*begin, self._listed(context, mailbox, known)]
        if news or indexed:
            await self._store.commit(fenced(context.fence, *rest))
            rest = []
        await self._arrivals.announce(session, context, dataclasses.replace(mailbox, cursor=None), news)
        if indexed:
            # What was indexed before a crash may be gone by now: counts that differ bring that to light.
            total = await self._store.messages.count(mailbox.number)
        return await self._placed(context, mailbox, opened, max(opened.uidnext or 1, highest + 1), total, first=rest)

    def _listed(self, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]) -> Unit[None]:
        now_ms = self._clock.now_ms()
        return listed(self._store, context.account.number, mailbox, entries, now_ms, silent=context.silent)

    async def seed_unindexed(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        predecessors: Sequence[Predecessor],
    ) -> Mailbox:
        """Begin to follow a mailbox without an index; what was announced is noted there until the cursor is placed.

        Without an index nothing tells which messages of a replaced mailbox are new: it is begun silently.
        """
        if predecessors:
            context = dataclasses.replace(context, first_sync=False)
        await self._store.commit(
            fenced(context.fence, self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0))
        )
        uidnext = opened.uidnext or max(await session.uids(), default=0) + 1
        noted = set(await self._store.messages.uids(mailbox.number))
        news: list[int] = []
        candidates = await self._candidates(session, context, mailbox)
        async for batch in session.fetch_identifiers(sequence_set(candidates)) if candidates else _nothing():
            fresh = (entry for entry in batch if entry.uid < uidnext and _is_news(context, mailbox, entry))
            news += [entry.uid for entry in fresh if entry.uid not in noted]
        await self._arrivals.announce(session, context, dataclasses.replace(mailbox, cursor=None), news)
        before = predecessors[0] if predecessors else None
        mailbox = await self._placed(context, mailbox, opened, uidnext, opened.messages, before)
        await self.drop_index(context, mailbox)
        return mailbox

    async def _candidates(self, session: MailSession, context: SyncContext, mailbox: Mailbox) -> list[int]:
        """Messages that may be news: those of the days since notifyFrom, those above what was announced."""
        if mailbox.announced_below is not None:
            return [uid for uid in await session.uids() if uid >= mailbox.announced_below]
        notify_from_ms = context.account.profile.notify_from_ms
        if not context.first_sync or notify_from_ms is None:
            return []
        # The server's days are those of a time zone that we do not know.
        day = datetime.fromtimestamp(notify_from_ms / 1000, UTC).date() - timedelta(days=1)
        return await session.search(SearchTerms(dates={"since": day.isoformat()}))

    async def _placed(
        self,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        uidnext: int,
        messages: int,
        before: Predecessor | None = None,
        *,
        first: Sequence[Unit[None]] = (),
    ) -> Mailbox:
        """Place the cursor at the end of a first sync; nothing is carried over from former mailboxes any more.

        `first` is what is still to be stored before, in the same transaction.
        """
        cursor = self._first_cursor(opened, uidnext, messages)
        units = [*first, *self._placing(context, mailbox, opened, cursor, before)]
        if before is not None:
            units.append(self._store.replacements.close(mailbox.number))
        await self._store.commit(fenced(context.fence, *units))
        return dataclasses.replace(mailbox, cursor=cursor, uidvalidity=cursor.uidvalidity)

    def _placing(
        self,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        cursor: MailboxCursor,
        before: Predecessor | None = None,
    ) -> list[Unit[None]]:
        events = [] if context.silent else [self._reset_event(mailbox, opened, before)]
        update = self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch)
        return [update, append_events(events)]

    async def begin_empty(self, context: SyncContext, empty: Sequence[tuple[Mailbox, MailboxEvidence]]) -> None:
        """Begin to follow mailboxes in which there is no message, as their counters show, in one transaction."""
        units: list[Unit[None]] = []
        for mailbox, counters in empty:
            opened = OpenedMailbox(
                mailbox.listing.path, counters.uidvalidity, counters.uidnext, 0, counters.highestmodseq
            )
            units.append(self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0))
            units += self._placing(context, mailbox, opened, self._first_cursor(opened, opened.uidnext or 1, 0))
        await self._store.commit(fenced(context.fence, *units))

    def _first_cursor(self, opened: OpenedMailbox, uidnext: int, messages: int) -> MailboxCursor:
        return MailboxCursor(
            uidvalidity=opened.uidvalidity or 0,
            uidnext=uidnext,
            highestmodseq=opened.highestmodseq,
            messages=messages,
            initial_uidnext=uidnext,
            synced_at_ms=self._clock.now_ms(),
        )

    async def take_over(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        predecessors: Sequence[Predecessor],
        *,
        losses_believed: bool,
    ) -> Mailbox:
        """Index a mailbox that replaces a former one: its messages are the former ones, except where they are not."""
        await self._store.commit(
            fenced(context.fence, self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0))
        )
        news = await self._replacement.carry_over(
            session, context, mailbox, opened, predecessors, losses_believed=losses_believed
        )
        await self._arrivals.announce(session, context, dataclasses.replace(mailbox, cursor=None), news)
        last = await self._store.messages.page(mailbox.number, limit=1, offset=0)
        uidnext = max(opened.uidnext or 1, last[0].uid + 1 if last else 1)
        cursor = self._first_cursor(opened, uidnext, await self._store.messages.count(mailbox.number))
        kept = await self._store.replacements.carried_over(mailbox.number)
        events = [] if context.silent else [self._reset_event(mailbox, opened, predecessors[0], kept)]
        move = self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch)
        await self._store.commit(
            fenced(context.fence, move, self._store.replacements.close(mailbox.number), append_events(events))
        )
        return dataclasses.replace(mailbox, cursor=cursor, uidvalidity=cursor.uidvalidity)

    def _reset_event(
        self, mailbox: Mailbox, opened: OpenedMailbox, before: Predecessor | None = None, kept: int = 0
    ) -> NewEvent:
        data = mailbox_event_data(mailbox.listing) | {
            "uidValidity": str(opened.uidvalidity) if opened.uidvalidity else False,
            "prevUidValidity": str(before.uidvalidity) if before is not None else False,
            "reason": "uidValidityChange" if before is not None else "syncStateLost",
        }
        if before is not None:
            data["messagesKept"] = kept
        listing = mailbox.listing
        return NewEvent(
            mailbox.account,
            EventName.MAILBOX_RESET,
            self._clock.now_ms(),
            data,
            None,
            listing.path,
            listing.special_use,
        )

    async def drop_index(self, context: SyncContext, mailbox: Mailbox) -> None:
        """Forget what is indexed of a mailbox that goes without, in steps."""
        while uids := await self._store.messages.uids(mailbox.number, limit=_DROPPED_PER_COMMIT):
            await self._store.commit(fenced(context.fence, self._store.messages.drop(mailbox.number, uids)))


def _is_news(context: SyncContext, mailbox: Mailbox, entry: IndexEntry) -> bool:
    """A mailbox that is indexed anew holds news where nothing was announced before."""
    if mailbox.announced_below is not None:
        return entry.uid >= mailbox.announced_below
    return context.is_news(entry)


async def _nothing() -> AsyncIterator[list[IndexEntry]]:
    return
    yield []
