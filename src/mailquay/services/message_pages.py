"""Pages of messages: from the index while it is current, else from the server; and finding what an id names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mailquay.backends.interface import MailSession, OpenedMailbox
from mailquay.errors import CommandRejected, MessageNotFound, NotOperational, Unavailable
from mailquay.model.account import Account, AccountState
from mailquay.model.mailbox import ListedMailbox, Mailbox
from mailquay.model.message import IndexEntry, MessageRef
from mailquay.services import identifiers, presentation
from mailquay.services.mailbox_listing import follows_path, is_mere_label
from mailquay.services.mailboxes import MailboxService
from mailquay.services.places import place_of
from mailquay.services.ports import Clock, MailAccess
from mailquay.services.report_events import with_bounces
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import completed
from mailquay.services.threads import looked_up
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_FRESH_MS = 1000


class MessagePages:
    """Lists messages of mailboxes. Ids of other accounts' messages are unknown ids here."""

    def __init__(
        self,
        store: Store,
        access: MailAccess,
        mailboxes: MailboxService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._access = access
        self._mailboxes = mailboxes
        self._clock = clock

    # -- pages -----------------------------------------------------------------------------------

    async def needs_owner(self, account: Account, path: str) -> bool:
        """Whether a page of this mailbox can be answered only by the node that owns the account."""
        profile = account.profile
        if not profile.keeps_envelopes or profile.sync_from_ms is not None:
            # What a page shows may have to be fetched.
            return True
        return not self._fresh(account, await self._mailboxes.find(account, path))

    def _fresh(self, account: Account, mailbox: Mailbox) -> bool:
        """Whether the index is known to be what the server has now: watched, or looked at within the last second."""
        if account.status.state is not AccountState.CONNECTED or not mailbox.current or not account.profile.indexed:
            return False
        if mailbox.evidence_at_ms == 0:
            return False
        if _is_watched(account, mailbox.listing) and follows_path(account.profile, mailbox.listing):
            # Where all mailboxes are listened to at once, nothing is made of the news of those that nobody follows.
            return True
        return self._clock.now_ms() - mailbox.evidence_at_ms < _FRESH_MS

    async def page(
        self, account: Account, *, path: str, page: int, page_size: int, timeout_seconds: float
    ) -> dict[str, Any]:
        """One page, newest first.

        Raises MailboxNotFound, NotOperational, Unavailable.
        """
        mailbox = await self._up_to_date(account, path, timeout_seconds)
        if mailbox.cursor is None or not relies_on_index(account, mailbox):
            total, entries = await self._live_page(account, mailbox, page, page_size, timeout_seconds)
        else:
            total = mailbox.cursor.messages
            entries = await self._store.messages.page(mailbox.number, limit=page_size, offset=page * page_size)
            entries = await self._with_envelopes(account, mailbox, entries, timeout_seconds)
        return await self._paged(account, mailbox, total, entries, page, page_size)

    async def _up_to_date(self, account: Account, path: str, timeout_seconds: float) -> Mailbox:
        """The mailbox, with an index that is what the server has now, where there is one."""
        mailbox = await self._mailboxes.find(account, path)
        if relies_on_index(account, mailbox) and not self._fresh(account, mailbox):
            await self._access.catch_up(account.number, [mailbox.listing.path], timeout_seconds=timeout_seconds)
            mailbox = await self._mailboxes.find(account, path)
        return mailbox

    async def _paged(
        self, account: Account, mailbox: Mailbox, total: int, entries: Sequence[IndexEntry], page: int, page_size: int
    ) -> dict[str, Any]:
        pages = max(1, math.ceil(total / page_size))
        messages = [presentation.message_entry(mailbox.number, entry) for entry in entries]
        await with_bounces(self._store, [(account.number, message) for message in messages])
        return {
            "total": total,
            "page": page,
            "pages": pages,
            "nextPageCursor": identifiers.encode_cursor(page + 1) if page + 1 < pages else None,
            "prevPageCursor": identifiers.encode_cursor(min(page, pages) - 1) if page > 0 else None,
            "messages": messages,
        }

    async def _live_page(
        self, account: Account, mailbox: Mailbox, page: int, page_size: int, timeout_seconds: float
    ) -> tuple[int, list[IndexEntry]]:
        """While the first sync is still at work, and where there is no index, the server is asked."""
        async with self._access.session(account, path=mailbox.listing.path, timeout_seconds=timeout_seconds) as session:
            opened = await session.open_mailbox(mailbox.listing.path)
            self._check_same(account, mailbox, opened)
            entries = await fetch_entries(session, await session.page(page * page_size, page_size))
        return opened.messages, await looked_up(self._store, account, mailbox.number, entries)

    async def _with_envelopes(
        self, account: Account, mailbox: Mailbox, entries: list[IndexEntry], timeout_seconds: float
    ) -> list[IndexEntry]:
        """Envelopes that are not there are fetched for the page that was asked for, and kept where they may be."""
        missing = [entry.uid for entry in entries if entry.envelope is None and entry.error is None]
        if not missing:
            return entries
        async with self._opened(account, mailbox, timeout_seconds) as session:
            # In between a server may tell of flags of other messages.
            fetched = [one for one in await fetch_entries(session, missing) if one.uid in missing]
        before = {entry.uid: entry for entry in entries}
        known = {one.uid: dataclasses.replace(one, thread=before[one.uid].thread) for one in fetched}
        news = [
            one
            for one in fetched
            if account.profile.keeps_envelopes or one.error is not None or not before[one.uid].digested
        ]
        if news:
            fence, now_ms = self._access.fence(account.number), self._clock.now_ms()
            silent = not follows_path(account.profile, mailbox.listing)
            unit = completed(self._store, account, mailbox, news, now_ms, silent=silent)
            [stored] = await self._store.commit(fenced(fence, unit))
            known |= {entry.uid: entry for entry in stored}
        return [known.get(entry.uid, entry) for entry in entries]

    # -- finding ---------------------------------------------------------------------------------

    async def _locate(self, account: Account, public_id: str) -> tuple[Mailbox, MessageRef]:
        ref = identifiers.parse_message_id(public_id)
        mailbox, ref = await place_of(self._store, account.number, ref)
        if not account.profile.has_imap:
            raise NotOperational("the account has no mailbox", code="NotSyncing", state=account.status.state.value)
        return mailbox, ref

    @asynccontextmanager
    async def _opened(
        self, account: Account, mailbox: Mailbox, timeout_seconds: float, *, writable: bool = False
    ) -> AsyncIterator[MailSession]:
        """A session that has the mailbox open, under the UIDVALIDITY that our ids stand for."""
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=timeout_seconds) as session:
            # What a session has had open for a while may stand under another path now, and another mailbox at its own.
            same = session.selected == path and (session.selected_uidvalidity or 0) == mailbox.uidvalidity
            if same and writable:
                # Selecting anew makes some servers write their index. But nothing may be changed in what is there in
                # place of a mailbox that was renamed or removed meanwhile.
                same = session.selected_writable and await session.still_selected()
            if not same:
                self._check_same(account, mailbox, await session.open_mailbox(path, writable=writable))
            try:
                yield session
            except CommandRejected:
                # Perhaps because the mailbox is not there any more, which not every server says before.
                session.forget_selected()
                raise

    def _check_same(self, account: Account, mailbox: Mailbox, opened: OpenedMailbox) -> None:
        """Raise Unavailable when the server has another mailbox at this path than our ids stand for."""
        if mailbox.uidvalidity not in (None, opened.uidvalidity or 0):
            self._access.nudge(account.number, [mailbox.listing.path])
            raise Unavailable("the server has replaced the mailbox, which is read anew; try again in a moment")

    async def _entry(self, session: MailSession, mailbox: Mailbox, ref: MessageRef) -> IndexEntry:
        entry = await self._store.messages.get(mailbox.number, ref.uid)
        if entry is not None and entry.structure is not None:
            return entry
        for fetched in await fetch_entries(session, [ref.uid]):
            if fetched.uid == ref.uid:
                return fetched
        raise MessageNotFound("there is no such message")


def relies_on_index(account: Account, mailbox: Mailbox) -> bool:
    """Whether pages of a mailbox are made from the index, once it has one."""
    connected = account.status.state is AccountState.CONNECTED
    return connected and account.profile.indexed and not is_mere_label(account.profile, mailbox.listing)


def _is_watched(account: Account, listing: ListedMailbox) -> bool:
    """Whether a mailbox is the one that is watched: the first that the account names, else where new mail arrives."""
    first = account.profile.path[0] if account.profile.path else "*"
    if first == "*" or first.startswith("\\"):
        return listing.all_mail or (listing.path == "INBOX" and not listing.label)
    return listing.path == first


async def fetch_entries(session: MailSession, uids: Sequence[int]) -> list[IndexEntry]:
    """These messages as the server has them, newest first."""
    entries: list[IndexEntry] = []
    if uids:
        async for batch in session.fetch_envelopes(sequence_set(uids)):
            entries.extend(batch)
    return sorted(entries, key=lambda entry: -entry.uid)
