"""The life of one account on the node that owns it: connect, first sync, watch, catch up, try again."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from mailquay.backends.interface import MailBackend, MailboxNews, MailboxNewsKind, MailWatch, Survey
from mailquay.config import Config
from mailquay.errors import (
    AuthenticationFailed,
    CommandRejected,
    Fenced,
    MailboxNotFound,
    MailquayError,
    PartUnavailable,
    RateLimited,
    Unavailable,
    Unsupported,
)
from mailquay.model.account import Account, AccountNumber, AccountProfile, AccountState, AccountStatus
from mailquay.model.event import NewEvent
from mailquay.model.node import Fence, Lease
from mailquay.runtime.backoff import Backoff, spread_out
from mailquay.runtime.catch_up import CatchUp, Deaf
from mailquay.runtime.connected_parts import ConnectedParts
from mailquay.runtime.hearing import MOST_PATIENCE, Hearing
from mailquay.runtime.refusals import Refusals
from mailquay.runtime.session_pool import SessionPool
from mailquay.runtime.subconnections import Subconnections, chosen_paths
from mailquay.services import account_status
from mailquay.services.auth_server import REQUEST_FAILED
from mailquay.services.mailbox_listing import MailboxListing
from mailquay.services.ports import Clock, Journal
from mailquay.services.sync import MailboxSync
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)

_STABLE_SECONDS = 60.0
BackendFactory = Callable[[Account], MailBackend]


@dataclass(frozen=True, slots=True)
class RunnerParts:
    """What every account's runner shares."""

    store: Store
    config: Config
    clock: Clock
    backend: BackendFactory
    sync: MailboxSync
    listing: MailboxListing
    journal: Journal
    on_fenced: Callable[[AccountNumber], None]


