"""A mailbox whose UIDVALIDITY changed: its messages are found again, and only real differences become events."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import structlog

from mailquay.backends.interface import FlagState, MailSession, OpenedMailbox
from mailquay.model.mailbox import Mailbox, MailboxNumber
from mailquay.model.message import IndexEntry, MessageMarks
from mailquay.services.former_messages import FormerMessages
from mailquay.services.index_changes import flags_seen, messages_gone
from mailquay.services.ports import Clock
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import listed
from mailquay.services.sync_context import MANY_GONE, LossInDoubt, SyncContext
from mailquay.services.sync_events import updated_event
from mailquay.services.threads import placed
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.repositories.fencing import check_fence, fenced
from mailquay.storage.repositories.replacements import Former, Predecessor
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_BATCH = 500
_CHANGES_PER_COMMIT = 1000
_OLD_IDS_MS = 30 * 24 * 3600 * 1000


class MailboxReplacement:
    """Carries a mailbox over to its new number, in steps that each stand: after a crash the rest is carried over."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def begin(self, context: SyncContext, mailbox: Mailbox, opened: OpenedMailbox) -> Mailbox:
        """UIDs mean nothing any more (RFC 9051 §2.3.1.1): the mailbox gets another number, its own is kept aside."""
        replace = self._store.replacements.replace(
            mailbox.account,
            mailbox.number,
            mailbox.listing,
            opened.uidvalidity or 0,
            self._clock.now_ms(),
            context.fence.epoch,
        )
        [number] = await self._store.commit(fenced(context.fence, replace))
        _log.warning("mailbox_replaced", account=context.account.id, path=mailbox.listing.path)
        return dataclasses.replace(mailbox, number=number, cursor=None, uidvalidity=None, announced_below=None)

    async def carry_over(
        self,
        session: MailSession,
        context: SyncContext,
        mailbox: Mailbox,
        opened: OpenedMailbox,
        predecessors: Sequence[Predecessor],
        *,
        losses_believed: bool,
    ) -> list[int]:
        """Find the former messages among those of the open mailbox, and index them; returns the UIDs of new ones.

        Flags that differ become messageUpdated, what is gone messageDeleted, under its former id. Raises LossInDoubt,
        unless `losses_believed`, when the server lists messages and does not give most of them: none is gone then.
        """
        formers = FormerMessages(context.account.number)
        for predecessor in predecessors:
            async for page in self._store.replacements.formers(predecessor.number):
                formers.add(page)
        indexed = {uid for uid, _, _ in await self._store.messages.flags(mailbox.number)}
        if indexed:
            await self._compare_flags(session, context, mailbox, max(indexed))
        uids = [uid for uid in await session.uids() if uid not in indexed and uid < (opened.uidnext or 2**32)]
        synced_at_ms = max((one.synced_at_ms or 0 for one in predecessors), default=0)
        unknown: list[IndexEntry] = []
        given = 0
        for start in range(0, len(uids), _BATCH):
            async for batch in session.fetch_envelopes(sequence_set(uids[start : start + _BATCH])):
                given += len(batch)
                others = await self._store_found(context, mailbox, batch, formers)
                # Before the first sync was over, what we had not seen may have been there all the time.
                unknown += others if synced_at_ms else await self._store_old(context, mailbox, others)
        late = len(uids) - given
        if late >= MANY_GONE and late > given and not losses_believed:
            raise LossInDoubt(mailbox.listing.path, late, len(uids))
        await self._tell_gone(context, mailbox, formers)
        kept = len(indexed) + len(uids) - len(unknown)
        if len(unknown) <= kept and all(formers.recognisable(former) for former in formers.left()):
            return [entry.uid for entry in unknown]
        return await self._news(context, mailbox, synced_at_ms, unknown)

    async def _compare_flags(self, session: MailSession, context: SyncContext, mailbox: Mailbox, last: int) -> None:
        """What is indexed already was read some time ago: the mod-sequence that we go on from says nothing of it."""
        async for states in session.fetch_flags(f"1:{last}"):
            now_ms = self._clock.now_ms()
            await self._store.commit(
                flags_seen(self._store, context.fence, mailbox, states, now_ms, silent=context.silent)
            )

    async def _store_old(
        self, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> list[IndexEntry]:
        """Index without an event what a first sync would not tell; returns the rest."""
        old = [entry for entry in entries if not context.is_news(entry)]
        await self._store.commit(fenced(context.fence, self._listed(context, mailbox, old)))
        return [entry for entry in entries if context.is_news(entry)]

    def _listed(self, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]) -> Unit[None]:
        now_ms = self._clock.now_ms()
        return listed(self._store, context.account.number, mailbox, entries, now_ms, silent=context.silent)

    async def _store_found(
        self, context: SyncContext, mailbox: Mailbox, batch: Sequence[IndexEntry], formers: FormerMessages
    ) -> list[IndexEntry]:
        """Index those that are known; returns the others, without what is of no use later."""
        found: list[tuple[Former, IndexEntry]] = []
        unknown: list[IndexEntry] = []
        for entry in batch:
            # Of one that cannot be read so little may be known that it looks like any other.
            former = formers.take(entry) if entry.error is None or entry.size_bytes is not None else None
            if former is None:
                unknown.append(dataclasses.replace(entry, envelope=None, structure=None, references=()))
            else:
                found.append((former, entry))
        now_ms = self._clock.now_ms()
        carry_over = self._store.replacements.carry_over(mailbox.number, found, now_ms + _OLD_IDS_MS)
        before = {int(entry.uid): former.thread for former, entry in found if former.thread is not None}
        entries = [entry for _, entry in found]
        place = placed(self._store, context.account, mailbox.number, entries, before)

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(context.fence)
            threads = yield from place(pending)
            account, silent = context.account.number, context.silent
            put = listed(self._store, account, mailbox, entries, now_ms, silent=silent, threads=threads)
            yield from put(pending)
            yield from carry_over(pending)
            for former, entry in found:
                state = FlagState(entry.uid, entry.flags, entry.modseq, entry.labels)
                event = updated_event(mailbox.account, mailbox, state, MessageMarks(former.flags), now_ms)
                if event is not None and not context.silent:
                    pending.append(event)

        if found:
            await self._store.commit(script)
        return unknown

    async def _tell_gone(self, context: SyncContext, mailbox: Mailbox, formers: FormerMessages) -> None:
        gone: dict[MailboxNumber, list[int]] = {}
        for former in formers.left():
            if formers.recognisable(former):
                gone.setdefault(former.ref.mailbox, []).append(former.ref.uid)
        for number, uids in gone.items():
            before = dataclasses.replace(mailbox, number=number)
            for start in range(0, len(uids), _CHANGES_PER_COMMIT):
                chunk = uids[start : start + _CHANGES_PER_COMMIT]
                now_ms = self._clock.now_ms()
                await self._store.commit(
                    messages_gone(self._store, context.fence, before, chunk, now_ms, silent=context.silent)
                )

    async def _news(
        self,
        context: SyncContext,
        mailbox: Mailbox,
        synced_at_ms: int,
        unknown: Sequence[IndexEntry],
    ) -> list[int]:
        """Which of the unknown messages are news; what is older than the last sync is indexed without an event.

        It may be one of those that could not be recognised (their envelopes had not been read yet). And where most are
        unknown another mailbox stands at the path, a large one perhaps: its old mail is no news.
        """
        # Received dates have no fractions: what came in the second of the last sync may have come after it.
        old = [entry for entry in unknown if (entry.internal_date_ms or 0) // 1000 < synced_at_ms // 1000]
        for start in range(0, len(old), _CHANGES_PER_COMMIT):
            part = old[start : start + _CHANGES_PER_COMMIT]
            await self._store.commit(fenced(context.fence, self._listed(context, mailbox, part)))
        indexed = {entry.uid for entry in old}
        return [entry.uid for entry in unknown if entry.uid not in indexed]
