"""Mail merge: one message for each entry of a request, in transactions of a few, each queued once.

With an idempotency key every entry has a key of its own, made of that key and its place. A crash in the middle leaves
what was committed in the outbox; the same request again finds those entries queued, and queues the rest.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mailquay.errors import InvalidRequest, MailquayError, TemplateError
from mailquay.mime.compose import encoded_content
from mailquay.model.account import Account
from mailquay.model.message import Address
from mailquay.services.composition import compose
from mailquay.services.list_mail import Addressee, ListMail, addressed
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.queued_message import queued_message
from mailquay.services.references import Referenced, ReferenceService
from mailquay.services.rendering import Rendering, RenderingService
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import MergeEntry, SubmitAttachment, SubmitRequest
from mailquay.storage.interface import Unit, run_together
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store
from mailquay.templating.sandbox import LimitReached

MAX_BYTES: Final = 1024 * 1024 * 1024
"""How much all messages of a request may take in the outbox, about."""

_AT_ONCE: Final = 50
_AT_ONCE_BYTES: Final = 4 * 1024 * 1024
_MAX_SECONDS: Final = 120.0
_MAX_LIMITS_REACHED: Final = 3
_OFF_LOOP_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class _Run:
    """A mail merge on its way. `stopped` is why the entries that are left are not tried any more."""

    account: Account
    entries: Sequence[MergeEntry]
    rendering: Rendering
    referenced: Referenced | None
    attempts: int
    key: str | None
    timeout_seconds: float
    ends: float
    dry: bool
    base_url: str | None = None
    limits_reached: int = 0
    stopped: MailquayError | None = None
    preview: bytes | None = None


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: for each entry its answer, and the unit that queues it unless it is refused."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    units: dict[int, Unit[Enqueued]] = field(default_factory=dict)
    size_bytes: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.answers) >= _AT_ONCE or self.size_bytes >= _AT_ONCE_BYTES


class MailMerge:
    """Queues the messages of mail merges."""

    def __init__(
        self,
        store: Store,
        references: ReferenceService,
        rendering: RenderingService,
        lists: ListMail,
        settings: SettingsService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._references = references
        self._rendering = rendering
        self._lists = lists
        self._settings = settings
        self._clock = clock

    async def submit(
        self,
        account: Account,
        request: SubmitRequest,
        *,
        attempts: int,
        idempotency_key: str | None,
        timeout_seconds: float,
    ) -> Enqueued:
        """Queue a message for each entry; the answer says of each whether it was queued, or why not.

        Raises NotFound (ReferenceNotFound, TemplateNotFound) and InvalidRequest, before anything is queued.
        """
        referenced, shown = await self._references.outcome(account, request.reference, timeout_seconds)
        if referenced is not None:
            referenced = replace(referenced, attachments=await _encoded(referenced.attachments))
        request = await self._references.with_attachments(account, request, timeout_seconds)
        rendering = await self._rendering.prepared(account, replace(request, merge=(), message_id=None), many=True)
        attachments = await _encoded(rendering.request.attachments)
        rendering = replace(rendering, request=replace(rendering.request, attachments=attachments))
        _check_size(rendering.request, len(request.merge))
        run = _Run(
            account=account,
            entries=request.merge,
            rendering=rendering,
            referenced=referenced,
            attempts=attempts,
            key=idempotency_key,
            timeout_seconds=timeout_seconds,
            ends=asyncio.get_running_loop().time() + _MAX_SECONDS,
            dry=request.dry_run,
            base_url=request.base_url or await self._settings.get("serviceUrl") or None,
        )
        results = await self._all(run)
        answer: dict[str, Any] = {} if shown is None else {"reference": shown}
        if run.dry:
            answer["response"] = "Dry run"
            if run.preview is not None:
                answer["preview"] = base64.b64encode(run.preview).decode("ascii")
        answer["mailMerge"] = results
        # What may go better the next time is not kept: the same request again tries just that.
        if idempotency_key is None or run.dry or any(one.get("statusCode", 200) >= 500 for one in results):
            return Enqueued(answer, repeated=False)
        unit = self._store.outbox.keep_response(account.number, idempotency_key, answer, self._clock.now_ms())
        return await self._store.commit(unit)

    async def _all(self, run: _Run) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        batch = _Batch()
        while (done := len(results) + len(batch.answers)) < len(run.entries):
            entries = run.entries[done : done + _AT_ONCE]
            addressees = await self._lists.addressees(run.account, run.rendering.request, run.base_url, entries)
            # Fewer come back where the texts are long.
            results_of = zip(entries, addressees, await self._filled(run, entries, addressees), strict=False)
            for place, (entry, addressee, filled) in enumerate(results_of, done):
                await self._add(run, batch, place, entry, addressee, filled)
                if batch.is_full:
                    results += await self._committed(batch)
                    batch = _Batch()
                # Others have their turn between any two messages.
                await asyncio.sleep(0)
        return results + await self._committed(batch)

    async def _filled(
        self, run: _Run, entries: Sequence[MergeEntry], addressees: Sequence[Addressee]
    ) -> Sequence[SubmitRequest | MailquayError]:
        """The message of each of the first entries, or why there is none."""
        left = run.ends - asyncio.get_running_loop().time()
        try:
            if run.stopped is None:
                return await self._tried(run, entries, addressees, min(left, run.timeout_seconds))
        except TimeoutError:
            run.stopped = _TooLate("the time for this request is over", code="Timeout")
        return [run.stopped] * len(entries)

    async def _tried(
        self, run: _Run, entries: Sequence[MergeEntry], addressees: Sequence[Addressee], seconds: float
    ) -> Sequence[SubmitRequest | MailquayError]:
        own = [
            {"params": entry.params, "rcpt": addressee.placeholders(entry)}
            for entry, addressee in zip(entries, addressees, strict=True)
        ]
        results = await self._rendering.filled(run.account, run.rendering, own, timeout_seconds=seconds)
        for result in results:
            if isinstance(result, LimitReached):
                run.limits_reached += 1
                if run.limits_reached >= _MAX_LIMITS_REACHED:
                    run.stopped = result
        return results

    async def _add(
        self,
        run: _Run,
        batch: _Batch,
        place: int,
        entry: MergeEntry,
        addressee: Addressee,
        filled: SubmitRequest | MailquayError,
    ) -> None:
        """Make the message of one entry and add it to what is queued together."""
        shown_to = _shown_address(entry.to)
        if addressee.blocked is not None:
            skipped = {"reason": addressee.blocked, "listId": run.rendering.request.list_id}
            batch.answers.append({"success": True, "to": shown_to, "skipped": skipped})
            return
        if isinstance(filled, MailquayError):
            batch.answers.append(_refusal(shown_to, filled))
            return
        now_ms = self._clock.now_ms()
        send_at_ms = filled.send_at_ms if entry.send_at_ms is None else entry.send_at_ms
        message_id = addressee.message_id or entry.message_id
        request = replace(filled, to=(entry.to,), message_id=message_id, send_at_ms=send_at_ms)
        request = addressed(request, run.base_url, addressee)
        try:
            composed = await compose(run.account, request, run.referenced, now_ms, default_from=True)
            submission = queued_message(
                run.account,
                request,
                composed,
                run.referenced,
                now_ms=now_ms,
                attempts=run.attempts,
                idempotency_key=run.key,
            )
        except InvalidRequest as error:
            batch.answers.append(_refusal(shown_to, error))
            return
        answer = {"success": True, "to": shown_to, "messageId": composed.message_id}
        if run.dry:
            run.preview = composed.body if run.preview is None else run.preview
            batch.answers.append({**answer, "sendAt": iso(submission.scheduled_ms)})
            return
        answer |= {"queueId": submission.queue_id, "sendAt": iso(submission.scheduled_ms)}
        key = None if run.key is None else _entry_key(run.key, place)
        batch.units[len(batch.answers)] = self._store.outbox.enqueue(submission, composed.body, answer, key)
        batch.answers.append(answer)
        batch.size_bytes += len(composed.body)

    async def _committed(self, batch: _Batch) -> list[dict[str, Any]]:
        """The answers of a batch whose messages are in the outbox now; those of before where they had been there."""
        if batch.units:
            enqueued = await self._store.commit(run_together(*batch.units.values()))
            for index, one in zip(batch.units, enqueued, strict=True):
                batch.answers[index] = dict(one.response)
        return batch.answers


class _TooLate(MailquayError):
    """A mail merge took longer than it may."""

    retryable = True


def _entry_key(key: str, place: int) -> str:
    """The idempotency key of an entry; no caller can give it, since a header holds no line end."""
    return f"{key}\n{place}"


def _refusal(to: dict[str, str], error: MailquayError) -> dict[str, Any]:
    status = 422 if isinstance(error, TemplateError) else 400 if isinstance(error, InvalidRequest) else 504
    return {"success": False, "to": to, "error": error.message, "code": error.code, "statusCode": status}


def _shown_address(address: Address) -> dict[str, str]:
    named = {"name": address.name} if address.name else {}
    return {**named, "address": address.address}


def _check_size(request: SubmitRequest, messages: int) -> None:
    attached = sum(len(item.encoded or b"") for item in request.attachments)
    each = attached + len(request.text or "") + len(request.html or "")
    if each * messages > MAX_BYTES:
        raise InvalidRequest(f"all messages together may take at most {MAX_BYTES} bytes")


async def _encoded(attachments: Sequence[SubmitAttachment]) -> tuple[SubmitAttachment, ...]:
    """The attachments in the form that messages have them in, made once for all entries."""

    def encode() -> tuple[SubmitAttachment, ...]:
        return tuple(replace(item, encoded=encoded_content(item.content or b"")) for item in attachments)

    if sum(len(item.content or b"") for item in attachments) > _OFF_LOOP_BYTES:
        return await asyncio.to_thread(encode)
    return encode()
