"""Access tokens, their use, their rate windows and their audit log."""

from __future__ import annotations

from collections.abc import Mapping

from mailquay.model.token import AuditEntry, Token, TokenUse
from mailquay.storage.codec import from_json, to_json
from mailquay.storage.interface import Database, Pending, Run, RunMany, Script, Unit
from mailquay.storage.repositories.accounts import like_pattern

StoredToken = tuple[Token, TokenUse]


class TokenRepository:
    """Reads and units of work about tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, token_id: str) -> StoredToken | None:
        """The token with this id (the hash of its value)."""
        rows = await self._database.point("token_by_id", token_id)
        return (from_json(rows[0][0], Token), TokenUse(rows[0][1], rows[0][2])) if rows else None

    async def page(
        self, now_ms: int, *, account: str = "", query: str = "", limit: int, offset: int
    ) -> tuple[int, list[StoredToken]]:
        """How many unexpired tokens match, and one page of them, ids descending."""
        pattern = like_pattern(query)
        [(total,)] = await self._database.fetch("token_count", account, pattern, now_ms)
        rows = await self._database.fetch("token_page", account, pattern, limit, offset, now_ms)
        return int(total), [(from_json(row[0], Token), TokenUse(row[1], row[2])) for row in rows]

    def add(self, token: Token) -> Unit[bool]:
        """Store a token; False when its id is known already."""

        def script(_pending: Pending) -> Script[bool]:
            rows = yield Run(
                "token_insert",
                (token.id, token.account, token.description, to_json(token), token.created_ms, token.expires_ms),
            )
            return bool(rows)

        return script

    def delete(self, token_id: str) -> Unit[bool]:
        """Remove a token with its log; False when there is none."""

        def script(_pending: Pending) -> Script[bool]:
            yield Run("token_delete_log", (token_id,))
            yield Run("token_delete_window", (token_id,))
            rows = yield Run("token_delete", (token_id,))
            return bool(rows)

        return script

    def delete_expired(self, now_ms: int) -> Unit[None]:
        """Remove tokens that have expired."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("token_delete_expired", (now_ms,))

        return script

    def record_use(self, uses: Mapping[str, TokenUse]) -> Unit[None]:
        """Store when and from where tokens were last used, by token id."""
        rows = [(token_id, use.time_ms, use.ip) for token_id, use in uses.items()]

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("token_used", rows)

        return script

    def hit_window(self, token_id: str, window: int) -> Unit[int]:
        """Count a request in a rate window (numbered since the epoch of the windows); the count so far."""

        def script(_pending: Pending) -> Script[int]:
            rows = yield Run("token_window_hit", (token_id, window))
            return int(rows[0][0])

        return script

    def log(self, token_id: str, entries: list[AuditEntry], *, keep: int, oldest_ms: int) -> Unit[None]:
        """Add to a token's audit log and trim it by count and age."""
        rows = [(token_id, entry.time_ms, to_json(entry)) for entry in entries]

        def script(_pending: Pending) -> Script[None]:
            yield RunMany("token_log_insert", rows)
            yield Run("token_log_trim", (token_id, keep, oldest_ms))

        return script

    async def log_page(self, token_id: str, *, limit: int, offset: int) -> tuple[int, list[AuditEntry]]:
        """How many entries a token's audit log has, and one page, newest first."""
        [(total,)] = await self._database.fetch("token_log_count", token_id)
        rows = await self._database.fetch("token_log_page", token_id, limit, offset)
        return int(total), [from_json(row[0], AuditEntry) for row in rows]
