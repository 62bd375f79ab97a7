"""Accept a message for delivery: compose it, store it with its idempotency key, answer."""

from __future__ import annotations

import base64
from typing import Any

import structlog

from mailquay.errors import NotFound
from mailquay.model.account import Account
from mailquay.services.composition import compose
from mailquay.services.control_fields import steered
from mailquay.services.list_mail import ListMail
from mailquay.services.mail_merge import MailMerge
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.queued_message import envelope_of, queued_message
from mailquay.services.references import ReferenceService
from mailquay.services.rendering import RenderingService
from mailquay.services.repeats import Repeats
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import SubmitRequest
from mailquay.services.unsubscribe import UnsubscribeService
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)


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
        lists = ListMail(store, UnsubscribeService(store, settings, clock))
        self._merge = MailMerge(store, references, rendering, lists, settings, clock)
        self.repeats = Repeats(store, clock)

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """Accept a message, or one for each entry of a mail merge; the answer has queue ids and Message-IDs.

        Raises NotFound (SMTPUnavailable, ReferenceNotFound, TemplateNotFound), TemplateError, InvalidRequest and
        TimeoutError; nothing is stored then.
        """
        return await self.repeats.answer(
            account, idempotency_key, lambda: self._submit(account, request, idempotency_key, timeout_seconds)
        )

    async def _submit(
        self, account: Account, request: SubmitRequest, key: str | None, timeout_seconds: float
    ) -> Enqueued:
        request = steered(request)
        await check_way(self._store, account, request.gateway)
        attempts = int(await self._settings.get("deliveryAttempts") or 10)
        if request.merge:
            return await self._merge.submit(
                account, request, attempts=attempts, idempotency_key=key, timeout_seconds=timeout_seconds
            )
        now_ms = self._clock.now_ms()
        request = await self._rendering.rendered(account, request, timeout_seconds=timeout_seconds)
        referenced, shown = await self._references.outcome(account, request.reference, timeout_seconds)
        request = await self._references.with_attachments(account, request, timeout_seconds)
        composed = await compose(account, request, referenced, now_ms, default_from=True)
        answer: dict[str, Any] = {"response": "Queued for delivery", "messageId": composed.message_id}
        more = {} if shown is None else {"reference": shown}
        if request.dry_run:
            envelope_of(request, composed)
            preview = base64.b64encode(composed.body).decode("ascii")
            return Enqueued({**answer, "response": "Dry run", "preview": preview, **more}, repeated=False)
        submission = queued_message(
            account, request, composed, referenced, now_ms=now_ms, attempts=attempts, idempotency_key=key
        )
        answer |= {"sendAt": iso(submission.scheduled_ms), "queueId": submission.queue_id, **more}
        return await self._store.commit(self._store.outbox.enqueue(submission, composed.body, answer, key))


async def check_way(store: Store, account: Account, gateway: str | None) -> None:
    """See to it that there is a server to send through: the gateway that was asked for, else the account's own.

    Raises NotFound (SMTPUnavailable).
    """
    if gateway is not None:
        if await store.gateways.get(gateway) is not None:
            return
        _log.warning("gateway_unknown", account=account.id, gateway=gateway)
    if account.profile.smtp is None:
        raise NotFound("the account has no way to send mail", code="SMTPUnavailable")
