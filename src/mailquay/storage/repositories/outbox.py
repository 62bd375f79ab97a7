"""The outbox: submissions with their sealed bodies, idempotency keys, and the phases of a delivery."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailquay.errors import NotFound
from mailquay.model.account import AccountNumber
from mailquay.model.event import NewEvent
from mailquay.model.node import Fence
from mailquay.model.submission import Filing, Phase, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.storage.codec import from_json, mapping, to_json, to_json_bytes
from mailquay.storage.interface import (
    FILING_DUE,
    OUTBOX_CHANGED,
    Database,
    Pending,
    Row,
    Run,
    RunMany,
    Script,
    Unit,
)
from mailquay.storage.repositories.fencing import check_fence
from mailquay.storage.secrets import Vault

CHUNK_BYTES = 256 * 1024
IDEMPOTENCY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The outcome of a submit: the response to give, and whether it was stored before (idempotency HIT)."""

    response: Mapping[str, Any]
    repeated: bool


class OutboxRepository:
    """Reads and units of work about submissions."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    # -- reads ---------------------------------------------------------------------------------

    async def get(self, queue_id: str) -> Submission | None:
        """One submission."""
        rows = await self._database.point("outbox_by_id", queue_id)
        return self._submission(rows[0]) if rows else None

    async def page(self, now_ms: int, *, limit: int, offset: int) -> tuple[int, list[Submission]]:
        """How many there are, and one page: delayed, waiting, active, then failed and uncertain ones."""
        [(total,)] = await self._database.fetch("outbox_count")
        rows = await self._database.fetch("outbox_page", limit, offset, now_ms)
        return int(total), [self._submission(row) for row in rows]

    async def due(self, account: int, now_ms: int, limit: int) -> list[Submission]:
        """What an account has to send now, oldest first."""
        return [self._submission(row) for row in await self._database.point("outbox_due", account, now_ms, limit)]

    async def next_due_ms(self, account: int) -> int | None:
        """When an account has to send next; None when it has nothing to send."""
        [(due_ms,)] = await self._database.point("outbox_next_due", account)
        return None if due_ms is None else int(due_ms)

    async def waiting_accounts(self) -> list[int]:
        """The accounts that have something to send, now or later."""
        return [int(number) for (number,) in await self._database.fetch("outbox_waiting_accounts")]

    async def recent(self, account: int, since_ms: int, until_ms: int, limit: int) -> list[Submission]:
        """So many of the submissions of an account that were made between two times and are kept, in any order."""
        rows = await self._database.fetch("outbox_recent", account, since_ms, until_ms, limit)
        return [self._submission(row) for row in rows]

    async def filing_due(self, account: int, now_ms: int) -> Filing | None:
        """The oldest of what an account has to file now."""
        rows = await self._database.point("outbox_filing_due", account, now_ms)
        if not rows:
            return None
        *columns, attempts_made, has_body = rows[0]
        return Filing(self._submission(columns), attempts_made, bool(has_body))

    async def filing_accounts(self) -> list[int]:
        """The accounts that have something to file, now or later."""
        return [int(number) for (number,) in await self._database.fetch("outbox_filing_accounts")]

    async def next_filing_ms(self, account: int) -> int | None:
        """When an account has to file next; None when it has nothing to file."""
        [(due_ms,)] = await self._database.point("outbox_filing_next", account)
        return None if due_ms is None else int(due_ms)

    async def count_by_state(self, now_ms: int) -> dict[str, int]:
        """How many submissions are active, delayed, waiting, failed, uncertain, filing, sent."""
        return {state: int(count) for state, count in await self._database.fetch("outbox_states", now_ms)}

    async def idempotent_response(self, account: int, key: str, now_ms: int) -> Mapping[str, Any] | None:
        """The response stored under an idempotency key within the last day."""
        digest = key_digest(key)
        rows = await self._database.point("idempotency_get", account, digest)
        if not rows or rows[0][1] < now_ms - IDEMPOTENCY_MS:
            return None
        return self._response(account, digest, rows[0][0])

    async def body(self, queue_id: str) -> AsyncIterator[bytes]:
        """The body, decrypted in chunks of at most 256 KiB; nothing when it is gone."""
        rows = await self._database.point("outbox_body", queue_id)
        if not rows:
            return
        inline, blob = rows[0]
        if inline is not None:
            yield self._vault.open(inline, table="outbox", column="body", row=queue_id)
        n = 0
        while blob is not None:
            chunks = await self._database.point("blob_chunk", blob, n)
            if not chunks:
                return
            yield self._vault.open(chunks[0][0], table="blob_chunks", column="data", row=f"{blob}/{n}")
            n += 1

    # -- units ---------------------------------------------------------------------------------

    def enqueue(
        self, submission: Submission, body: bytes, response: Mapping[str, object], idempotency_key: str | None
    ) -> Unit[Enqueued]:
        """Store a submission, its body and its idempotency key, or find that the key was used before.

        Raises NotFound when the account was removed meanwhile: nobody would ever send or delete it.
        """

        def script(pending: Pending) -> Script[Enqueued]:
            if not (yield Run("account_hold", (submission.account,))):
                raise NotFound("the account has been removed")
            if idempotency_key is not None:
                account, now_ms = submission.account, submission.created_ms
                repeated = yield from self._claim_key(account, idempotency_key, response, now_ms)
                if repeated is not None:
                    return Enqueued(repeated, repeated=True)
            sealed_body, blob = yield from self._store_body(submission, body)
            meta = to_json_bytes({"envelope": submission.envelope, "options": submission.options})
            sealed = self._vault.seal(meta, table="outbox", column="meta", row=submission.queue_id)
            yield Run(
                "outbox_insert",
                (
                    submission.queue_id,
                    submission.account,
                    submission.message_id,
                    sealed,
                    submission.phase.value,
                    submission.created_ms,
                    submission.scheduled_ms,
                    submission.next_attempt_ms,
                    submission.attempts,
                    len(body),
                    to_json(submission.progress),
                    sealed_body,
                    blob,
                ),
            )
            pending.signal(OUTBOX_CHANGED, submission.account)
            return Enqueued(response, repeated=False)

        return script

    def keep_response(self, account: int, key: str, response: Mapping[str, object], now_ms: int) -> Unit[Enqueued]:
        """Store the response to a request whose parts were queued before, or find that one is stored already.

        Raises NotFound when the account was removed meanwhile.
        """

        def script(_pending: Pending) -> Script[Enqueued]:
            if not (yield Run("account_hold", (account,))):
                raise NotFound("the account has been removed")
            repeated = yield from self._claim_key(account, key, response, now_ms)
            return Enqueued(response if repeated is None else repeated, repeated=repeated is not None)

        return script

    def begin_data(self, submission: Submission, fence: Fence, progress: Mapping[str, object]) -> Unit[bool]:
        """Note that DATA is about to go out; False when the submission was deleted meanwhile and must not be sent.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[bool]:
            yield from check_fence(fence)
            rows = yield Run("outbox_lock", (submission.queue_id,))
            if not rows or rows[0][1] != Phase.QUEUED.value:
                return False
            begun = dataclasses.replace(submission, phase=Phase.DATA, next_attempt_ms=None, progress=progress)
            yield _update(begun, None, None)
            return True

        return script

    def record(
        self,
        submission: Submission,
        fence: Fence,
        events: Sequence[NewEvent],
        *,
        keep_body: bool,
        settled_ms: int | None,
        filing_due_ms: int | None = None,
    ) -> Unit[None]:
        """Store the outcome of an attempt (the fields of `submission`) with its events, in one transaction.

        `keep_body` False drops the body; `filing_due_ms` goes with the phase FILING. Nothing happens when the outcome
        is stored already, so that a commit whose answer was lost can be repeated. Raises Fenced when the caller is not
        the owner any more.
        """

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(fence)
            if filing_due_ms is not None:
                # Also when it is stored already: with the first answer the signal was lost.
                pending.signal(FILING_DUE, submission.account)
            rows = yield Run("outbox_lock", (submission.queue_id,))
            if not rows or rows[0][2] >= submission.attempts_made:
                return
            yield _update(submission, settled_ms, filing_due_ms)
            if not keep_body:
                yield from self._drop_body(submission.queue_id)
            for event in events:
                pending.append(event)

        return script

    def settle(
        self,
        submission: Submission,
        fence: Fence | None,
        events: Sequence[NewEvent],
        *,
        keep_body: bool,
        settled_ms: int | None,
        filing_due_ms: int | None = None,
    ) -> Unit[bool]:
        """Store what becomes of an uncertain submission (the fields of `submission`) with its events; False when it is
        not uncertain any more.

        Without `fence` whoever asks may be any node. Raises Fenced when the caller is not the owner any more.
        """

        def script(pending: Pending) -> Script[bool]:
            if fence is not None:
                yield from check_fence(fence)
            rows = yield Run("outbox_lock", (submission.queue_id,))
            if not rows or rows[0][1] != Phase.UNCERTAIN.value:
                return False
            yield _update(submission, settled_ms, filing_due_ms)
            if not keep_body:
                yield from self._drop_body(submission.queue_id)
            for event in events:
                pending.append(event)
            pending.signal(FILING_DUE if filing_due_ms is not None else OUTBOX_CHANGED, submission.account)
            return True

        return script

    def settle_and_remove(self, submission: Submission, fence: Fence, events: Sequence[NewEvent]) -> Unit[None]:
        """The submission was delivered and is not to be kept: remove it and log the events; once, as `record`."""

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(fence)
            if not (yield Run("outbox_lock", (submission.queue_id,))):
                return
            yield from self._drop_body(submission.queue_id)
            yield Run("outbox_delete", (submission.queue_id,))
            for event in events:
                pending.append(event)

        return script

    def begin_filing(self, submission: Submission, fence: Fence, retry_ms: int) -> Unit[bool]:
        """Count an attempt to file before it begins, and note when to try again should nothing more be heard of it.

        False when there is nothing to file any more. Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[bool]:
            yield from check_fence(fence)
            return bool((yield Run("outbox_filing_begin", (submission.queue_id, retry_ms))))

        return script

    def end_filing(self, submission: Submission, fence: Fence, *, settled_ms: int | None) -> Unit[None]:
        """Everything is filed, or given up: drop the body, and the row too unless it is to be kept as settled.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[None]:
            yield from check_fence(fence)
            rows = yield Run("outbox_lock", (submission.queue_id,))
            if not rows or rows[0][1] != Phase.FILING.value:
                return
            yield from self._drop_body(submission.queue_id)
            if settled_ms is None:
                yield Run("outbox_delete", (submission.queue_id,))
            else:
                yield _update(dataclasses.replace(submission, phase=Phase.SENT), settled_ms, None)

        return script

    def delete(self, queue_id: str) -> Unit[bool]:
        """Remove a submission; False when there is none, or when it is being sent or filed."""

        def script(_pending: Pending) -> Script[bool]:
            rows = yield Run("outbox_lock", (queue_id,))
            if not rows or rows[0][1] in (Phase.DATA.value, Phase.FILING.value):
                return False
            yield from self._drop_body(queue_id)
            yield Run("outbox_delete", (queue_id,))
            return True

        return script

    def hurry(self, queue_id: str, now_ms: int) -> Unit[bool]:
        """Make a queued submission due now; False when there is none."""

        def script(pending: Pending) -> Script[bool]:
            rows = yield Run("outbox_hurry", (queue_id, now_ms))
            for (account,) in rows:
                pending.signal(OUTBOX_CHANGED, account)
            return bool(rows)

        return script

    def mark_uncertain(self, account: AccountNumber, fence: Fence, now_ms: int) -> Unit[list[str]]:
        """A new owner finds submissions in the phase DATA: nobody knows whether they were sent. Their queue ids.

        It is their turn at once, for nobody was told of it yet.
        """

        def script(pending: Pending) -> Script[list[str]]:
            yield from check_fence(fence)
            rows = yield Run("outbox_data_to_uncertain", (account, now_ms))
            if rows:
                pending.signal(OUTBOX_CHANGED, account)
            return [queue_id for (queue_id,) in rows]

        return script

    def expire(self, settled_before_ms: int, keep_failed: int, keep_sent: int, now_ms: int) -> Unit[int]:
        """Drop settled submissions that are too old or too many, and old idempotency keys; how many rows."""

        def script(_pending: Pending) -> Script[int]:
            found = list((yield Run("outbox_expired", (settled_before_ms, 1000))))
            found += yield Run("outbox_settled_beyond", (Phase.FAILED.value, 1000, keep_failed))
            found += yield Run("outbox_settled_beyond", (Phase.SENT.value, 1000, keep_sent))
            for queue_id, _blob in found:
                yield from self._drop_body(queue_id)
            yield RunMany("outbox_delete", [(queue_id,) for queue_id, _ in found])
            yield Run("idempotency_expire", (now_ms - IDEMPOTENCY_MS,))
            return len(found)

        return script

    # -- parts ---------------------------------------------------------------------------------

    def _claim_key(
        self, account: int, key: str, response: Mapping[str, object], now_ms: int
    ) -> Script[Mapping[str, Any] | None]:
        digest = key_digest(key)
        yield Run("idempotency_delete", (account, digest, now_ms - IDEMPOTENCY_MS))
        row = f"{account}/{digest}"
        sealed = self._vault.seal(to_json_bytes(response), table="idempotency", column="response", row=row)
        claimed = yield Run("idempotency_put", (account, digest, sealed, now_ms))
        if claimed:
            return None
        rows = yield Run("idempotency_get", (account, digest))
        return self._response(account, digest, rows[0][0])

    def _response(self, account: int, digest: str, sealed: bytes) -> Mapping[str, Any]:
        return mapping(self._vault.open(sealed, table="idempotency", column="response", row=f"{account}/{digest}"))

    def _store_body(self, submission: Submission, body: bytes) -> Script[tuple[bytes | None, int | None]]:
        if len(body) <= CHUNK_BYTES:
            return self._vault.seal(body, table="outbox", column="body", row=submission.queue_id), None
        rows = yield Run("blob_insert", (len(body), submission.created_ms))
        blob = rows[0][0]
        for n, start in enumerate(range(0, len(body), CHUNK_BYTES)):
            chunk = body[start : start + CHUNK_BYTES]
            sealed = self._vault.seal(chunk, table="blob_chunks", column="data", row=f"{blob}/{n}")
            yield Run("blob_chunk_insert", (blob, n, sealed))
        return None, blob

    def _drop_body(self, queue_id: str) -> Script[None]:
        rows = yield Run("outbox_body", (queue_id,))
        if rows and rows[0][1] is not None:
            yield Run("blob_delete_chunks", (rows[0][1],))
            yield Run("blob_delete", (rows[0][1],))
        yield Run("outbox_drop_body", (queue_id,))

    def _submission(self, row: Row) -> Submission:
        queue_id, account, message_id, sealed, phase, created, scheduled, following, made, attempts, size, progress = (
            row
        )
        meta = from_json(self._vault.open(sealed, table="outbox", column="meta", row=queue_id), _Meta)
        return Submission(
            queue_id=queue_id,
            account=AccountNumber(account),
            message_id=message_id,
            envelope=meta.envelope,
            options=meta.options,
            phase=Phase(phase),
            created_ms=created,
            scheduled_ms=scheduled,
            next_attempt_ms=following,
            attempts_made=made,
            attempts=attempts,
            size_bytes=size,
            progress=mapping(progress),
        )


def _update(submission: Submission, settled_ms: int | None, filing_due_ms: int | None) -> Run:
    return Run(
        "outbox_update",
        (
            submission.queue_id,
            submission.phase.value,
            submission.next_attempt_ms,
            submission.attempts_made,
            to_json(submission.progress),
            settled_ms,
            filing_due_ms,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Meta:
    envelope: SubmissionEnvelope
    options: SubmissionOptions


def key_digest(key: str) -> str:
    """How an idempotency key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()
