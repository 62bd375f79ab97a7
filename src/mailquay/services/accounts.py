"""Accounts: registered, changed, removed, shown; reconnected, synced and flushed on the node that owns them."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from typing import Any, Literal

import structlog

from mailquay.errors import BackendError, InvalidRequest, NotOperational
from mailquay.model.account import Account, AccountId, AccountProfile
from mailquay.services import identifiers
from mailquay.services.account_changes import AccountChanges
from mailquay.services.account_view import account_entry, account_info
from mailquay.services.ports import AccountControl, Clock, MailAccess
from mailquay.services.settings import SettingsService
from mailquay.services.verification import verification
from mailquay.storage.repositories.accounts import Registered
from mailquay.storage.repositories.fencing import fenced
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_COUNTER_READS = 16
_FLUSH = "flush"
_LONGEST_FLUSH_MS = 120_000


class AccountService:
    """What the API and the command line do with accounts."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        clock: Clock,
        access: MailAccess,
        control: AccountControl,
        *,
        flush_pause_seconds: float,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._access = access
        self._control = control
        self._flush_pause_seconds = flush_pause_seconds

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, account_id: str) -> Account | None:
        """The account with this id."""
        return await self._store.accounts.get(account_id)

    async def info(self, account: Account) -> dict[str, Any]:
        """An account in its public form."""
        counters = await self._store.accounts.event_counters(account.number)
        try:
            connections: int | None = self._access.connections(account.number)
        except NotOperational:
            connections = None
        verified = await verification(self._store, account) if account.profile.indexed else None
        return account_info(account, counters, connections, verified)

    async def quota(self, account: Account, *, timeout_seconds: float) -> dict[str, Any] | Literal[False]:
        """How full the mailbox is, in bytes; False where the server does not say, or while it cannot be asked."""
        if not account.profile.has_imap or not account.status.state.operational:
            return False
        try:
            async with self._access.session(account, timeout_seconds=timeout_seconds) as session:
                quota = await session.quota()
        except (BackendError, NotOperational) as error:
            # What else is known of the account is shown all the same.
            _log.warning("quota_not_read", account=account.id, error=error.message)
            return False
        if quota is None or quota.used_bytes is None or not quota.limit_bytes:
            return False
        percent = round(100 * quota.used_bytes / quota.limit_bytes)
        return {"usage": quota.used_bytes, "limit": quota.limit_bytes, "status": f"{percent}%"}

    async def page(self, *, state: str = "", query: str = "", page: int, page_size: int) -> tuple[int, list[Any]]:
        """How many accounts match, and a page of them in their public form."""
        total, accounts = await self._store.accounts.page(
            state=state, query=query, limit=page_size, offset=page * page_size
        )
        entries = []
        for start in range(0, len(accounts), _COUNTER_READS):
            some = accounts[start : start + _COUNTER_READS]
            counters = await asyncio.gather(*(self._store.accounts.event_counters(one.number) for one in some))
            entries += [account_entry(account, count) for account, count in zip(some, counters, strict=True)]
        return total, entries

    async def count_by_state(self) -> dict[str, int]:
        """How many accounts are in each state."""
        return await self._store.accounts.count_by_state()

    # -- changing --------------------------------------------------------------------------------

    async def register(self, account_id: str | None, changes: AccountChanges) -> Registered:
        """Create an account, or change the one that has this id.

        Raises InvalidRequest when the result could not work.
        """
        now_ms = self._clock.now_ms()
        indexer = str(await self._settings.get("imapIndexer"))

        def change(profile: AccountProfile) -> AccountProfile:
            if profile == AccountProfile():
                profile = dataclasses.replace(profile, notify_from_ms=now_ms, imap_indexer=indexer)
            return changes.apply(profile)

        chosen = AccountId(account_id or identifiers.new_account_id())
        registered = await self._store.commit(self._store.accounts.upsert(chosen, change, now_ms))
        _log.info("account_registered", account=chosen, created=registered.created)
        return registered

    async def update(self, account_id: str, changes: AccountChanges) -> Account | None:
        """Change an account; None when there is none.

        Raises InvalidRequest when the result could not work.
        """
        return await self._store.commit(self._store.accounts.update(AccountId(account_id), changes.apply))

    async def delete(self, account_id: str) -> bool:
        """Remove an account with its tokens, mail on its way, index and logs; False when there is none."""
        unit = self._store.accounts.delete(AccountId(account_id), self._clock.now_ms())
        removed = await self._store.commit(unit)
        if removed is not None:
            _log.info("account_deleted", account=account_id)
        return removed is not None

    # -- on the owning node ----------------------------------------------------------------------

    def reconnect(self, account: Account) -> None:
        """Have the account's connections made anew.

        Raises NotOperational when this node does not own the account.
        """
        self._control.reconnect(account.number)

    def sync(self, account: Account) -> None:
        """Have every mailbox of the account brought up to date.

        Raises NotOperational when the account's state forbids it or this node does not own it.
        """
        self._control.sync(account.number)

    async def flush(self, account: Account, *, notify_from_ms: int | None, imap_indexer: str | None) -> None:
        """Forget the account's index and, after a pause, build it anew, as if it had never been connected.

        Raises InvalidRequest (LockFail) until another flush in the instance is over with its pause, NotOperational
        when this node does not own the account, Fenced when another one has taken it meanwhile.
        """
        fence = self._access.fence(account.number)
        holder = secrets.token_hex(8)
        if not await self._store.commit(self._store.nodes.lock(_FLUSH, holder, _LONGEST_FLUSH_MS)):
            raise InvalidRequest("another account is being flushed; try again in a moment", code="LockFail")
        try:
            await self._control.pause(account.number)
            changes: dict[str, Any] = {"notify_from_ms": notify_from_ms}
            if imap_indexer is not None:
                changes["imap_indexer"] = imap_indexer
            apply = AccountChanges(changes).apply
            forget = self._store.accounts.forget_index(account.number, account.id, apply)
            await self._store.commit(fenced(fence, forget))
        except BaseException:
            self._control.resume(account.number, after_seconds=0)
            await self._store.commit(self._store.nodes.unlock(_FLUSH, holder))
            raise
        self._control.resume(account.number, after_seconds=self._flush_pause_seconds)
        # Nobody has to let go of it: it is over when the account goes on.
        await self._store.commit(self._store.nodes.lock(_FLUSH, holder, int(self._flush_pause_seconds * 1000)))
        _log.info("account_flushed", account=account.id)
