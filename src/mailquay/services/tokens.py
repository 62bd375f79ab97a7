"""Access tokens: issued, found again by the hash of their value, recorded in use.

A token is 32 random bytes, shown once as 64 hex digits and stored under the SHA-256 of the bytes. Being random, it
needs no slow hash, and looking it up by the hash leaks nothing through the time it takes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, replace

import structlog

from mailquay.errors import InvalidRequest, NotFound, StorageError
from mailquay.model.token import SCOPES, AuditEntry, Permissions, Restrictions, Token, TokenUse
from mailquay.services.periodic import do_every
from mailquay.services.ports import Clock
from mailquay.services.token_export import export_record, import_record
from mailquay.storage.interface import ACCOUNT_CHANGED, ANYTHING_CHANGED, Signal, Unit, run_together
from mailquay.storage.repositories.tokens import StoredToken
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_TOKEN_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_CACHED = 10_000
_ALL = 1_000_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is to be allowed; see model.token.Token."""

    description: str
    account: str | None = None
    scopes: tuple[str, ...] | None = ("api",)
    restrictions: Restrictions | None = None
    permissions: Permissions | None = None
    metadata: str | None = None
    ip: str | None = None
    remote_address: str | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh token; its value exists nowhere else."""

    value: str
    id: str


class TokenService:
    """Everything about tokens. `start` begins to write down their use in batches, `close` writes the last."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        log_entries: int,
        log_age_seconds: float,
        cache_seconds: float = 1.0,
        flush_seconds: float = 1.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._log_entries = log_entries
        self._log_age_ms = int(log_age_seconds * 1000)
        self._cache_seconds = cache_seconds
        self._flush_seconds = flush_seconds
        self._cache: OrderedDict[str, tuple[Token, float]] = OrderedDict()
        self._generation = 0
        self._uses: dict[str, TokenUse] = {}
        self._audits: dict[str, deque[AuditEntry]] = {}
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = store.database.subscribe(self._on_signals)

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write uses and audit entries to the store."""
        self._task = asyncio.create_task(do_every(self._flush_seconds, "token use", self.flush), name="token-use")

    async def close(self) -> None:
        """Write what is left, and stop."""
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.flush()

    # -- finding ---------------------------------------------------------------------------------

    async def verify(self, value: str) -> Token | None:
        """The token with this value; None when it is unknown or has expired.

        An answer may be as old as the cache on another node than the one that changed the token, never on that one.
        """
        token_id = id_of(value)
        if token_id is None:
            return None
        now = asyncio.get_running_loop().time()
        cached = self._cache.get(token_id)
        if cached is not None and cached[1] > now:
            token = cached[0]
        else:
            generation = self._generation
            stored = await self._store.tokens.get(token_id)
            if stored is None:
                self._cache.pop(token_id, None)
                return None
            token = stored[0]
            if generation == self._generation:  # else it may have been revoked while we read
                self._remember(token, now + self._cache_seconds)
        if token.expires_ms is not None and token.expires_ms <= self._clock.now_ms():
            return None
        return token

    def _remember(self, token: Token, until: float) -> None:
        self._cache[token.id] = (token, until)
        self._cache.move_to_end(token.id)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)

    def _on_signals(self, signals: frozenset[Signal]) -> None:
        """With an account its tokens go; another process may have changed anything."""
        if any(signal.kind in (ACCOUNT_CHANGED, ANYTHING_CHANGED) for signal in signals):
            self._forget_all()

    def _forget_all(self) -> None:
        self._cache.clear()
        self._generation += 1

    async def get(self, token_id: str) -> StoredToken | None:
        """A token by its id (not its value), with its last use; None when it is unknown or has expired."""
        stored = await self._store.tokens.get(token_id.lower())
        if stored is None:
            return None
        if stored[0].expires_ms is not None and stored[0].expires_ms <= self._clock.now_ms():
            return None
        return self._with_use(stored)

    async def page(
        self, *, account: str = "", query: str = "", limit: int, offset: int
    ) -> tuple[int, list[StoredToken]]:
        """How many tokens match and one page of them, ids descending; expired ones are removed on sight."""
        now_ms = self._clock.now_ms()
        await self._store.commit(self._store.tokens.delete_expired(now_ms))
        total, tokens = await self._store.tokens.page(now_ms, account=account, query=query, limit=limit, offset=offset)
        return total, [self._with_use(stored) for stored in tokens]

    async def all(self, *, account: str | None = None) -> list[Token]:
        """Every token that has not expired, or those of an account."""
        _, tokens = await self.page(account=account or "", limit=_ALL, offset=0)
        return [token for token, _ in tokens]

    def _with_use(self, stored: StoredToken) -> StoredToken:
        return stored[0], self._uses.get(stored[0].id, stored[1])

    async def log_page(self, token_id: str, *, limit: int, offset: int) -> tuple[int, list[AuditEntry]]:
        """How many entries the audit log of a token has, and one page, newest first."""
        await self.flush()
        return await self._store.tokens.log_page(token_id.lower(), limit=limit, offset=offset)

    # -- changing --------------------------------------------------------------------------------

    async def create(self, wanted: NewToken) -> IssuedToken:
        """Make a token.

        Raises NotFound when its account does not exist.
        """
        if wanted.account is not None and await self._store.accounts.get(wanted.account) is None:
            raise NotFound("there is no account with this id")
        raw = secrets.token_bytes(_TOKEN_BYTES)
        token = Token(
            id=hashlib.sha256(raw).hexdigest(),
            description=wanted.description,
            created_ms=self._clock.now_ms(),
            account=wanted.account,
            scopes=wanted.scopes,
            restrictions=wanted.restrictions,
            permissions=wanted.permissions,
            metadata=wanted.metadata,
            ip=wanted.ip,
            remote_address=wanted.remote_address,
            expires_ms=wanted.expires_ms,
        )
        await self._store.commit(self._store.tokens.add(token))
        return IssuedToken(raw.hex(), token.id)

    async def issue(self, *, description: str, scopes: tuple[str, ...], account: str | None = None) -> str:
        """Make a token for whoever holds the machine: any scope, no permissions asked. Returns its value.

        Raises InvalidRequest for an unknown scope, NotFound for an unknown account.
        """
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise InvalidRequest(f"{unknown[0]!r} is not a scope; these are: {', '.join(SCOPES)}")
        return (await self.create(NewToken(description, account=account, scopes=scopes))).value

    async def replace(self, purpose: str) -> str:
        """Make a token that may do everything, in place of those made for the same purpose before; its value.

        Values are not kept, so that one which has to be shown again has to be made again.
        """
        mark = json.dumps({"purpose": purpose})
        former = [token.id for token in await self.all() if token.metadata == mark]
        issued = await self.create(NewToken(f"made for the {purpose}", scopes=("*",), metadata=mark))
        for token_id in former:
            await self._remove(token_id)
        return issued.value

    async def ensure_first_token(self) -> str | None:
        """Make a token that may do everything if there is none at all, and return its value to be shown once."""
        total, _ = await self.page(limit=1, offset=0)
        return None if total else await self.issue(description="made at the first start", scopes=("*",))

    async def revoke(self, value_or_id: str) -> bool:
        """Remove a token with its log; False when there is none."""
        return any([await self._remove(token_id) for token_id in _candidates(value_or_id)])

    async def _remove(self, token_id: str) -> bool:
        removed = await self._store.commit(self._store.tokens.delete(token_id))
        self._forget_all()
        self._uses.pop(token_id, None)
        self._audits.pop(token_id, None)
        return removed

    async def export(self, value_or_id: str) -> str:
        """A token's record as text for `import_`; its value is not in it.

        Raises NotFound when there is no such token.
        """
        for token_id in _candidates(value_or_id):
            stored = await self._store.tokens.get(token_id)
            if stored is not None:
                return export_record(stored[0])
        raise NotFound("there is no such token")

    async def import_(self, exported: str) -> bool:
        """Store an exported record unless its id is known; tells whether it was new.

        Raises InvalidRequest when the text is no exported token.
        """
        token = replace(import_record(exported), created_ms=self._clock.now_ms())
        return await self._store.commit(self._store.tokens.add(token))

    # -- use -------------------------------------------------------------------------------------

    async def count_request(self, token_id: str, window: int) -> int:
        """Count a request in a rate window; how many there were in it, on all nodes."""
        return await self._store.commit(self._store.tokens.hit_window(token_id, window))

    def record_use(self, token_id: str, ip: str) -> None:
        """Note that a token was used just now."""
        self._uses[token_id] = TokenUse(self._clock.now_ms(), ip)

    def record_audit(self, token_id: str, entry: AuditEntry) -> None:
        """Note a request in the audit log of a token."""
        log = self._audits.get(token_id)
        if log is None:
            log = self._audits[token_id] = deque(maxlen=self._log_entries)
        log.append(entry)

    async def flush(self) -> None:
        """Write what was noted; what cannot be written now stays noted."""
        uses, self._uses = self._uses, {}
        audits, self._audits = self._audits, {}
        if not uses and not audits:
            return
        oldest_ms = self._clock.now_ms() - self._log_age_ms
        units: list[Unit[None]] = [self._store.tokens.record_use(uses)] if uses else []
        units += [
            self._store.tokens.log(token_id, list(entries), keep=self._log_entries, oldest_ms=oldest_ms)
            for token_id, entries in audits.items()
        ]
        try:
            await self._store.commit(run_together(*units))
        except StorageError as error:
            _log.warning("token_use_not_stored", error=str(error))
            self._uses = {**uses, **self._uses}
            for token_id, entries in audits.items():
                entries.extend(self._audits.get(token_id, ()))
                self._audits[token_id] = entries


def id_of(value: str) -> str | None:
    """The id of the token with this value; None when it cannot be one."""
    return hashlib.sha256(bytes.fromhex(value)).hexdigest() if _HEX.fullmatch(value) else None


def _candidates(value_or_id: str) -> tuple[str, ...]:
    """The ids that the text may stand for."""
    hashed = id_of(value_or_id)
    return () if hashed is None else (value_or_id.lower(), hashed)
