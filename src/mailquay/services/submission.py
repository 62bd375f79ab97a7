"""Accept a message for delivery: compose it, store it with its idempotency key, answer."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.account import Account
from mailquay.model.submission import Phase, ReferenceUpdate, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.services import identifiers
from mailquay.services.composition import Composed, compose
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.references import Referenced, ReferenceService
from mailquay.services.rendering import RenderingService
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import ReferenceAction, SubmitRequest
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = structlog.get_logger(__name__)
_MAX_RECIPIENTS = 1000


class SubmissionService:
    """Queues messages. What it answers is stored: nothing accepted is lost, and a repeated key sends nothing twice."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        references: ReferenceService,
        rendering: RenderingService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._settings = settings
        self._references = references
        self._rendering = rendering
        self._clock = clock
        self._in_hand: dict[tuple[int, str], asyncio.Lock] = {}

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """Accept a message; the answer has its queue id and Message-ID.

        Raises NotFound (SMTPUnavailable, ReferenceNotFound, TemplateNotFound), TemplateError, InvalidRequest and
        TimeoutError; nothing is stored then.
        """
        if account.profile.smtp is None:
            raise NotFound("the account has no way to send mail", code="SMTPUnavailable")
        if idempotency_key is None:
            return dict(await self._submit(account, request, None, timeout_seconds))
        async with self._one_at_a_time(account, idempotency_key):
            now_ms = self._clock.now_ms()
            stored = await self._store.outbox.idempotent_response(account.number, idempotency_key, now_ms)
            if stored is not None:
                return _with_key(stored, idempotency_key, repeated=True)
            enqueued = await self._submit(account, request, idempotency_key, timeout_seconds)
            repeated = bool(enqueued.pop("_repeated", False))
            return _with_key(enqueued, idempotency_key, repeated=repeated)

    @asynccontextmanager
    async def _one_at_a_time(self, account: Account, key: str) -> AsyncIterator[None]:
        """A repeat that comes while the first is in hand waits for its answer."""
        slot = (account.number, key)
        lock = self._in_hand.setdefault(slot, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._in_hand.pop(slot, None)

    async def _submit(
        self, account: Account, request: SubmitRequest, key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        if request.gateway is not None:
            _log.warning("gateway_unknown", account=account.id, gateway=request.gateway)
        request = await self._rendering.rendered(account, request, timeout_seconds=timeout_seconds)
        referenced, shown = await self._references.outcome(account, request.reference, timeout_seconds)
        request = await self._references.with_attachments(account, request, timeout_seconds)
        composed = await compose(account, request, referenced, now_ms, default_from=True)
        envelope = _envelope(request, composed)
        answer: dict[str, Any] = {"response": "Queued for delivery", "messageId": composed.message_id}
        if request.dry_run:
            answer["response"] = "Dry run"
            answer["preview"] = base64.b64encode(composed.body).decode("ascii")
            return answer if shown is None else answer | {"reference": shown}
        scheduled_ms = max(now_ms, request.send_at_ms or now_ms)
        queue_id = identifiers.new_queue_id(scheduled_ms)
        answer |= {"sendAt": iso(scheduled_ms), "queueId": queue_id}
        if shown is not None:
            answer["reference"] = shown
        attempts = request.delivery_attempts or int(await self._settings.get("deliveryAttempts") or 10)
        submission = Submission(
            queue_id=queue_id,
            account=account.number,
            message_id=composed.message_id,
            envelope=envelope,
            options=self._options(request, composed, referenced, key),
            phase=Phase.QUEUED,
            created_ms=now_ms,
            scheduled_ms=scheduled_ms,
            next_attempt_ms=scheduled_ms,
            attempts_made=0,
            attempts=max(1, attempts),
            size_bytes=len(composed.body),
            progress={"status": "queued"},
        )
        enqueued: Enqueued = await self._store.commit(
            self._store.outbox.enqueue(submission, composed.body, answer, key)
        )
        result = dict(enqueued.response)
        if enqueued.repeated:
            result["_repeated"] = True
        return result

    @staticmethod
    def _options(
        request: SubmitRequest, composed: Composed, referenced: Referenced | None, key: str | None
    ) -> SubmissionOptions:
        update = None
        if referenced is not None and request.reference is not None:
            forward = request.reference.action is ReferenceAction.FORWARD
            flags = ("\\Answered", "$Forwarded") if forward else ("\\Answered",)
            update = ReferenceUpdate(request.reference.message, flags)
        return SubmissionOptions(
            subject=composed.subject,
            dsn=request.dsn,
            copy=request.copy,
            sent_mail_path=request.sent_mail_path,
            proxy=request.proxy,
            local_address=request.local_address,
            reference=update,
            idempotency_key=key,
            eight_bit=not composed.body.isascii(),
            utf8_header=not composed.body.partition(b"\r\n\r\n")[0].isascii(),
        )


def _envelope(request: SubmitRequest, composed: Composed) -> SubmissionEnvelope:
    given = request.envelope
    reverse_path = given.from_ if given is not None and given.from_ is not None else None
    if reverse_path is None:
        reverse_path = composed.author.address if composed.author is not None else ""
    chosen = given.to if given is not None and given.to is not None else composed.recipients
    unique = list({address.lower(): address for address in chosen if address}.values())
    if not unique:
        raise InvalidRequest("the message has no recipients")
    if len(unique) > _MAX_RECIPIENTS:
        raise InvalidRequest(f"a message can have at most {_MAX_RECIPIENTS} recipients")
    return SubmissionEnvelope(reverse_path, tuple(unique))


def _with_key(answer: Mapping[str, Any], key: str, *, repeated: bool) -> dict[str, Any]:
    return {**answer, "idempotency": {"key": key, "status": "HIT" if repeated else "MISS"}}
