"""Drafts that are sent as they stand in the mailbox; what becomes of the draft then, `sent_drafts` does."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mailquay.errors import InvalidRequest, MessageTooLarge
from mailquay.model.account import Account
from mailquay.services.composition import compose
from mailquay.services.message_editor import current_flags
from mailquay.services.message_pages import MessagePages
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.queued_message import queued_message
from mailquay.services.repeats import Repeats
from mailquay.services.section_stream import stream_section
from mailquay.services.settings import SettingsService
from mailquay.services.submission import check_way
from mailquay.services.submit_request import SubmitRequest
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store

_MAX_BYTES: Final = 50 * 1024 * 1024


class DraftReader(MessagePages):
    """Reads drafts."""

    async def read(self, account: Account, message_id: str, *, timeout_seconds: float) -> bytes:
        """A draft as the server holds it: a message of the mailbox for drafts, or one that is flagged as such.

        Raises MessageNotFound, InvalidRequest (MessageNotDraft), MessageTooLarge, NotOperational, Unavailable, and
        TimeoutError.
        """
        async with asyncio.timeout(timeout_seconds):
            mailbox, ref = await self._locate(account, message_id)
            opened = partial(self._opened, account, mailbox, timeout_seconds)
            async with opened() as session:
                # A session that has had the mailbox open for a while may not have been told of a new draft.
                await session.noop()
                flags = (await current_flags(session, ref.uid)).flags
            if mailbox.listing.special_use != "\\Drafts" and "\\draft" not in (flag.lower() for flag in flags):
                raise InvalidRequest("the message is no draft", code="MessageNotDraft")
            draft = bytearray()
            async with aclosing(stream_section(opened, ref.uid, "")) as chunks:
                async for chunk in chunks:
                    draft += chunk
                    if len(draft) > _MAX_BYTES:
                        raise MessageTooLarge(f"a draft that is to be sent may have at most {_MAX_BYTES} bytes")
            return bytes(draft)


class DraftService:
    """Queues drafts. What a draft is at this moment is sent; changes that come later make another draft of it."""

    def __init__(
        self, store: Store, settings: SettingsService, reader: DraftReader, repeats: Repeats, clock: Clock
    ) -> None:
        self._store = store
        self._settings = settings
        self._reader = reader
        self._repeats = repeats
        self._clock = clock

    async def submit_draft(
        self,
        account: Account,
        message_id: str,
        request: SubmitRequest,
        *,
        idempotency_key: str | None,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """Queue a draft; `request` says how it is to be sent, and nothing of what.

        Raises NotFound (SMTPUnavailable), InvalidRequest (MessageNotDraft, DraftHasNoRecipients), and what reading
        raises; nothing is stored then.
        """

        async def queue() -> Enqueued:
            await check_way(self._store, account, request.gateway)
            raw = await self._reader.read(account, message_id, timeout_seconds=timeout_seconds)
            return await self._queue(account, message_id, replace(request, raw=raw), idempotency_key)

        return await self._repeats.answer(account, idempotency_key, queue)

    async def _queue(self, account: Account, message_id: str, request: SubmitRequest, key: str | None) -> Enqueued:
        now_ms = self._clock.now_ms()
        # Date says when a message was ready to be sent, not when somebody began to write it (RFC 5322 §3.6.1).
        dated = replace(request, send_at_ms=max(now_ms, request.send_at_ms or now_ms))
        composed = await compose(account, dated, None, now_ms, default_from=True)
        named = request.envelope is not None and request.envelope.to is not None
        if not named and not any(composed.recipients):
            raise InvalidRequest("the draft has no recipients", code="DraftHasNoRecipients")
        attempts = int(await self._settings.get("deliveryAttempts") or 10)
        submission = queued_message(
            account, request, composed, None, now_ms=now_ms, attempts=attempts, idempotency_key=key
        )
        submission = replace(submission, options=replace(submission.options, draft=message_id))
        answer = {
            "response": "Queued for delivery",
            "messageId": composed.message_id,
            "sendAt": iso(submission.scheduled_ms),
            "queueId": submission.queue_id,
        }
        return await self._store.commit(self._store.outbox.enqueue(submission, composed.body, answer, key))
