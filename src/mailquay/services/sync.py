"""Bring the index of one mailbox in step with the server: each step commits the change, the cursor and the events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mailquay.backends.interface import FlagState, MailSession, OpenedMailbox
from mailquay.model.mailbox import Mailbox, MailboxCursor, MailboxEvidence, Verification
from mailquay.model.mailbox_state import KnownState, UidRanges
from mailquay.model.message import IndexEntry
from mailquay.services.arrivals import Arrivals
from mailquay.services.bounce_matching import BounceMatching
from mailquay.services.first_sync import FirstSync
from mailquay.services.index_changes import flags_seen, messages_gone
from mailquay.services.new_mail import NewMail
from mailquay.services.ports import Clock
from mailquay.services.replacement import MailboxReplacement
from mailquay.services.report_reading import ReportReader
from mailquay.services.retries import Retries
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import completed
from mailquay.services.sync_context import MANY_GONE, LossInDoubt, SyncContext
from mailquay.services.sync_plan import FlagSource, difference, plan_sync, windows, without
from mailquay.services.text_reading import TextReader
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_CHANGES_PER_COMMIT = 1000
_SCAN_WINDOW = 5000
_RANGES_LOOKED_UP = 50


class MailboxSync:
    """Catches up with one mailbox after the other; holds no state between two calls that a restart would miss."""

    def __init__(self, store: Store, new_mail: NewMail, texts: TextReader, clock: Clock, *, batch_size: int) -> None:
        self._store = store
        self._texts = texts
        reports = ReportReader(BounceMatching(store, clock))
        self._arrivals = Arrivals(store, new_mail, texts, reports, clock)
        self._retries = Retries(store, self._arrivals, clock)
        self._clock = clock
        self._replacement = MailboxReplacement(store, clock)
        self._first = FirstSync(store, self._arrivals, self._replacement, clock, batch_size=batch_size)

    async def catch_up(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        *,
        scan_flags: bool,
        verify: bool = False,
        losses_believed: bool = False,
    ) -> Mailbox:
        """Open the mailbox and make the index agree with it; returns the mailbox as stored then.

        `scan_flags` compares all flags where the server keeps no mod-sequences, `verify` all UIDs in any case. Raises
        what the session raises, LossInDoubt unless `losses_believed`, and Fenced when another node owns the account
        now; every step that was committed before stays.
        """
        opened = await session.open_mailbox(mailbox.listing.path, since=_known_state(context, mailbox))
        if mailbox.uidvalidity not in (None, opened.uidvalidity or 0):
            mailbox = await self._replacement.begin(context, mailbox, opened)
        if mailbox.cursor is None:
            predecessors = await self._store.replacements.predecessors(mailbox.number)
            if context.unindexed:
                return await self._first.seed_unindexed(session, context, mailbox, opened, predecessors)
            if predecessors:
                return await self._first.take_over(
                    session, context, mailbox, opened, predecessors, losses_believed=losses_believed
                )
            return await self._first.seed(session, context, mailbox, opened)
        if context.unindexed:
            return await self._follow_unindexed(session, context, mailbox, opened)
        if mailbox.cursor.messages and not await self._store.messages.uids(mailbox.number, limit=1):
            return await self._index_again(session, context, mailbox, opened)
        return await self._follow(
            session,
            context,
            mailbox,
            mailbox.cursor,
            opened,
            scan_flags=scan_flags,
            verify=verify,
            losses_believed=losses_believed,
        )

    async def begin_empty(self, context: SyncContext, empty: Sequence[tuple[Mailbox, MailboxEvidence]]) -> None:
        """Begin to follow mailboxes without a message, as their counters show, in one transaction."""
        if empty:
            await self._first.begin_empty(context, empty)

    async def complete(self, session: MailSession, context: SyncContext, mailbox: Mailbox, uids: Sequence[int]) -> None:
        """Read the envelopes of messages of the open mailbox that are in the index without them.

        Raises what the session raises.
        """
        async for batch in session.fetch_envelopes(sequence_set(uids)):
            now_ms = self._clock.now_ms()
            unit = completed(self._store, context.account, mailbox, batch, now_ms, silent=context.silent)
            await self._store.commit(fenced(context.fence, unit))

    async def complete_texts(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> None:
        """Read the texts of messages of the open mailbox that are in the index without them.

        Raises what the session raises.
        """
        texts = await self._texts.read(session, entries)
        await self._store.commit(fenced(context.fence, self._store.texts.put(mailbox.number, texts)))

    # -- later -----------------------------------------------------------------------------------

    async def _follow(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        cursor: MailboxCursor,
        opened: OpenedMailbox,
        *,
        scan_flags: bool,
        verify: bool,
        losses_believed: bool,
    ) -> Mailbox:
        plan = plan_sync(cursor, opened, scan_flags=scan_flags, verify=verify)
        if plan.new:
            mailbox = await self._arrivals.fetch(session, context, mailbox, opened)
        strangers = False
        if plan.told is not None:
            strangers = await self._store_flags(context, mailbox, plan.told.changed, cursor.uidnext)
            gone = await self._among(mailbox, plan.told.vanished)
            mailbox = await self._store_gone(context, mailbox, gone)
        if plan.flags is FlagSource.SINCE:
            known = f"1:{cursor.uidnext - 1}"
            async for batch in session.fetch_flags(known, changed_since=cursor.highestmodseq):
                strangers |= await self._store_flags(context, mailbox, batch, cursor.uidnext)
        elif plan.flags is FlagSource.SCAN:
            uids = await self._store.messages.uids(mailbox.number, last=cursor.uidnext - 1)
            held = frozenset(uids)
            broken = await self._store.quarantine.unidentified(mailbox.number)
            for window in windows(uids, _SCAN_WINDOW):
                if chosen := without(*window, broken):
                    async for batch in session.fetch_flags(chosen):
                        strangers |= await self._store_flags(context, mailbox, batch, cursor.uidnext, held)
        mailbox, verdict = await self._compare(
            session, context, mailbox, opened, verify=plan.compare or strangers, losses_believed=losses_believed
        )
        mailbox = await self._settle(context, mailbox, opened, verdict)
        await self._retries.run(session, context, mailbox, verify=verify)
        return mailbox

    async def _store_flags(
        self,
        context: SyncContext,
        mailbox: Mailbox,
        states: Sequence[FlagState],
        below_uid: int,
        held: frozenset[int] | None = None,
    ) -> bool:
        """Compare flags with the index and commit the differences with their messageUpdated events.

        Returns whether some are of messages that the index does not hold: some servers give old UIDs to new messages.
        `held` are those that it holds, where they are known.
        """
        strangers = False
        known = [state for state in states if state.uid < below_uid]
        for start in range(0, len(known), _CHANGES_PER_COMMIT):
            chunk = known[start : start + _CHANGES_PER_COMMIT]
            now_ms = self._clock.now_ms()
            changed = await self._store.commit(
                flags_seen(self._store, context.fence, mailbox, chunk, now_ms, silent=context.silent)
            )
            if changed < len(chunk) and not strangers:
                uids = {state.uid for state in chunk}
                strangers = not uids <= (await self._held(mailbox, uids) if held is None else held)
        return strangers

    async def _held(self, mailbox: Mailbox, uids: Iterable[int]) -> frozenset[int]:
        """Which of these messages the index holds."""
        return frozenset(entry.uid for entry in await self._store.messages.several(mailbox.number, sorted(uids)))

    async def _among(self, mailbox: Mailbox, vanished: UidRanges) -> list[int]:
        """Which messages of the index are in the ranges; a few ranges are looked up, many are compared with all."""
        if len(vanished.ranges) > _RANGES_LOOKED_UP:
            return vanished.among(await self._store.messages.uids(mailbox.number))
        gone: list[int] = []
        for first, last in vanished.ranges:
            gone += await self._store.messages.uids(mailbox.number, first, last)
        return gone

    async def _store_gone(self, context: SyncContext, mailbox: Mailbox, gone: Sequence[int]) -> Mailbox:
        """Commit that messages are gone, with their messageDeleted events; the cursor counts them down."""
        for start in range(0, len(gone), _CHANGES_PER_COMMIT):
            chunk = gone[start : start + _CHANGES_PER_COMMIT]
            now_ms = self._clock.now_ms()
            dropped = await self._store.commit(
                messages_gone(self._store, context.fence, mailbox, chunk, now_ms, silent=context.silent)
            )
            if mailbox.cursor is not None:
                cursor = dataclasses.replace(mailbox.cursor, messages=mailbox.cursor.messages - dropped)
                mailbox = dataclasses.replace(mailbox, cursor=cursor)
        return mailbox

    async def _compare(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        *,
        verify: bool,
        losses_believed: bool,
    ) -> tuple[Mailbox, Verification | None]:
        """When the counts differ, or to verify that they agree for good reason, compare the UIDs and repair the index.

        The index is read first: what is changed meanwhile through us is then neither missed nor gone.
        """
        cursor = mailbox.cursor
        if cursor is None:
            return mailbox, None
        beyond = 0
        if opened.uidnext is not None and cursor.uidnext > opened.uidnext:
            beyond = len(await self._store.messages.uids(mailbox.number, opened.uidnext))
        if cursor.messages - beyond == opened.messages and not verify:
            return mailbox, None
        known = await self._store.messages.uids(mailbox.number)
        present = await session.uids()
        gone, missed = difference(known, present)
        if len(gone) >= MANY_GONE and 2 * len(gone) > len(known) and not losses_believed:
            raise LossInDoubt(mailbox.listing.path, len(gone), len(known))
        mailbox = await self._store_gone(context, mailbox, gone)
        counted = dataclasses.replace(cursor, messages=len(known) - len(gone))
        mailbox = await self._arrivals.announce(session, context, dataclasses.replace(mailbox, cursor=counted), missed)
        below = opened.uidnext or 2**32
        verdict = Verification(self._clock.now_ms(), len(present), sum(uid < below for uid in missed))
        return mailbox, verdict

    async def _settle(
        self, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox, verdict: Verification | None = None
    ) -> Mailbox:
        """Move the cursor to what the server said when the mailbox was opened."""
        if mailbox.cursor is None:
            return mailbox
        cursor = dataclasses.replace(
            mailbox.cursor,
            uidnext=max(mailbox.cursor.uidnext, opened.uidnext or 1),
            highestmodseq=opened.highestmodseq,
            synced_at_ms=self._clock.now_ms(),
        )
        units = [self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch)]
        if verdict is not None:
            units.append(self._store.mailboxes.record_verification(mailbox.number, verdict))
        await self._store.commit(fenced(context.fence, *units))
        return dataclasses.replace(mailbox, cursor=cursor)

    # -- without an index, and back --------------------------------------------------------------

    async def _follow_unindexed(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """Announce what is new, and no more."""
        await self._first.drop_index(context, mailbox)
        mailbox = await self._arrivals.fetch(session, context, mailbox, opened)
        if mailbox.cursor is not None:
            mailbox = dataclasses.replace(mailbox, cursor=dataclasses.replace(mailbox.cursor, messages=opened.messages))
        return await self._settle(context, mailbox, opened)

    async def _index_again(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox
    ) -> Mailbox:
        """The mailbox is followed but not indexed: what is new is announced, then all of it is indexed silently."""
        mailbox = await self._arrivals.fetch(session, context, mailbox, opened)
        await self._store.commit(fenced(context.fence, self._store.mailboxes.lose_sync(mailbox.number)))
        below = mailbox.cursor.uidnext if mailbox.cursor is not None else None
        mailbox = dataclasses.replace(mailbox, cursor=None, announced_below=below)
        return await self._first.seed(session, dataclasses.replace(context, first_sync=False), mailbox, opened)


def _known_state(context: SyncContext, mailbox: Mailbox) -> KnownState | None:
    """What the server may tell the difference to."""
    cursor = mailbox.cursor
    if cursor is None or cursor.highestmodseq is None or not cursor.uidvalidity or context.unindexed:
        return None
    return KnownState(cursor.uidvalidity, cursor.highestmodseq)
