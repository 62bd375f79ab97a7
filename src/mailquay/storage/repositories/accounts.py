"""Accounts. What may hold a secret (servers, webhook target and headers, proxy) is sealed as one field per account."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mailquay.errors import InvalidRequest
from mailquay.model.account import (
    Account,
    AccountId,
    AccountNumber,
    AccountProfile,
    AccountState,
    AccountStatus,
    CustomHeader,
    ImapSettings,
    SmtpSettings,
)
from mailquay.model.event import EventName, NewEvent
from mailquay.model.node import Fence
from mailquay.storage.codec import from_json, to_json, to_json_bytes
from mailquay.storage.interface import (
    ACCOUNT_CHANGED,
    LEASES_CHANGED,
    PURGE_DUE,
    Database,
    Pending,
    Row,
    Run,
    RunMany,
    Script,
    Unit,
)
from mailquay.storage.repositories.fencing import check_fence
from mailquay.storage.repositories.upkeep import OF_ACCOUNT, detach
from mailquay.storage.secrets import Vault


@dataclass(frozen=True, slots=True)
class _Private:
    """The part of a profile that may hold secrets."""

    imap: ImapSettings | None = None
    smtp: SmtpSettings | None = None
    webhooks: str | None = None
    webhooks_custom_headers: tuple[CustomHeader, ...] = ()
    proxy: str | None = None


_PRIVATE_FIELDS = tuple(field.name for field in dataclasses.fields(_Private))

Change = Callable[[AccountProfile], AccountProfile]
_PROFILES_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Registered:
    """The outcome of an upsert."""

    account: Account
    created: bool


class AccountRepository:
    """Reads and units of work about accounts."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        # By the sealed field, which is never the same twice: every request reads its account.
        self._profiles: dict[bytes, AccountProfile] = {}

    # -- reads ---------------------------------------------------------------------------------

    async def get(self, account_id: str) -> Account | None:
        """The account with this public id."""
        rows = await self._database.point("account_by_id", account_id)
        return self._account(rows[0]) if rows else None

    async def by_number(self, number: int) -> Account | None:
        """The account with this number."""
        rows = await self._database.point("account_by_number", number)
        return self._account(rows[0]) if rows else None

    async def page(self, *, state: str = "", query: str = "", limit: int, offset: int) -> tuple[int, list[Account]]:
        """How many accounts match, and one page, ordered by id. `query` is a substring of id, name or address."""
        pattern = like_pattern(query)
        [(total,)] = await self._database.fetch("account_count", state, pattern)
        rows = await self._database.fetch("account_page", state, pattern, limit, offset)
        return total, [self._account(row) for row in rows]

    async def several(self, ids: Sequence[str]) -> list[Account]:
        """Those of these accounts that exist, by their public ids."""
        return [self._account(row) for row in await self._database.fetch("account_several", to_json(list(ids)))]

    async def numbers(self) -> list[AccountNumber]:
        """The numbers of all accounts."""
        return [AccountNumber(number) for (number,) in await self._database.fetch("account_numbers")]

    async def revisions(self) -> dict[int, int]:
        """The revision of every account's profile, by number."""
        return {int(number): int(revision) for number, revision in await self._database.fetch("account_revisions")}

    async def count_by_state(self) -> dict[str, int]:
        """How many accounts are in each state, by the states' public names."""
        rows = await self._database.fetch("account_states")
        return {str(state): int(count) for state, count in rows}

    async def event_counters(self, number: int) -> dict[str, int]:
        """How many events of each name the account has had."""
        rows = await self._database.point("event_counters_of_account", number)
        return {str(name): int(total) for name, total in rows}

    # -- units ---------------------------------------------------------------------------------

    def upsert(self, account_id: AccountId, change: Change, now_ms: int) -> Unit[Registered]:
        """Create the account, or change the existing one; a new one is logged as accountAdded."""

        def script(pending: Pending) -> Script[Registered]:
            existing = yield from self._lock(account_id)
            if existing is not None:
                return Registered((yield from self._store_profile(existing, change, pending)), created=False)
            profile = change(AccountProfile())
            state = AccountState.INIT if profile.has_imap else AccountState.UNSET
            status = AccountStatus(state=state)
            public, private = self._split(account_id, profile)
            [(known_set,)] = yield Run("known_set_draw")
            identity = (account_id, profile.name, profile.email)
            rows = yield Run(
                "account_insert",
                (*identity, state.value, public, private, to_json(status), known_set, profile.index, now_ms),
            )
            if not rows:
                raise InvalidRequest(f"account {account_id} was registered at the same time; try again")
            number = AccountNumber(rows[0][0])
            yield Run("event_sequence_start", (number, account_id))
            yield Run("lease_insert", (number,))
            pending.append(NewEvent(number, EventName.ACCOUNT_ADDED, now_ms, {"account": account_id}))
            pending.signal(ACCOUNT_CHANGED, number)
            pending.signal(LEASES_CHANGED)
            return Registered(Account(number, account_id, profile, status, 1, now_ms), created=True)

        return script

    def update(self, account_id: AccountId, change: Change) -> Unit[Account | None]:
        """Change the profile of an existing account; None when there is none."""

        def script(pending: Pending) -> Script[Account | None]:
            existing = yield from self._lock(account_id)
            if existing is None:
                return None
            return (yield from self._store_profile(existing, change, pending))

        return script

    def delete(self, account_id: AccountId, now_ms: int) -> Unit[Account | None]:
        """Remove an account with everything it owns, except its events; accountDeleted is the last of them.

        What may be many rows is purged afterwards, in steps, but cannot be found any more. Its outstanding webhooks are
        dropped: the webhook cursor is moved up to that last event by its reader.
        """

        def script(pending: Pending) -> Script[Account | None]:
            existing = yield from self._lock(account_id)
            if existing is None:
                return None
            yield from self._detach_index(existing.number, pending)
            for kind in OF_ACCOUNT:
                yield from detach(kind, existing.number, pending)
            yield Run("account_delete_retired_mailboxes", (existing.number,))
            yield Run("account_delete_counters", (existing.number,))
            yield Run("account_delete_tokens", (account_id,))
            yield Run("lease_delete", (existing.number,))
            yield Run("account_delete", (existing.number,))
            target = {"webhooks": existing.profile.webhooks, "headers": existing.profile.webhooks_custom_headers}
            content = {"account": account_id, "_target": target}
            pending.append(
                NewEvent(existing.number, EventName.ACCOUNT_DELETED, now_ms, {"account": account_id}, content)
            )
            pending.signal(ACCOUNT_CHANGED, existing.number)
            pending.signal(LEASES_CHANGED)
            return existing

        return script

    def update_status(
        self,
        number: AccountNumber,
        status: AccountStatus,
        fence: Fence | None,
        events: Sequence[NewEvent] = (),
    ) -> Unit[None]:
        """Store what the owner learnt about an account, with the events that follow from it.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(pending: Pending) -> Script[None]:
            if fence is not None:
                yield from check_fence(fence)
            rows = yield Run("account_status", (number,))
            if not rows:
                return
            # How sending goes is written by `update_smtp_status` alone.
            kept = dataclasses.replace(status, smtp_status=from_json(rows[0][1], AccountStatus).smtp_status)
            yield Run("account_update_status", (number, status.state.value, to_json(kept)))
            for event in events:
                pending.append(event)

        return script

    def update_smtp_status(self, number: AccountNumber, smtp_status: Mapping[str, object]) -> Unit[None]:
        """Store how the last submission went."""

        def script(_pending: Pending) -> Script[None]:
            rows = yield Run("account_status", (number,))
            if rows:
                status = dataclasses.replace(from_json(rows[0][1], AccountStatus), smtp_status=smtp_status)
                yield Run("account_update_status", (number, rows[0][0], to_json(status)))

        return script

    def forget_index(self, number: AccountNumber, account_id: AccountId, change: Change) -> Unit[None]:
        """Flush: drop the index and what it knows, change the profile, and start as if never connected.

        The rows of the old index are purged afterwards, in steps.
        """

        def script(pending: Pending) -> Script[None]:
            existing = yield from self._lock(account_id)
            if existing is None:
                return
            yield from self._detach_index(number, pending)
            [(known_set,)] = yield Run("known_set_draw")
            yield Run("account_replace_known_set", (number, known_set))
            status = dataclasses.replace(existing.status, ever_connected=False, state=AccountState.PAUSED)
            yield Run("account_update_status", (number, status.state.value, to_json(status)))
            yield from self._store_profile(existing, change, pending)

        return script

    def append_log(self, number: AccountNumber, entries: Sequence[str], now_ms: int, keep: int) -> Unit[None]:
        """Add lines to the account's own log and keep the newest `keep`."""

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("account_log_insert", [(number, now_ms, entry) for entry in entries])
            yield Run("account_log_trim", (number, keep))

        return script

    async def read_log(self, number: AccountNumber) -> list[str]:
        """The account's own log, oldest first."""
        return [entry for (entry,) in await self._database.fetch("account_log_read", number)]

    # -- rows ----------------------------------------------------------------------------------

    def _lock(self, account_id: AccountId) -> Script[Account | None]:
        rows = yield Run("account_lock", (account_id,))
        return self._account(rows[0]) if rows else None

    def _detach_index(self, number: AccountNumber, pending: Pending) -> Script[None]:
        yield Run("account_purge_messages", (number,))
        yield Run("account_end_replacements", (number,))
        yield Run("account_purge_known", (number,))
        yield Run("account_delete_mailboxes", (number,))
        pending.signal(PURGE_DUE)

    def _store_profile(self, existing: Account, change: Change, pending: Pending) -> Script[Account]:
        profile = change(existing.profile)
        public, private = self._split(existing.id, profile)
        identity = (existing.number, profile.name, profile.email)
        rows = yield Run("account_update_profile", (*identity, public, private, profile.index))
        if profile.indexed != existing.profile.indexed:
            # Each mailbox is begun anew, with an index or without; what was announced stays known by UIDNEXT.
            yield Run("account_lose_sync", (existing.number,))
        if profile.keeps_envelopes and not existing.profile.keeps_envelopes:
            yield Run("account_keep_contents", (existing.number,))
        elif existing.profile.keeps_envelopes and not profile.keeps_envelopes:
            yield Run("account_purge_contents", (existing.number,))
            pending.signal(PURGE_DUE)
        if profile.keeps_texts != existing.profile.keeps_texts:
            yield Run("account_lacks_texts", (existing.number,))
            yield Run("account_keep_texts" if profile.keeps_texts else "account_purge_texts", (existing.number,))
            pending.signal(PURGE_DUE)
        pending.signal(ACCOUNT_CHANGED, existing.number)
        return dataclasses.replace(existing, profile=profile, revision=rows[0][0])

    def _split(self, account_id: AccountId, profile: AccountProfile) -> tuple[str, bytes]:
        private = _Private(**{name: getattr(profile, name) for name in _PRIVATE_FIELDS})
        public = dataclasses.replace(
            profile, imap=None, smtp=None, webhooks=None, webhooks_custom_headers=(), proxy=None
        )
        sealed = self._vault.seal(to_json_bytes(private), table="accounts", column="private", row=account_id)
        return to_json(public), sealed

    def _account(self, row: Row) -> Account:
        number, account_id, public, sealed, state, status, revision, created_ms = row
        profile = self._profiles.get(sealed)
        if profile is None:
            profile = self._open_profile(account_id, public, sealed)
        return Account(
            number=AccountNumber(number),
            id=AccountId(account_id),
            profile=profile,
            status=dataclasses.replace(from_json(status, AccountStatus), state=AccountState(state)),
            revision=revision,
            created_ms=created_ms,
        )

    def _open_profile(self, account_id: str, public: str, sealed: bytes) -> AccountProfile:
        plain = self._vault.open(sealed, table="accounts", column="private", row=account_id)
        private = from_json(plain, _Private)
        profile = dataclasses.replace(
            from_json(public, AccountProfile), **{name: getattr(private, name) for name in _PRIVATE_FIELDS}
        )
        if len(self._profiles) >= _PROFILES_KEPT:
            self._profiles.clear()
        self._profiles[sealed] = profile
        return profile


def like_pattern(query: str) -> str:
    """A LIKE pattern (escape "\\") for a case-insensitive substring; empty for an empty query."""
    if not query:
        return ""
    escaped = query.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
