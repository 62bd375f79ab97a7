"""The event log and what its readers keep: positions, sequences, contents until delivery, webhook cursors."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from mailquay.errors import StorageError
from mailquay.model.account import AccountNumber
from mailquay.model.event import EventName, LoggedEvent, NewEvent
from mailquay.storage.codec import mapping, to_json, to_json_bytes
from mailquay.storage.interface import Database, Finish, Pending, Row, Run, RunMany, Script, Unit
from mailquay.storage.secrets import Vault

_log = structlog.get_logger(__name__)


def event_writer(vault: Callable[[], Vault]) -> Finish:
    """The last step of a group commit: draws positions and sequences under one lock, so that commit order is position
    order, and inserts the events. The contents are sealed before the lock is taken.
    """

    def finish(events: Sequence[tuple[str, NewEvent]]) -> Script[None]:
        sealed = [
            None if event.content is None else _seal(vault(), event_id, event.content) for event_id, event in events
        ]
        per_account = Counter(event.account for _, event in events)
        yield Run("event_position_lock")
        rows = yield Run("event_positions_draw", (len(events),))
        position = rows[0][0] - len(events)
        following: dict[int, int] = {}
        account_ids: dict[int, str] = {}
        for account in sorted(per_account):
            rows = yield Run("event_sequences_draw", (account, per_account[account]))
            following[account] = rows[0][0] - per_account[account]
            account_ids[account] = rows[0][1]
        inserts, contents = [], []
        for (event_id, event), content in zip(events, sealed, strict=True):
            position += 1
            following[event.account] += 1
            inserts.append(
                (
                    position,
                    event.account,
                    following[event.account],
                    event_id,
                    account_ids[event.account],
                    event.name.value,
                    event.date_ms,
                    event.path,
                    event.special_use,
                    to_json(event.facts),
                )
            )
            if content is not None:
                contents.append((position, content))
        yield RunMany("event_insert", inserts)
        if contents:
            yield RunMany("event_content_insert", contents)
        counted = Counter((event.account, event.name.value) for _, event in events)
        yield RunMany("event_counter_add", [(*key, total) for key, total in sorted(counted.items())])
        per_minute = Counter((event.date_ms // 60_000, f"events:{event.name.value}") for _, event in events)
        yield RunMany("stat_add", [(*key, total) for key, total in sorted(per_minute.items())])

    return finish


def _seal(vault: Vault, event_id: str, content: object) -> bytes:
    return vault.seal(to_json_bytes(content), table="event_contents", column="content", row=event_id)


@dataclass(frozen=True, slots=True)
class WebhookCursor:
    """How far an account's events are delivered, and how the one after that is doing. Times in ms since the epoch."""

    sequence: int = 0
    attempts_made: int = 0
    next_attempt_ms: int | None = None
    failing_since_ms: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class ParkedDelivery:
    """An event that its endpoint refused for good while others passed."""

    position: int
    target: str
    attempts_made: int
    error: str
    parked_ms: int


class EventLog:
    """Reads of the log, and units of work for its readers."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def after(self, position: int, limit: int) -> list[LoggedEvent]:
        """The events that follow a position, in order."""
        return [self._event(row) for row in await self._database.fetch("events_after", position, limit)]

    async def of_account_after(self, account: int, sequence: int, limit: int) -> list[LoggedEvent]:
        """The events of an account that follow a sequence number, in order."""
        rows = await self._database.point("events_of_account_after", account, sequence, limit)
        return [self._event(row) for row in rows]

    async def facts_of_account_after(self, account: int, sequence: int, limit: int) -> list[LoggedEvent]:
        """The same without contents, which may be large; `with_content` adds one."""
        rows = await self._database.point("event_facts_of_account_after", account, sequence, limit)
        return [self._event(row) for row in rows]

    async def with_content(self, event: LoggedEvent) -> LoggedEvent:
        """The event with its content while that is kept; one that cannot be unsealed is logged and left out."""
        rows = await self._database.point("event_content_get", event.position)
        if not rows:
            return event
        try:
            plain = self._vault.open(rows[0][0], table="event_contents", column="content", row=event.event_id)
        except StorageError as error:
            # Its identifiers can still be told; held back, it would hold back all that follow.
            _log.error("event_content_lost", event_id=event.event_id, error=error.message)
            return event
        return dataclasses.replace(event, content=mapping(plain))

    async def last_sequence(self, account: int) -> int:
        """The newest sequence number of an account; 0 before its first event."""
        rows = await self._database.point("event_last_sequence", account)
        return int(rows[0][0]) if rows else 0

    async def webhook_cursor(self, account: int) -> WebhookCursor:
        """How far an account's webhooks got."""
        rows = await self._database.point("webhook_cursor_get", account)
        return WebhookCursor(*rows[0]) if rows else WebhookCursor()

    async def webhook_backlog(self) -> dict[int, int]:
        """Accounts with undelivered events, and how many each."""
        rows = await self._database.fetch("webhook_backlog")
        return {int(account): int(count) for account, count in rows}

    async def webhook_orphans(self) -> list[int]:
        """Deleted accounts whose last events are still to be delivered."""
        return [account for (account,) in await self._database.fetch("webhook_orphans")]

    def settle_webhooks(
        self, account: AccountNumber, before: int, cursor: WebhookCursor, parked: ParkedDelivery | None = None
    ) -> Unit[None]:
        """Move the webhook cursor from sequence `before`; contents that nobody needs any more are dropped."""

        def script(_pending: Pending) -> Script[None]:
            if parked is not None:
                target = self._vault.seal(
                    parked.target.encode(), table="parked_deliveries", column="target", row=parked.position
                )
                yield Run(
                    "parked_insert",
                    (parked.position, account, target, parked.attempts_made, parked.error, parked.parked_ms),
                )
            yield Run(
                "webhook_cursor_put",
                (
                    account,
                    cursor.sequence,
                    cursor.attempts_made,
                    cursor.next_attempt_ms,
                    cursor.failing_since_ms,
                    cursor.last_error,
                ),
            )
            if cursor.sequence > before:
                yield Run("event_contents_settle", (account, before, cursor.sequence))

        return script

    def reset_counter(self, account: AccountNumber, name: EventName) -> Unit[None]:
        """Start counting an event anew."""

        def script(_pending: Pending) -> Script[None]:
            yield Run("event_counter_reset", (account, name.value))

        return script

    def expire(self, before_ms: int, now_ms: int, limit: int) -> Unit[int]:
        """Drop the oldest events, delivered or not, with what is kept beside them; returns how many of `limit`.

        They go from the front of the log up to the first that is young enough; what bears a date to come is old.
        """

        def script(_pending: Pending) -> Script[int]:
            expired = [tuple(row) for row in (yield Run("events_expired", (before_ms, now_ms, limit)))]
            for name in ("event_content_delete", "parked_delete", "event_delete"):
                yield RunMany(name, expired)
            return len(expired)

        return script

    def _event(self, row: Row) -> LoggedEvent:
        position, sequence, event_id, account, account_id, name, date_ms, facts, content, path, special_use = row
        plain = (
            None
            if content is None
            else mapping(self._vault.open(content, table="event_contents", column="content", row=event_id))
        )
        return LoggedEvent(
            position=position,
            sequence=sequence,
            event_id=event_id,
            account=AccountNumber(account),
            account_id=account_id,
            name=EventName(name),
            date_ms=date_ms,
            facts=mapping(facts),
            content=plain,
            path=path,
            special_use=special_use,
        )