class AccountRunner:
    """One account, one watch connection, one pool for sync, one for API commands."""

    def __init__(self, parts: RunnerParts, account: Account, lease: Lease) -> None:
        self._parts = parts
        self._account = account
        self._status = account.status
        self.fence = Fence(account.number, lease.epoch)
        self._task: asyncio.Task[None] | None = None
        self._retry = asyncio.Event()
        self._commands: SessionPool | None = None
        self._sync_pool: SessionPool | None = None
        self._catch_up: CatchUp | None = None
        self._watching = False
        self._deaf = False
        self._subconnections: Subconnections | None = None
        self._stopping = False
        self._refusals, self._unfillable = Refusals(), Refusals()
        self._connected_at: float | None = None
        self._log = _log.bind(account=account.id)

    # -- from outside ----------------------------------------------------------------------------

    @property
    def account(self) -> Account:
        """The account as this runner uses it."""
        return self._account

    @property
    def state(self) -> AccountState:
        """Where the account stands now."""
        return self._status.state

    @property
    def commands(self) -> SessionPool:
        """The sessions for API commands.

        Raises NotOperational while the account is not connected to its server.
        """
        if self._commands is None or not self._status.state.operational:
            raise account_status.not_operational(self._status.state)
        return self._commands

    @property
    def catch_up(self) -> CatchUp:
        """The queue of mailboxes to be brought up to date.

        Raises NotOperational while the account is not connected to its server.
        """
        if self._catch_up is None:
            raise account_status.not_operational(self._status.state)
        return self._catch_up

    @property
    def connections(self) -> int:
        """How many connections to the server are open."""
        pools = (self._commands, self._sync_pool)
        watches = int(self._watching) + (self._subconnections.connections if self._subconnections is not None else 0)
        return sum(pool.connections for pool in pools if pool is not None) + watches

    @property
    def ended(self) -> bool:
        """Whether the account was served and is not any more."""
        return self._task is not None and self._task.done()

    def start(self) -> None:
        """Begin to serve the account."""
        self._task = asyncio.create_task(self._run(), name=f"account-{self._account.number}")

    async def stop(self) -> None:
        """End all of it; nothing is written for the account afterwards."""
        if self._task is not None:
            # A cancellation can be lost when a task of ours fails in the same moment; the flag cannot.
            self._stopping = True
            self._retry.set()
            self._task.cancel()
            await asyncio.wait([self._task])

    def take_profile(self, account: Account) -> None:
        """Go on with a changed profile that does not concern the connections."""
        self._account = account
        if self._catch_up is not None:
            self._catch_up.take_profile(account)

    def retry_now(self) -> None:
        """Do not wait for the next try."""
        self._retry.set()

    # -- the loop --------------------------------------------------------------------------------

    async def _run(self) -> None:
        config = self._parts.config
        backoff = Backoff(config.reconnect_backoff_seconds, config.reconnect_backoff_limit_seconds)
        while not self._stopping:
            self._retry.clear()
            pause: float | None = None
            try:
                if not self._account.profile.has_imap:
                    await self._change(account_status.entered(self._status, AccountState.UNSET))
                else:
                    await self._serve()
            except Fenced:
                self._parts.on_fenced(self._account.number)
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                try:
                    pause = await self._after_failure(_flatten(error), backoff)
                except Fenced:
                    self._parts.on_fenced(self._account.number)
                    return
                except Exception as second:
                    # Without this the account would stand still, and nobody would notice.
                    self._log.error("status_not_stored", exc_info=second)
                    pause = backoff.next_seconds()
            if not self._stopping:
                await self._wait(pause)

    async def _wait(self, pause_seconds: float | None) -> None:
        try:
            async with asyncio.timeout(pause_seconds):
                await self._retry.wait()
        except TimeoutError:
            return

    async def _serve(self) -> None:
        """Connect, sync and watch until something fails."""
        parts, config = self._parts, self._parts.config
        await self._change(account_status.entered(self._status, AccountState.CONNECTING))
        backend = parts.backend(self._account)
        async with AsyncExitStack() as stack:
            watch, surveyed = await self._watch(stack, backend)
            longest_pause_seconds = config.imap_sweep_interval_seconds * MOST_PATIENCE
            keep_seconds = max(config.imap_command_idle_seconds, longest_pause_seconds + 15)
            self._sync_pool = await self._pool(stack, backend, 1, keep_seconds)
            self._commands = await self._pool(
                stack, backend, config.imap_command_connections, config.imap_command_idle_seconds
            )
            user = self._account.profile.imap.user if self._account.profile.imap else None
            now_ms = parts.clock.now_ms()
            await self._change(account_status.logged_in(self._account.number, self._status, user or "", now_ms))
            await self._synced(watch, backend, surveyed)

    async def _watch(self, stack: AsyncExitStack, backend: MailBackend) -> tuple[MailWatch, Survey | None]:
        """Watch the first mailbox that the account names and the server has; returns what was seen on the way too."""
        *named, last = self._watched_paths()
        for path in named:
            try:
                return await self._watch_from(stack, backend, path)
            except (MailboxNotFound, CommandRejected, PartUnavailable) as error:
                # It was deleted or renamed, or is broken: that is no reason to serve none of the others.
                self._log.warning("watched_mailbox_missing", path=path, error=error.message)
        return await self._watch_from(stack, backend, last)

    async def _watch_from(
        self, stack: AsyncExitStack, backend: MailBackend, path: str | None
    ) -> tuple[MailWatch, Survey | None]:
        """Listen to all mailboxes where the server lets us, and has not proved deaf; else to the first one."""
        for everywhere in (not self._deaf, False):
            watch = await backend.open_watch(path, everywhere=everywhere)
            stack.push_async_callback(self._close_watch, watch)
            try:
                # A first sync needs a session of its own anyhow.
                surveyed = await watch.start(survey=self._status.ever_connected)
            except Unsupported as error:
                self._log.warning("notify_refused", error=error.message)
                self._deaf = True
                await watch.close()
                continue
            except (MailboxNotFound, CommandRejected, PartUnavailable):
                await watch.close()
                raise
            self._watching = True
            return watch, surveyed
        raise Unsupported("the server lets nobody watch a mailbox")

    async def _synced(self, watch: MailWatch, backend: MailBackend, surveyed: Survey | None) -> None:
        assert self._sync_pool is not None
        parts = self._parts
        connected = ConnectedParts(
            store=parts.store,
            sync=parts.sync,
            listing=parts.listing,
            clock=parts.clock,
            config=parts.config,
            pool=self._sync_pool,
            fence=self.fence,
            refusals=self._refusals,
            unfillable=self._unfillable,
            watched=watch.path,
        )
        hearing = Hearing() if watch.everywhere else None
        catch_up = CatchUp(connected, self._account, hearing=hearing, first_sync=not self._status.ever_connected)
        self._catch_up = catch_up
        try:
            async with asyncio.TaskGroup() as tasks:
                # A first sync may take hours: the news of that time are neither left unread nor told at its end.
                tasks.create_task(self._follow_watch(watch, catch_up))
                tasks.create_task(catch_up.work())
                await catch_up.everything(surveyed)
                self._connected_at = asyncio.get_running_loop().time()
                now_ms = self._parts.clock.now_ms()
                await self._change(account_status.in_sync(self._account.number, self._status, now_ms))
                catch_up.first_sync_done()
                tasks.create_task(catch_up.sweep())
                tasks.create_task(catch_up.look_again())
                tasks.create_task(catch_up.filling.fill())
                tasks.create_task(catch_up.filling.try_again())
                tasks.create_task(catch_up.verify())
                if self._account.profile.subconnections:
                    tasks.create_task(self._watch_more(backend, catch_up, watch.path))
                tasks.create_task(self._until_retry())
        finally:
            self._catch_up = None
            catch_up.abandon(account_status.not_operational(self._status.state))

    async def _watch_more(self, backend: MailBackend, catch_up: CatchUp, watched: str) -> None:
        config = self._parts.config
        mailboxes = await self._parts.store.mailboxes.of_account(self._account.number)
        paths = chosen_paths(self._account.profile.subconnections, mailboxes, watched=watched)
        backoff = (config.reconnect_backoff_seconds, config.reconnect_backoff_limit_seconds)
        self._subconnections = Subconnections(backend, catch_up, backoff)
        await self._subconnections.watch(paths, self._account.id)

    async def _follow_watch(self, watch: MailWatch, catch_up: CatchUp) -> None:
        while True:
            for news in await self._next_news(watch):
                if news.kind is MailboxNewsKind.MESSAGES:
                    await catch_up.heard(news.path, news.evidence)
                elif news.kind is MailboxNewsKind.LOST:
                    catch_up.lost_news()
                else:
                    # Which mailboxes there are has changed.
                    catch_up.nudge_followed()

    async def _next_news(self, watch: MailWatch) -> list[MailboxNews]:
        try:
            return await watch.next_news()
        except (CommandRejected, Unsupported) as error:
            if watch.everywhere:
                # It would be so after every reconnect; one mailbox alone can be watched on every server.
                raise Deaf(error.message) from error
            raise

    async def _until_retry(self) -> None:
        """A request to reconnect ends the current connections like a lost one, without a pause."""
        await self._retry.wait()
        raise _Reconnect

    async def _pool(self, stack: AsyncExitStack, backend: MailBackend, limit: int, idle_seconds: float) -> SessionPool:
        pool = SessionPool(backend, limit=limit, idle_seconds=idle_seconds)
        stack.push_async_callback(pool.close)
        return pool

    async def _close_watch(self, watch: MailWatch) -> None:
        self._watching = False
        await watch.close()

    def _watched_paths(self) -> list[str | None]:
        """The mailboxes that the account names, for the first of them that is there; None is where new mail arrives."""
        paths = self._account.profile.path
        if not paths or paths[0] == "*" or paths[0].startswith("\\"):
            return [None]
        named = [path for path in paths if path not in ("*", "INBOX") and not path.startswith("\\")]
        return ["INBOX", *named] if paths[0] == "INBOX" else [*named, "INBOX"]

    # -- state -----------------------------------------------------------------------------------

    async def _change(self, change: tuple[AccountStatus, list[NewEvent]]) -> None:
        status, events = change
        if status == self._status and not events:
            return
        await self._store_status(status, events)
        self._log.info("account_state", state=status.state.value)
        self._parts.journal.write(self._account, {"msg": "state", "state": status.state.value})

    async def _store_status(self, status: AccountStatus, events: Sequence[NewEvent]) -> None:
        unit = self._parts.store.accounts.update_status(self._account.number, status, self.fence, events)
        await self._parts.store.commit(unit)
        self._status = status

    async def _after_failure(self, error: Exception, backoff: Backoff) -> float:
        """Store what went wrong and say how long to wait before the next try."""
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None and asyncio.get_running_loop().time() - connected_at >= _STABLE_SECONDS:
            # A connection that breaks as soon as it stands must not be made anew every other second.
            backoff.reset()
        if isinstance(error, Deaf):
            self._log.warning("notify_missed_changes")
            self._deaf = True
        if isinstance(error, _Reconnect | Deaf):
            backoff.reset()
            return 0.0
        now_ms = self._parts.clock.now_ms()
        if not isinstance(error, MailquayError):
            self._log.error("account_runner_failed", exc_info=error)
            error = Unavailable("something went wrong on our side; the log holds the details", code="ServerBug")
        else:
            self._log.warning("account_failed", code=error.code, error=error.message)
            self._parts.journal.write(self._account, {"msg": "failed", "code": error.code, "error": error.message})
        was_up = self._status.state in (AccountState.CONNECTED, AccountState.SYNCING)
        # A pause that the server asks for may be long: the account says why, like for wrong credentials.
        if was_up and not isinstance(error, AuthenticationFailed | RateLimited):
            await self._change(account_status.entered(self._status, AccountState.DISCONNECTED))
        else:
            await self._change(account_status.failed(self._account.number, self._status, error, now_ms))
            await self._give_up_on_credentials(now_ms)
        if isinstance(error, RateLimited):
            return spread_out(max(error.retry_after_seconds, 1.0))
        return backoff.next_seconds()

    async def _give_up_on_credentials(self, now_ms: int) -> None:
        """Credentials refused for days: stop trying, so that the provider does not lock the user out."""
        since, limit = self._status.error_since_ms, self._parts.config.auth_failure_limit_seconds
        if self._status.state is not AccountState.AUTHENTICATION_ERROR or since is None:
            return
        if (self._status.last_error or {}).get("serverResponseCode") == REQUEST_FAILED:
            # Our own operator's server does not answer: the provider has not seen a wrong password.
            return
        if now_ms - since < limit * 1000:
            return
        self._log.warning("imap_disabled_after_failures")
        await self._parts.store.commit(self._parts.store.accounts.update(self._account.id, self._without_imap))

    def _without_imap(self, profile: AccountProfile) -> AccountProfile:
        if profile.imap is None or profile.imap != self._account.profile.imap:
            # It was mended in this moment: we are about to be told.
            return profile
        return dataclasses.replace(profile, imap=dataclasses.replace(profile.imap, disabled=True))


class _Reconnect(Exception):
    """Somebody asked for new connections."""


def _flatten(error: Exception) -> Exception:
    """The first failure of a group of tasks that ended together; being fenced off counts most."""
    if not isinstance(error, ExceptionGroup):
        return error
    leaves: list[Exception] = [_flatten(inner) for inner in error.exceptions]
    for kind in (Fenced, _Reconnect, Deaf, MailquayError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]
