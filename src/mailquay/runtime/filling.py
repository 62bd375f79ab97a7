"""What an index still lacks: envelopes and texts are read in the background, broken messages tried again in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import structlog

from mailquay.backends.interface import MailSession
from mailquay.errors import (
    CommandRejected,
    MailboxNotFound,
    PartUnavailable,
    Unavailable,
)
from mailquay.model.account import Account
from mailquay.model.mailbox import TEXTS_COMPLETE, Mailbox
from mailquay.runtime.connected_parts import NOT_ITS_FAULT, ConnectedParts
from mailquay.services.sync_context import SyncContext
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.repositories.messages import NEWEST, Unread

_log = structlog.get_logger(__name__)
_BATCH = 200
_TEXT_BATCH = 50
_LONGEST_SLEEP_SECONDS = 3600.0
_SHORTEST_SLEEP_SECONDS = 60.0


class Filling:
    """Completes the index in pauses of other work; `nudge` has mailboxes caught up with."""

    def __init__(self, parts: ConnectedParts, account: Account, *, nudge: Callable[[Iterable[str]], None]) -> None:
        self._parts = parts
        self._account = account
        self._nudge = nudge
        self._filled: set[int] = set()
        self._texts_tried: dict[int, int] = {}
        self._due = asyncio.Event()
        self._turns_changed = asyncio.Event()

    def wake(self) -> None:
        """Other work is done: go on where something is lacking."""
        self._due.set()
        self._turns_changed.set()

    def begin_anew(self, number: int) -> None:
        """A mailbox is indexed from the beginning."""
        self._filled.discard(number)
        self._texts_tried.pop(number, None)

    def take_profile(self, account: Account) -> None:
        """Go on with a changed profile; it may want more to be kept than before."""
        self._account = account
        self._filled.clear()
        self._texts_tried.clear()
        self._due.set()

    async def fill(self) -> None:
        """Read the envelopes that the first sync left out, the last received first, then texts, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            for mailbox in await self._parts.listing.followed(self._account, self._parts.watched):
                path, account = mailbox.listing.path, self._account
                lacking = mailbox.number not in self._filled or self._lacks_texts(account, mailbox)
                if not lacking or mailbox.cursor is None or self._parts.unfillable.skips(path):
                    continue
                try:
                    complete = await self._fill_mailbox(account, mailbox)
                except PartUnavailable:
                    if not self._parts.unfillable.failed(path, lost=True):
                        raise
                    continue
                except NOT_ITS_FAULT:
                    raise
                except Exception as error:
                    # As in `CatchUp`; but its new mail can be announced all the same.
                    self._parts.unfillable.failed(path, lost=isinstance(error, Unavailable))
                    raise
                if complete:
                    self._parts.unfillable.succeeded(path)
                    if account is self._account:
                        self._filled.add(mailbox.number)

    async def _fill_mailbox(self, account: Account, mailbox: Mailbox) -> bool:
        """Read what is lacking in one mailbox; False when it has to be caught up with before."""
        since_ms = account.profile.sync_from_ms
        if since_ms is not None:
            # Received dates count to the second.
            since_ms = since_ms // 1000 * 1000
        # What was read while no envelopes were kept is read once more when they are.
        for digested in (False, True) if account.profile.keeps_envelopes else (False,):
            after: Unread = NEWEST
            while batch := await self._parts.store.messages.without_envelope(
                mailbox.number, digested=digested, since_ms=since_ms, after=after, limit=_BATCH
            ):
                uids = [one.uid for one in batch]
                if not await self._read(account, mailbox, partial(self._parts.sync.complete, uids=uids)):
                    return False
                after = batch[-1]
        return not account.profile.keeps_texts or await self._fill_texts(account, mailbox, since_ms)

    def _lacks_texts(self, account: Account, mailbox: Mailbox) -> bool:
        """Whether there may be texts to be read that were not lacking when that was tried last."""
        state = mailbox.texts_state
        return account.profile.keeps_texts and state <= 0 and self._texts_tried.get(mailbox.number) != state

    async def _fill_texts(self, account: Account, mailbox: Mailbox, since_ms: int | None) -> bool:
        """Read the texts that are lacking in one mailbox, the newest first; False as in `_fill_mailbox`.

        Which those are is found out on the way, and noted at the end: a node that begins here goes on there.
        """
        if mailbox.texts_state == TEXTS_COMPLETE:
            return True
        below, everything = 2**32, True
        while batch := await self._parts.store.texts.lacking(
            mailbox.number, below=below, since_ms=since_ms, limit=_TEXT_BATCH
        ):
            if not await self._read(account, mailbox, partial(self._parts.sync.complete_texts, entries=batch)):
                return False
            below = batch[-1].uid
        if await self._parts.store.texts.lacking(mailbox.number, since_ms=since_ms, limit=1):
            # Refused, or come meanwhile: the latter are another state.
            self._texts_tried[mailbox.number] = mailbox.texts_state
            return True
        if since_ms is not None:
            unread, _ = await self._parts.store.messages.unread(mailbox.number)
            everything = not unread and not await self._parts.store.texts.lacking(mailbox.number, limit=1)
        note = self._parts.store.texts.complete(mailbox.number, mailbox.texts_state, everything=everything)
        await self._parts.store.commit(fenced(self._parts.fence, note))
        return True

    async def _read(
        self,
        account: Account,
        mailbox: Mailbox,
        complete: Callable[[MailSession, SyncContext, Mailbox], Awaitable[None]],
    ) -> bool:
        path = mailbox.listing.path
        async with self._parts.session(path) as session:
            try:
                if not await _has_open(session, mailbox):
                    self._nudge([path])
                    return False
            except (CommandRejected, MailboxNotFound) as error:
                # Catching up with it says so, and leaves it alone after a while.
                _log.warning("mailbox_refused", account=account.id, path=path, code=error.code, error=error.message)
                return False
            context = SyncContext(account, self._parts.fence, first_sync=False)
            try:
                await complete(session, context, mailbox)
            except CommandRejected as error:
                # The others can be read all the same; a page that shows these asks again.
                _log.warning("messages_refused", account=account.id, path=path, error=error.message)
        return True

    async def try_again(self) -> None:
        """Have mailboxes caught up with in which it is the turn of a message in quarantine, until cancelled."""
        while True:
            now_ms, turns = self._parts.clock.now_ms(), await self._turns()
            self._nudge([path for path, at_ms in turns.items() if at_ms <= now_ms])
            seconds = (min(turns.values()) - now_ms) / 1000 if turns else _LONGEST_SLEEP_SECONDS
            await asyncio.sleep(_SHORTEST_SLEEP_SECONDS)
            await self._turns_may_change(min(seconds, _LONGEST_SLEEP_SECONDS) - _SHORTEST_SLEEP_SECONDS)

    async def _turns(self) -> dict[str, int]:
        """When it is the turn of a message, by the paths of the mailboxes that are indexed."""
        turns = await self._parts.store.quarantine.turns(self._account.number)
        if not turns or not self._account.profile.indexed:
            return {}
        followed = {box.listing.path for box in await self._parts.listing.followed(self._account, self._parts.watched)}
        return {path: at_ms for path, at_ms in turns.items() if path in followed}

    async def _turns_may_change(self, seconds: float) -> None:
        """Wait so long, or until other work is done in which messages may have been set aside."""
        try:
            async with asyncio.timeout(seconds):
                await self._turns_changed.wait()
        except TimeoutError:
            return
        self._turns_changed.clear()


async def _has_open(session: MailSession, mailbox: Mailbox) -> bool:
    """Have a session open a mailbox; False when another one stands at its path now."""
    path, uidvalidity = mailbox.listing.path, mailbox.uidvalidity
    if session.selected == path and (session.selected_uidvalidity or 0) == uidvalidity:
        return True
    return ((await session.open_mailbox(path)).uidvalidity or 0) == uidvalidity
