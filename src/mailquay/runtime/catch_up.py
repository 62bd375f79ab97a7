"""The mailboxes of a connected account that wait to be brought up to date, and who waits for them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence

import structlog

from mailquay.backends.interface import MailSession, Survey
from mailquay.errors import (
    CommandRejected,
    MailboxNotFound,
    MailquayError,
    PartUnavailable,
    RateLimited,
    Unavailable,
)
from mailquay.model.account import USUAL_RESYNC_SECONDS, Account
from mailquay.model.mailbox import Mailbox, MailboxEvidence
from mailquay.runtime.connected_parts import NOT_ITS_FAULT, ConnectedParts
from mailquay.runtime.doubts import DOUBT_SECONDS, Doubts
from mailquay.runtime.filling import Filling
from mailquay.runtime.hearing import Hearing
from mailquay.runtime.request_queue import Request, RequestQueue
from mailquay.runtime.second_look import SecondLook
from mailquay.services.mailbox_listing import is_mere_label
from mailquay.services.sync_context import LossInDoubt, SyncContext
from mailquay.storage.repositories.fencing import fenced

_log = structlog.get_logger(__name__)
_TRIES = 2
_SHORTEST_SWEEP_SECONDS = 1.0
"""An account may name 0 seconds; a server that is listed without any pause shuts us out."""


class Deaf(Exception):
    """The server offered to tell of all mailboxes, and did not."""


class CatchUp:
    """Requests for the same mailbox are merged; one runs at a time; one mailbox that fails does not stop the others."""

    def __init__(self, parts: ConnectedParts, account: Account, *, hearing: Hearing | None, first_sync: bool) -> None:
        self._parts = parts
        self._account = account
        self._hearing = hearing
        self._first_sync = first_sync
        self._requests = RequestQueue(parts.watched)
        self._verifying: set[str] = set()
        self._last_scan: dict[str, float] = {}
        self._sweep_now = asyncio.Event()
        self._listing_lock = asyncio.Lock()
        self._second_look = SecondLook()
        self._doubts = Doubts()
        self._log = _log.bind(account=account.id)
        self.filling = Filling(parts, account, nudge=self.nudge)
        """What is done beside: completing the index."""

    # -- requests --------------------------------------------------------------------------------

    def nudge(self, paths: Iterable[str], *, scan_flags: bool = False, verify: bool = False) -> None:
        """Have these mailboxes caught up with soon; with `verify` all their UIDs are compared."""
        for path in paths:
            self._requests.add(path, scan_flags=scan_flags, verify=verify)

    async def heard(self, path: str, evidence: MailboxEvidence | None) -> None:
        """The server tells that something happened to a mailbox, and perhaps what it counts there now."""
        if self._hearing is None:
            await self._doubt(path)
            self.nudge([path], scan_flags=True)
            return
        mailbox = await self._parts.store.mailboxes.by_path(self._account.number, path)
        if mailbox is None or not self._parts.listing.follows(self._account, mailbox):
            return
        self._hearing.told(path)
        self._second_look.told(path)
        if evidence is None or evidence.messages is None or evidence.highestmodseq is None:
            await self._doubt(path)
            self.nudge([path], scan_flags=True)
            return
        # What we did ourselves comes back as news; it needs no round trip when the index is as the server says.
        if not (await self._parts.listing.observe(mailbox, evidence, self._parts.fence)).current:
            self.nudge([path], scan_flags=True)

    async def _doubt(self, path: str) -> None:
        """Until it was caught up with, which may take a while, nobody shall take the index for the mailbox."""
        mailbox = await self._parts.store.mailboxes.by_path(self._account.number, path)
        if mailbox is not None and mailbox.current and mailbox.evidence_at_ms and self._account.profile.indexed:
            await self._parts.store.commit(fenced(self._parts.fence, self._parts.store.mailboxes.doubt(mailbox.number)))

    def nudge_followed(self) -> None:
        """Have all mailboxes listed and looked at soon."""
        self._sweep_now.set()

    def lost_news(self) -> None:
        """The server has dropped news, and begins anew: look at everything, unless it does so again and again."""
        if self._hearing is not None:
            self._hearing.lost()
        self.nudge_followed()

    async def relist(self, *, timeout_seconds: float) -> None:
        """List the mailboxes now. Raises Unavailable when that takes too long, and what the session raises."""
        try:
            async with asyncio.timeout(timeout_seconds):
                async with self._parts.pool.borrow(timeout_seconds=timeout_seconds) as session:
                    await self._list(session)
        except TimeoutError:
            raise Unavailable("the mail server takes too long", code="Timeout") from None

    async def _list(self, session: MailSession) -> Mapping[str, MailboxEvidence] | None:
        """One at a time: what two of them find new would be told twice."""
        async with self._listing_lock:
            return await self._parts.listing.refresh(session, self._account, self._parts.fence)

    async def now(self, paths: Iterable[str], *, timeout_seconds: float) -> None:
        """Have these mailboxes caught up with, and wait until it is done.

        Raises Unavailable when it takes too long, else what the catch-up of one of them raised.
        """
        waiters = [self._requests.wait_for(path, hurry=True) for path in paths]
        done, pending = await asyncio.wait(waiters, timeout=timeout_seconds) if waiters else (set(), set())
        for waiter in pending:
            waiter.cancel()
        for waiter in done:
            waiter.result()
        if pending:
            raise Unavailable("the mail server takes too long", code="Timeout")

    def abandon(self, error: MailquayError) -> None:
        """The connection is gone: nobody shall wait any longer."""
        self._requests.abandon(error)

    def take_profile(self, account: Account) -> None:
        """Go on with a changed profile."""
        self._account = account
        self.filling.take_profile(account)

    def first_sync_done(self) -> None:
        """From now on a mailbox that turns up is a new one."""
        self._first_sync = False

    # -- tasks -----------------------------------------------------------------------------------

    async def everything(self, surveyed: Survey | None = None) -> None:
        """List the mailboxes and have `work` bring each up to date, the watched one first; return when that is done.

        What was `surveyed` since the watch listens is not asked for again.
        """
        listed, counted = surveyed or ([], None)
        if counted is not None and await self._parts.listing.agrees(self._account, listed):
            mailboxes = await self._followed()
            observed = await self._observed(mailboxes, counted)
        else:
            mailboxes, observed = await self._looked_at()
        current = {after.number for _, after in observed if after.current}
        waiters = [
            self._requests.wait_for(box.listing.path, hurry=False)
            for box in mailboxes
            if box.number not in current or not self._told_enough(box)
        ]
        if waiters:
            # Those that the server refuses are counted as such; what ends the connection ends `work` and us with it.
            await asyncio.wait(waiters)
        self.filling.wake()

    async def _looked_at(self) -> tuple[Sequence[Mailbox], list[tuple[Mailbox, Mailbox]]]:
        """All mailboxes, and those that the server has counted, before and after that."""
        async with self._parts.pool.borrow(timeout_seconds=self._parts.config.imap_connect_timeout_seconds) as session:
            counted = await self._list(session)
            if counted is not None and self._first_sync:
                await self._begin_empty(counted)
            mailboxes = await self._followed()
            if counted is None:
                counted = await session.status([box.listing.path for box in mailboxes])
        return mailboxes, await self._observed(mailboxes, counted)

    async def _begin_empty(self, counted: Mapping[str, MailboxEvidence]) -> None:
        """Most mailboxes of a new account are empty, as the server says itself: nothing is to be read in them."""
        empty = [
            (box, counted[box.listing.path])
            for box in await self._followed()
            if box.uidvalidity is None and box.listing.path in counted and counted[box.listing.path].empty
        ]
        await self._parts.sync.begin_empty(self._context(silent=False), empty)

    async def _observed(
        self, mailboxes: Sequence[Mailbox], counted: Mapping[str, MailboxEvidence]
    ) -> list[tuple[Mailbox, Mailbox]]:
        """Mailboxes before and after the server has counted their messages; without those that it cannot count."""
        seen = [(box, counted[box.listing.path]) for box in mailboxes if box.listing.path in counted]
        observed = await self._parts.listing.observe_all(seen, self._parts.fence)
        return [(before, after) for (before, _), after in zip(seen, observed, strict=True)]

    async def work(self) -> None:
        """Serve requests until cancelled."""
        while True:
            path, request = await self._requests.take()
            await self._serve(path, request)
            self.filling.wake()

    async def sweep(self) -> None:
        """Look at the mailboxes at intervals."""
        # The first sweep comes at a random time, so that accounts that connected together do not sweep together. Where
        # we are told of news it is there to prove that, and thousands of accounts have just connected.
        spread = random.uniform(0.2, 1.0) if self._hearing is None else random.uniform(0.5, 1.5)  # noqa: S311
        while True:
            asked = await self._pause_before_sweep(self._sweep_seconds() * spread)
            spread = 1.0
            if self._hearing is not None and self._hearing.deaf:
                raise Deaf
            async with self._parts.session() as session:
                counted = await self._list(session)
                # The watched one as well: not every server tells in an IDLE what it promises.
                mailboxes = await self._followed()
                self._parts.refusals.forget_others(box.listing.path for box in mailboxes)
                if counted is None:
                    counted = await session.status([box.listing.path for box in mailboxes])
            observed = await self._observed(mailboxes, counted)
            found = self._compare(observed, asked=asked)
            self.nudge(self._parts.refusals.due(), scan_flags=True)
            if self._hearing is not None:
                self._hearing.found(found)

    def _compare(self, seen: Sequence[tuple[Mailbox, Mailbox]], *, asked: bool) -> list[str]:
        """Have those caught up with that have changed, or all when that was asked for; returns what nobody knew.

        A mailbox that was not known before is none that has changed. One that is left alone, or whose turn has not come
        yet, was told of long ago.
        """
        found = []
        for mailbox, observed in seen:
            path = mailbox.listing.path
            if mailbox.current and not observed.current and not self._requests.holds(path):
                found.append(path)
            if asked or not observed.current or self._scan_due(mailbox):
                self.nudge([path], scan_flags=True)
        return found

    async def look_again(self) -> None:
        """See SecondLook."""
        while True:
            paths = await self._second_look.due()
            async with self._parts.session() as session:
                counted = await session.status(paths)
            observed = await self._observed(await self._followed(), counted)
            self._compare(observed, asked=False)

    def _told_enough(self, mailbox: Mailbox) -> bool:
        """Whether its counters say all there is to know after a reconnect: the one that is watched alone is opened."""
        return self._hearing is not None or mailbox.listing.path != self._parts.watched

    def _sweep_seconds(self) -> float:
        """The account's own interval where it names one, else that of the configuration, more where we are told."""
        imap = self._account.profile.imap
        if imap is None or imap.resync_delay_seconds == USUAL_RESYNC_SECONDS:
            patience = 1 if self._hearing is None else self._hearing.patience
            return self._parts.config.imap_sweep_interval_seconds * patience
        return max(_SHORTEST_SWEEP_SECONDS, float(imap.resync_delay_seconds))

    async def _pause_before_sweep(self, seconds: float) -> bool:
        """Wait until the next sweep is due; True when somebody asked for it before."""
        try:
            async with asyncio.timeout(seconds):
                await self._sweep_now.wait()
        except TimeoutError:
            return False
        self._sweep_now.clear()
        return True

    async def verify(self) -> None:
        """Compare each mailbox with the server once in a while, one after the other, those never compared first."""
        pause = self._parts.config.imap_verify_pause_seconds
        while True:
            # A random pause, so that accounts that connected together do not verify together.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            if not self._account.profile.indexed:
                continue
            due_ms = self._parts.clock.now_ms() - self._parts.config.imap_verify_interval_seconds * 1000
            synced = [box for box in await self._followed() if box.cursor is not None]
            # Where there are many, all of them must have their turn in time.
            pause = min(pause, self._parts.config.imap_verify_interval_seconds / (2 * max(1, len(synced))))
            due = [box for box in synced if box.verification is None or box.verification.at_ms < due_ms]
            # The oldest one that cannot be compared would have its turn again and again, and the others none.
            due = [box for box in due if not self._parts.refusals.skips(box.listing.path)]
            if due and not self._verifying:
                oldest = min(due, key=lambda box: box.verification.at_ms if box.verification is not None else 0)
                self._verifying.add(oldest.listing.path)
                self.nudge([oldest.listing.path], scan_flags=True, verify=True)

    # -- one mailbox -----------------------------------------------------------------------------

    async def _serve(self, path: str, request: Request) -> None:
        failure: MailquayError | None = Unavailable(
            "the account's connections were closed meanwhile", code="IMAPConnectionClosing"
        )
        try:
            failure = await self._served(path, request)
        except MailquayError as error:
            failure = error
            raise
        finally:
            self._verifying.discard(path)
            # However it ended, nobody shall wait any longer.
            request.answer(failure)

    async def _served(self, path: str, request: Request) -> MailquayError | None:
        """Bring one mailbox up to date; returns what to tell those who wait for it."""
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._parts.session(path) as session:
                    mailbox = await self._parts.store.mailboxes.by_path(self._account.number, path)
                    if mailbox is None:
                        await self._list(session)
                        mailbox = await self._parts.store.mailboxes.by_path(self._account.number, path)
                    if mailbox is None:
                        self._parts.refusals.succeeded(path)
                        return MailboxNotFound(f"there is no mailbox {path}")
                    return await self._one(
                        session,
                        mailbox,
                        scan_flags=request.scan_flags,
                        verify=request.verify,
                        last_try=attempt == _TRIES,
                    )
            except Unavailable as error:
                # A session may have died while it was idle: one more try with a new one, then the account is down.
                # A server that asks us to slow down is not asked again.
                if attempt == _TRIES or isinstance(error, RateLimited):
                    raise
        return None

    async def _one(
        self,
        session: MailSession,
        mailbox: Mailbox,
        *,
        scan_flags: bool,
        verify: bool = False,
        last_try: bool = True,
    ) -> MailquayError | None:
        """Catch up with a mailbox; returns why it was refused. What ends the connection is raised, and counted too."""
        path = mailbox.listing.path
        if self._parts.refusals.skips(path):
            # Not as if all were well: whoever waits would take an old index for the mailbox as it is.
            return Unavailable(f"{path} failed again and again, and is left alone for a while")
        if is_mere_label(self._account.profile, mailbox.listing):
            # Whatever has happened there has happened to the messages in the mailbox of all labels.
            if path != self._parts.watched:
                self.nudge([self._parts.watched], scan_flags=scan_flags)
            return None
        if mailbox.cursor is None:
            self.filling.begin_anew(mailbox.number)
        context = self._context(silent=not self._parts.listing.follows(self._account, mailbox))
        try:
            await self._parts.sync.catch_up(
                session,
                context,
                mailbox,
                scan_flags=scan_flags,
                verify=verify or self._doubts.holds(path),
                losses_believed=self._doubts.dispelled(path),
            )
        except LossInDoubt as doubt:
            if self._doubts.raised(path):
                self._log.warning("loss_in_doubt", path=path, error=doubt.message)
            asyncio.get_running_loop().call_later(DOUBT_SECONDS, self.nudge, [path])
            return None
        except (CommandRejected, MailboxNotFound) as error:
            # One that is not there may be another one soon, under the same path.
            self._parts.refusals.failed(path, lost=isinstance(error, MailboxNotFound))
            self._log.warning("mailbox_refused", path=path, code=error.code, error=error.message)
            return error
        except PartUnavailable as error:
            # Connecting went well, so it may be this mailbox alone; the others shall not wait for it for ever.
            self._log.warning("mailbox_unavailable", path=path, error=error.message)
            if self._parts.refusals.failed(path, lost=True):
                return error
            raise
        except NOT_ITS_FAULT:
            raise
        except Exception as error:
            # Perhaps it is one message in there on which the server, or our reading of it, breaks.
            lost = isinstance(error, Unavailable)
            if last_try or not lost:
                self._parts.refusals.failed(path, lost=lost)
            self._log.warning("mailbox_failed", path=path, error=str(error))
            raise
        self._parts.refusals.succeeded(path)
        self._doubts.settled(path)
        if scan_flags:
            self._last_scan[path] = asyncio.get_running_loop().time()
        if self._requests.waits(path):
            # What was heard of it meanwhile is not in the index, which looks like what we found when we opened it.
            await self._doubt(path)
        return None

    def _context(self, *, silent: bool) -> SyncContext:
        return SyncContext(self._account, self._parts.fence, self._first_sync, silent=silent)

    def _scan_due(self, mailbox: Mailbox) -> bool:
        """Without mod-sequences nothing tells of changed flags: compare them all every now and then."""
        if mailbox.evidence.highestmodseq is not None:
            return False
        last = self._last_scan.get(mailbox.listing.path, float("-inf"))
        return asyncio.get_running_loop().time() - last >= self._parts.config.imap_flag_scan_interval_seconds

    async def _followed(self) -> Sequence[Mailbox]:
        return await self._parts.listing.followed(self._account, self._parts.watched)
