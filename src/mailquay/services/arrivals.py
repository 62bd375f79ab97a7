"""Messages that are new in a mailbox: fetched in windows, and committed with their events and the cursor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Any

import structlog

from mailquay.backends.interface import MailSession, OpenedMailbox
from mailquay.model.event import NewEvent
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry, Uid
from mailquay.services.late_messages import NOT_GIVEN, Late, still_missing, wait_for_late
from mailquay.services.moves import have_arrived, known_digest
from mailquay.services.new_mail import NewMail, Payloads
from mailquay.services.ports import Clock
from mailquay.services.report_events import recorded
from mailquay.services.report_reading import Report, ReportReader
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import set_aside, with_turns
from mailquay.services.sync_context import SyncContext
from mailquay.services.sync_events import announcement, missing_event, unprocessable_event
from mailquay.services.text_reading import TextReader
from mailquay.services.threads import placed, threaded
from mailquay.storage.interface import Pending, Script, Unit, append_events
from mailquay.storage.repositories.fencing import check_fence, fenced
from mailquay.storage.repositories.texts import MessageWords
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_NEW_BATCH = 100
_UID_WINDOW = 1000
MOST_BATCHES = 16
"""A session hands out some hundred messages at a time, or fewer large ones: more batches are not held together."""
_WIDE_RANGE = 50 * _UID_WINDOW


class Arrivals:
    """Finds new messages of an open mailbox and announces them, each once."""

    def __init__(self, store: Store, new_mail: NewMail, texts: TextReader, reports: ReportReader, clock: Clock) -> None:
        self._store = store
        self._new_mail = new_mail
        self._texts = texts
        self._reports = reports
        self._clock = clock

    async def fetch(
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
            beyond = [uid for uid in await session.uids() if first <= uid <= last]
            return await self.announce(session, context, mailbox, beyond)
        # One window may wait for messages that are late, the others not: no news of the account come meanwhile.
        patient = True
        while last is None or first <= last:
            end = "*" if last is None or last - first < _UID_WINDOW else str(first + _UID_WINDOW - 1)
            collected = await _collected(session, f"{first}:{end}", first)
            if collected is None:
                # What is announced together has to fit into memory together. A range is too long to go through it
                # singly: it may have holes of any size.
                following = 2**32 if end == "*" else first + _UID_WINDOW
                there = [uid for uid in await session.uids() if first <= uid < following]
                mailbox = await self.announce(session, context, mailbox, there)
                if end == "*":
                    break
                first = following
                continue
            late = Late()
            if last is not None:
                until = min(last, first + _UID_WINDOW - 1)
                late = await wait_for_late(session, collected, first, until, patient=patient)
                patient = patient and not late.retries
            collected = sorted([*collected, *late.entries], key=lambda entry: entry.uid)
            for start in range(0, len(collected), _NEW_BATCH):
                mailbox = await self.store_new(session, context, mailbox, collected[start : start + _NEW_BATCH])
            if late.missing:
                mailbox = await self._set_aside_missing(context, mailbox, late)
            if end == "*":
                break
            first += _UID_WINDOW
        return mailbox

    async def _set_aside_missing(self, context: SyncContext, mailbox: Mailbox, late: Late) -> Mailbox:
        """Commit that the server has messages and does not give them; the cursor counts them and moves past them.

        They are tried again like those that cannot be read, and announced when they are there.
        """
        _log.warning("messages_missing", account=context.account.id, path=mailbox.listing.path, uids=late.missing)
        now_ms = self._clock.now_ms()
        events = [missing_event(mailbox, uid, late.retries, late.delay_ms, now_ms) for uid in late.missing]
        units: list[Unit[Any]] = [append_events([] if context.silent else events)]
        if not context.unindexed:
            entries = [IndexEntry(Uid(uid), error=NOT_GIVEN) for uid in late.missing]
            turns = with_turns(entries, now_ms)
            units.append(self._store.quarantine.put(mailbox.number, turns, owed=not context.silent, only_known=False))
        if mailbox.cursor is not None:
            cursor = dataclasses.replace(
                mailbox.cursor,
                uidnext=max(mailbox.cursor.uidnext, late.missing[-1] + 1),
                messages=mailbox.cursor.messages + len(late.missing),
            )
            units.append(self._store.mailboxes.update_cursor(mailbox.number, cursor, context.fence.epoch))
            mailbox = dataclasses.replace(mailbox, cursor=cursor)
        await self._store.commit(fenced(context.fence, *units))
        return mailbox

    async def announce(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, uids: Sequence[int]
    ) -> Mailbox:
        """Fetch these messages and commit them as new; the cursor, where there is one, moves past them."""
        start, count = 0, _NEW_BATCH
        while start < len(uids):
            chunk = uids[start : start + count]
            # As a whole: the cursor must not move past those that come last since the server had trouble with them.
            collected = await _collected(session, sequence_set(chunk), chunk[0], heavy=len(chunk) == 1)
            if collected is None:
                count = len(chunk) // 2
                continue
            collected.sort(key=lambda entry: entry.uid)
            mailbox = await self.store_new(session, context, mailbox, collected)
            if missing := await still_missing(session, chunk, collected):
                mailbox = await self._set_aside_missing(context, mailbox, Late(missing=missing))
            start, count = start + len(chunk), min(2 * count, _NEW_BATCH)
        return mailbox

    async def store_new(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> Mailbox:
        """Commit messages that were fetched as new; those that came with an error are announced once they are readable.

        Without an index nobody would think of them again: they are announced at once, by what is known of them.
        """
        for batch in self._new_mail.batches(entries):
            mailbox = await self._store_batch(session, context, mailbox, batch)
        return mailbox

    async def _store_batch(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> Mailbox:
        account = context.account.number
        aside = [] if context.unindexed else [entry for entry in entries if entry.error is not None]
        readable = [entry for entry in entries if entry.error is None or context.unindexed]
        payloads = Payloads()
        reports: dict[int, Report] = {}
        if not context.silent:
            reports = await self._reports.read(session, context, mailbox, readable)
            payloads = await self._new_mail.payloads(session, context.account, mailbox, readable)
        texts: list[MessageWords] = []
        if context.account.profile.keeps_texts and not context.silent:
            texts = await self._texts.read(session, readable, payloads.bodies)
        now_ms = self._clock.now_ms()
        moved = mailbox.cursor
        if moved is not None:
            moved = dataclasses.replace(
                moved,
                uidnext=max(moved.uidnext, max(entry.uid for entry in entries) + 1),
                messages=moved.messages + len(entries),
                synced_at_ms=now_ms,
            )
        place = placed(self._store, context.account, mailbox.number, readable)
        digests = [known_digest(account, entry) for entry in readable]
        recognise = self._store.messages.recognise(account, digests, now_ms)
        quarantine = set_aside(self._store, account, mailbox, aside, now_ms, silent=context.silent, owed=True)

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(context.fence)
            threads = yield from place(pending)
            if moved is None or not context.unindexed:
                complete = len(texts) == len(readable) and all(entry.envelope is not None for entry in readable)
                put = self._store.messages.put(mailbox.number, readable, threads, texts_follow=complete)
                yield from put(pending)
                yield from self._store.texts.put(mailbox.number, texts)(pending)
            fresh = yield from recognise(pending)
            if moved is not None:
                yield from self._store.mailboxes.update_cursor(mailbox.number, moved, context.fence.epoch)(pending)
            if not context.silent:
                for entry, first_time in zip(threaded(readable, threads), fresh, strict=True):
                    report = reports.get(entry.uid)
                    for event in _announced(mailbox, entry, payloads, report, first_time, now_ms):
                        pending.append(event)
                    if report is not None:
                        yield from recorded(self._store, account, mailbox, entry, report, now_ms)(pending)
            yield from quarantine(pending)
            if not context.unindexed and not context.silent:
                known = [entry for entry, first_time in zip(readable, fresh, strict=True) if not first_time]
                yield from have_arrived(self._store, account, mailbox, known, now_ms)(pending)

        await self._store.commit(script)
        return mailbox if moved is None else dataclasses.replace(mailbox, cursor=moved)


def _announced(
    mailbox: Mailbox, entry: IndexEntry, payloads: Payloads, report: Report | None, first_time: bool, now_ms: int
) -> Iterator[NewEvent]:
    """A messageNew; whoever gets no more than identifiers is told why."""
    content = payloads.contents.get(entry.uid)
    yield announcement(mailbox.account, mailbox, entry, content, first_time, now_ms, report)
    reason = entry.error or payloads.unreadable.get(entry.uid)
    if reason is not None:
        yield unprocessable_event(mailbox.account, mailbox, entry.uid, reason, now_ms)


async def _collected(session: MailSession, uids: str, first: int, *, heavy: bool = False) -> list[IndexEntry] | None:
    """Messages with a UID from `first` on, or None when they are too much to be held together unless `heavy`."""
    collected: list[IndexEntry] = []
    batches = 0
    async with aclosing(session.fetch_envelopes(uids)) as envelopes:
        async for batch in envelopes:
            # A range that ends in "*" names the last message even when its UID lies below the start.
            collected += [entry for entry in batch if entry.uid >= first]
            batches += 1
            if batches > MOST_BATCHES and not heavy:
                return None
    return collected
