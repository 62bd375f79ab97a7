"""Bring the index of one mailbox in step with the server: each step commits the change, the cursor and the events."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence

from mailquay.backends.interface import FlagState, MailSession, OpenedMailbox
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import Mailbox, MailboxCursor
from mailquay.model.message import IndexEntry
from mailquay.services.index_changes import flags_seen, messages_gone
from mailquay.services.new_mail import NewMail
from mailquay.services.ports import Clock
from mailquay.services.presentation import mailbox_event_data
from mailquay.services.replacement import MailboxReplacement
from mailquay.services.sequences import sequence_set
from mailquay.services.sync_context import SyncContext
from mailquay.services.sync_events import announcement
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.repositories.fencing import check_fence
from mailquay.storage.repositories.replacements import Predecessor
from mailquay.storage.store import Store

_NEW_BATCH = 100
_UID_WINDOW = 1000
_WIDE_RANGE = 50 * _UID_WINDOW
_CHANGES_PER_COMMIT = 1000


class MailboxSync:
    """Catches up with one mailbox after the other; holds no state of its own between two calls."""

    def __init__(self, store: Store, new_mail: NewMail, clock: Clock, *, batch_size: int) -> None:
        self._store = store
        self._new_mail = new_mail
        self._clock = clock
        self._batch_size = batch_size
        self._replacement = MailboxReplacement(store, clock)

    def digest(self, entry: IndexEntry) -> int:
        """See NewMail.digest."""
        return self._new_mail.digest(entry)

    async def catch_up(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, *, scan_flags: bool
    ) -> Mailbox:
        """Open the mailbox and make the index agree with it; returns the mailbox as stored then.

        `scan_flags` compares all flags where the server keeps no mod-sequences. Raises what the session raises, and
        Fenced when another node owns the account now; every step that was committed before stays.
        """
        opened = await session.open_mailbox(mailbox.listing.path)
        if mailbox.uidvalidity not in (None, opened.uidvalidity or 0):
            mailbox = await self._replacement.begin(context, mailbox)
        if mailbox.cursor is None:
            predecessors = await self._store.replacements.predecessors(mailbox.number)
            if predecessors:
                return await self._take_over(session, context, mailbox, opened, predecessors)
            return await self._seed(session, context, mailbox, opened)
        return await self._follow(session, context, mailbox, opened, scan_flags=scan_flags)

    # -- first sync ----------------------------------------------------------------------------

    async def _seed(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """Index a mailbox for the first time. Its cursor comes last, so that after a crash the work starts over.

        News are put into the index together with their events, so that starting over announces none twice. What
        arrives meanwhile (at or above UIDNEXT) is left to the next round.
        """
        await self._commit(context, self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0))
        indexed = {uid for uid, _, _ in await self._store.messages.flags(mailbox.number)}
        known: list[IndexEntry] = []
        news: list[int] = []
        total, highest = 0, 0
        async for batch in session.fetch_identifiers("1:*") if opened.messages else _nothing():
            batch = [entry for entry in batch if opened.uidnext is None or entry.uid < opened.uidnext]
            total += len(batch)
            highest = max(highest, max((entry.uid for entry in batch), default=0))
            for entry in batch:
                if self._is_news(context, entry):
                    news.append(entry.uid)
                else:
                    known.append(entry)
            if len(known) >= self._batch_size:
                await self._commit(context, self._store.messages.put(mailbox.number, known))
                known = []
        await self._commit(context, self._store.messages.put(mailbox.number, known))
        await self._announce(session, context, mailbox, [uid for uid in news if uid not in indexed])
        uidnext = max(opened.uidnext or 1, highest + 1)
        cursor = MailboxCursor(
            uidvalidity=opened.uidvalidity or 0,
            uidnext=uidnext,
            highestmodseq=opened.highestmodseq,
            messages=total,
            initial_uidnext=uidnext,
            synced_at_ms=self._clock.now_ms(),
        )
        events = [] if context.silent else [self._reset_event(mailbox, opened)]
        move = self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch)
        await self._commit(context, move, events=events)
        return dataclasses.replace(mailbox, cursor=cursor, uidvalidity=cursor.uidvalidity)

    async def _take_over(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        predecessors: Sequence[Predecessor],
    ) -> Mailbox:
        """Index a mailbox that replaces a former one: its messages are the former ones, except where they are not."""
        await self._commit(context, self._store.mailboxes.begin(mailbox.number, opened.uidvalidity or 0))
        news = await self._replacement.carry_over(session, context, mailbox, opened, predecessors)
        await self._announce(session, context, mailbox, news)
        last = await self._store.messages.page(mailbox.number, limit=1, offset=0)
        uidnext = max(opened.uidnext or 1, last[0].uid + 1 if last else 1)
        cursor = MailboxCursor(
            uidvalidity=opened.uidvalidity or 0,
            uidnext=uidnext,
            highestmodseq=opened.highestmodseq,
            messages=await self._store.messages.count(mailbox.number),
            initial_uidnext=uidnext,
            synced_at_ms=self._clock.now_ms(),
        )
        kept = await self._store.replacements.carried_over(mailbox.number)
        events = [] if context.silent else [self._reset_event(mailbox, opened, predecessors[0], kept)]
        move = self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch)
        await self._commit(context, move, self._store.replacements.close(mailbox.number), events=events)
        return dataclasses.replace(mailbox, cursor=cursor, uidvalidity=cursor.uidvalidity)

    def _is_news(self, context: SyncContext, entry: IndexEntry) -> bool:
        """Mail found by an account's very first sync is news if it arrived since notifyFrom, to the second."""
        notify_from_ms = context.account.profile.notify_from_ms
        if not context.first_sync or entry.internal_date_ms is None or notify_from_ms is None:
            return False
        return entry.internal_date_ms // 1000 >= notify_from_ms // 1000

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

    async def _announce(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, uids: Sequence[int]
    ) -> None:
        unplaced = dataclasses.replace(mailbox, cursor=None)
        for start in range(0, len(uids), _NEW_BATCH):
            async for batch in session.fetch_envelopes(sequence_set(uids[start : start + _NEW_BATCH])):
                await self._store_new(session, context, unplaced, batch)

    # -- later -----------------------------------------------------------------------------------

    async def _follow(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        *,
        scan_flags: bool,
    ) -> Mailbox:
        cursor = mailbox.cursor
        if cursor is None:  # only the caller's check stands between
            raise ValueError("the mailbox has no cursor")
        mailbox = await self._fetch_new(session, context, mailbox, opened)
        flags: AsyncIterator[list[FlagState]] | None = None
        known_range = f"1:{cursor.uidnext - 1}"
        if cursor.uidnext > 1 and opened.highestmodseq is not None and cursor.highestmodseq is not None:
            if opened.highestmodseq != cursor.highestmodseq:
                flags = session.fetch_flags(known_range, changed_since=cursor.highestmodseq)
        elif cursor.uidnext > 1 and scan_flags:
            flags = session.fetch_flags(known_range)
        if flags is not None:
            async for batch in flags:
                await self._store_flags(context, mailbox, batch, cursor.uidnext)
        mailbox = await self._find_deleted(session, context, mailbox, opened)
        return await self._settle(context, mailbox, opened)

    async def _fetch_new(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """Fetch what has a UID at or above the cursor, in windows; the cursor moves with each batch."""
        cursor = mailbox.cursor
        if cursor is None or (opened.uidnext is not None and opened.uidnext <= cursor.uidnext):
            return mailbox
        first = cursor.uidnext
        last = opened.uidnext - 1 if opened.uidnext is not None else None
        if last is not None and last - first >= _WIDE_RANGE:
            # Some servers skip millions of UIDs at once: no windows over what is not there.
            beyond = sorted(uid for uid in await session.uids() if first <= uid <= last)
            for start in range(0, len(beyond), _NEW_BATCH):
                async for batch in session.fetch_envelopes(sequence_set(beyond[start : start + _NEW_BATCH])):
                    mailbox = await self._store_new(session, context, mailbox, batch)
            return mailbox
        while last is None or first <= last:
            end = "*" if last is None or last - first < _UID_WINDOW else str(first + _UID_WINDOW - 1)
            collected: list[IndexEntry] = []
            async for batch in session.fetch_envelopes(f"{first}:{end}"):
                # A range that ends in "*" names the last message even when its UID lies below the start.
                collected.extend(entry for entry in batch if entry.uid >= first)
            collected.sort(key=lambda entry: entry.uid)
            for start in range(0, len(collected), _NEW_BATCH):
                mailbox = await self._store_new(session, context, mailbox, collected[start : start + _NEW_BATCH])
            if end == "*":
                break
            first += _UID_WINDOW
        return mailbox

    async def _store_new(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        entries: Sequence[IndexEntry],
    ) -> Mailbox:
        """Commit new entries with their messageNew events, and move the cursor, where there is one, past them."""
        for batch in self._new_mail.batches(entries):
            mailbox = await self._store_batch(session, context, mailbox, batch)
        return mailbox

    async def _store_batch(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        entries: Sequence[IndexEntry],
    ) -> Mailbox:
        contents = {} if context.silent else await self._new_mail.contents(session, context.account, mailbox, entries)
        digests = [self._new_mail.digest(entry) for entry in entries]
        moved = mailbox.cursor
        if moved is not None:
            moved = dataclasses.replace(
                moved,
                uidnext=max(moved.uidnext, max(entry.uid for entry in entries) + 1),
                messages=moved.messages + len(entries),
                synced_at_ms=self._clock.now_ms(),
            )
        put = self._store.messages.put(mailbox.number, entries)
        now_ms = self._clock.now_ms()
        recognise = self._store.messages.recognise(context.account.number, digests, now_ms)

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(context.fence)
            yield from put(pending)
            fresh = yield from recognise(pending)
            if moved is not None:
                yield from self._store.mailboxes.update_cursor(mailbox.number, moved, context.fence.epoch)(pending)
            if context.silent:
                return
            for entry, first_time in zip(entries, fresh, strict=True):
                pending.append(
                    announcement(context.account.number, mailbox, entry, contents.get(entry.uid), first_time, now_ms)
                )

        await self._store.commit(script)
        return mailbox if moved is None else dataclasses.replace(mailbox, cursor=moved)

    async def _store_flags(
        self, context: SyncContext, mailbox: Mailbox, states: Sequence[FlagState], below_uid: int
    ) -> None:
        """Compare flags with the index and commit the differences with their messageUpdated events."""
        known = [state for state in states if state.uid < below_uid]
        if known:
            now_ms = self._clock.now_ms()
            await self._store.commit(
                flags_seen(self._store, context.fence, mailbox, known, now_ms, silent=context.silent)
            )

    async def _find_deleted(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """When the counts differ, compare the UIDs; messages unknown to us turn up here as well (new = not seen)."""
        if mailbox.cursor is None:
            return mailbox
        beyond = 0
        if opened.uidnext is not None and mailbox.cursor.uidnext > opened.uidnext:
            later = await self._store.messages.flags(mailbox.number, opened.uidnext)
            beyond = len(later)
        if mailbox.cursor.messages - beyond == opened.messages:
            return mailbox
        stored = await self._store.messages.flags(mailbox.number)
        present = set(await session.uids())
        gone = [uid for uid, _, _ in stored if uid not in present]
        for start in range(0, len(gone), _CHANGES_PER_COMMIT):
            chunk = gone[start : start + _CHANGES_PER_COMMIT]
            now_ms = self._clock.now_ms()
            await self._store.commit(
                messages_gone(self._store, context.fence, mailbox, chunk, now_ms, silent=context.silent)
            )
        missed = sorted(present - {uid for uid, _, _ in stored})
        cursor = dataclasses.replace(mailbox.cursor, messages=len(stored) - len(gone))
        mailbox = dataclasses.replace(mailbox, cursor=cursor)
        for start in range(0, len(missed), _NEW_BATCH):
            async for batch in session.fetch_envelopes(sequence_set(missed[start : start + _NEW_BATCH])):
                mailbox = await self._store_new(session, context, mailbox, batch)
        return mailbox

    async def _settle(self, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox) -> Mailbox:
        """Move the cursor to what the server said when the mailbox was opened."""
        if mailbox.cursor is None:
            return mailbox
        cursor = dataclasses.replace(
            mailbox.cursor,
            uidnext=max(mailbox.cursor.uidnext, opened.uidnext or 1),
            highestmodseq=opened.highestmodseq,
            synced_at_ms=self._clock.now_ms(),
        )
        await self._commit(context, self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch))
        return dataclasses.replace(mailbox, cursor=cursor)

    async def _commit(self, context: SyncContext, *units: Unit[None], events: Sequence[NewEvent] = ()) -> None:
        def script(pending: Pending) -> Script[None]:
            yield from check_fence(context.fence)
            for unit in units:
                yield from unit(pending)
            for event in events:
                pending.append(event)

        await self._store.commit(script)


async def _nothing() -> AsyncIterator[list[IndexEntry]]:
    return
    yield []
