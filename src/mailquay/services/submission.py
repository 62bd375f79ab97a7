"""Accept a message for delivery: compose it, store it with its idempotency key, answer."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from mailquay.errors import InvalidRequest, NotFound
from mailquay.mime.address import Address as HeaderAddress
from mailquay.mime.address import split_address
from mailquay.mime.compose import AttachmentContent, Draft, bracketed, compose_bytes
from mailquay.mime.html_text import html_to_text
from mailquay.mime.inline_image import extract_data_images
from mailquay.mime.preview import inject_preview
from mailquay.mime.raw import Overrides, RawMessage
from mailquay.model.account import Account
from mailquay.model.message import Address
from mailquay.model.submission import Phase, ReferenceUpdate, Submission, SubmissionEnvelope, SubmissionOptions
from mailquay.services import identifiers
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.references import Referenced, ReferenceService
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import ReferenceAction, SubmitAttachment, SubmitReference, SubmitRequest
from mailquay.storage.repositories.outbox import Enqueued
from mailquay.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = structlog.get_logger(__name__)
_OFF_LOOP_BYTES = 256 * 1024
_FALLBACK_DOMAIN = "mailquay.invalid"
_MAX_RECIPIENTS = 1000


@dataclass(frozen=True, slots=True)
class _Composed:
    body: bytes
    message_id: str
    subject: str | None
    envelope: SubmissionEnvelope


class SubmissionService:
    """Queues messages. What it answers is stored: nothing accepted is lost, and a repeated key sends nothing twice."""

    def __init__(self, store: Store, settings: SettingsService, references: ReferenceService, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._references = references
        self._clock = clock
        self._in_hand: dict[tuple[int, str], asyncio.Lock] = {}

    async def submit(
        self, account: Account, request: SubmitRequest, *, idempotency_key: str | None, timeout_seconds: float
    ) -> dict[str, Any]:
        """Accept a message; the answer has its queue id and Message-ID.

        Raises NotFound (SMTPUnavailable, ReferenceNotFound) and InvalidRequest; nothing is stored then.
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
        referenced, shown = await self._reference(account, request.reference, timeout_seconds)
        request = await self._with_referenced_attachments(account, request, timeout_seconds)
        composed = await self._compose(account, request, referenced, now_ms)
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
            envelope=composed.envelope,
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
        request: SubmitRequest, composed: _Composed, referenced: Referenced | None, key: str | None
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

    # -- references ------------------------------------------------------------------------------

    async def _reference(
        self, account: Account, reference: SubmitReference | None, timeout_seconds: float
    ) -> tuple[Referenced | None, dict[str, Any] | None]:
        """The message that is answered, and what the answer says about it."""
        if reference is None:
            return None, None
        if not account.profile.has_imap:
            raise InvalidRequest("an account that only sends has no messages to refer to", code="ReferenceNotSupported")
        shown: dict[str, Any] = {"message": reference.message, "documentStore": False, "success": True}
        if reference.thread_id is not None:
            shown["threadId"] = reference.thread_id
        try:
            return await self._references.read(account, reference, timeout_seconds=timeout_seconds), shown
        except NotFound as error:
            if not reference.ignore_missing:
                raise
            return None, shown | {"success": False, "error": error.message}

    async def _with_referenced_attachments(
        self, account: Account, request: SubmitRequest, timeout_seconds: float
    ) -> SubmitRequest:
        """Attachments given by id are read from the account's own messages."""
        if all(item.reference is None for item in request.attachments):
            return request
        loaded: list[SubmitAttachment] = []
        for item in request.attachments:
            if item.reference is not None:
                item = await self._references.attachment(account, item, timeout_seconds=timeout_seconds)
            loaded.append(item)
        return replace(request, attachments=tuple(loaded))

    # -- composing -------------------------------------------------------------------------------

    async def _compose(
        self, account: Account, request: SubmitRequest, referenced: Referenced | None, now_ms: int
    ) -> _Composed:
        size = len(request.raw or b"") + sum(len(item.content or b"") for item in request.attachments)
        size += len(request.text or "") + len(request.html or "")
        if size > _OFF_LOOP_BYTES:
            return await asyncio.to_thread(_compose, account, request, referenced, now_ms)
        return _compose(account, request, referenced, now_ms)


def _compose(account: Account, request: SubmitRequest, referenced: Referenced | None, now_ms: int) -> _Composed:
    if referenced is not None:
        request = referenced.applied_to(request, account.profile)
    date = datetime.fromtimestamp((request.send_at_ms or now_ms) / 1000, UTC)
    sender = request.from_ or _default_from(account)
    if request.raw is not None:
        return _compose_raw(account, request, sender, date)
    message_id = bracketed(request.message_id) if request.message_id else _new_message_id(account, sender)
    html, images = request.html, list[AttachmentContent]()
    if html is not None:
        html, images = extract_data_images(html, lambda: str(uuid.uuid4()))
        if request.preview_text:
            html = inject_preview(html, request.preview_text)
    text = request.text if request.text is not None or html is None else html_to_text(html)
    draft = Draft(
        date=date,
        message_id=message_id,
        from_=_addresses([sender] if sender is not None else []),
        reply_to=_addresses(request.reply_to or ()),
        to=_addresses(request.to or ()),
        cc=_addresses(request.cc or ()),
        bcc=_addresses(request.bcc or ()),
        subject=request.subject,
        in_reply_to=referenced.in_reply_to if referenced is not None else None,
        references=referenced.references if referenced is not None else (),
        text=text if text is not None or html is not None else "",
        html=html,
        attachments=(*images, *(_attachment(item) for item in request.attachments)),
        headers=tuple((name, value) for name, values in request.headers.items() for value in values),
    )
    recipients = [*(request.to or ()), *(request.cc or ()), *(request.bcc or ())]
    envelope = _envelope(request, sender, [item.address for item in recipients])
    return _Composed(compose_bytes(draft), message_id, request.subject, envelope)


def _compose_raw(account: Account, request: SubmitRequest, sender: Address | None, date: datetime) -> _Composed:
    message = RawMessage.read(request.raw or b"")
    overrides = Overrides(
        from_=None if request.from_ is None else _addresses([request.from_]),
        reply_to=None if request.reply_to is None else _addresses(request.reply_to),
        to=None if request.to is None else _addresses(request.to),
        cc=None if request.cc is None else _addresses(request.cc),
        bcc=None if request.bcc is None else _addresses(request.bcc),
        subject=request.subject,
        message_id=request.message_id,
        headers=[(name, value) for name, values in request.headers.items() for value in values],
        default_from=_addresses([sender] if sender is not None else []),
        date=date if request.send_at_ms is not None else None,
    )
    message.apply(overrides, new_message_id=_new_message_id(account, sender), now=date)
    authors = message.addresses("From")
    recipients = [item.address for name in ("To", "Cc", "Bcc") for item in message.addresses(name)]
    author = Address(authors[0].name, authors[0].address) if authors else sender
    envelope = _envelope(request, author, recipients)
    message_id = (message.headers.text("Message-ID") or "").strip()
    return _Composed(message.to_bytes(), message_id, message.headers.text("Subject"), envelope)


def _envelope(request: SubmitRequest, sender: Address | None, recipients: Sequence[str]) -> SubmissionEnvelope:
    given = request.envelope
    reverse_path = given.from_ if given is not None and given.from_ is not None else None
    if reverse_path is None:
        reverse_path = sender.address if sender is not None else ""
    chosen = given.to if given is not None and given.to is not None else recipients
    unique = list({address.lower(): address for address in chosen if address}.values())
    if not unique:
        raise InvalidRequest("the message has no recipients")
    if len(unique) > _MAX_RECIPIENTS:
        raise InvalidRequest(f"a message can have at most {_MAX_RECIPIENTS} recipients")
    return SubmissionEnvelope(reverse_path, tuple(unique))


def _default_from(account: Account) -> Address | None:
    email = account.profile.email
    if email is None and account.profile.smtp is not None and "@" in (account.profile.smtp.user or ""):
        email = account.profile.smtp.user
    return Address(account.profile.name, email) if email else None


def _new_message_id(account: Account, sender: Address | None) -> str:
    address = sender.address if sender is not None else account.profile.email or ""
    _, domain = split_address(address) if "@" in address else ("", "")
    return identifiers.new_message_id(domain or _FALLBACK_DOMAIN)


def _addresses(values: Sequence[Address]) -> tuple[HeaderAddress, ...]:
    return tuple(HeaderAddress(name=value.name, address=value.address) for value in values)


def _attachment(item: SubmitAttachment) -> AttachmentContent:
    return AttachmentContent(
        content=item.content or b"",
        filename=item.filename,
        content_type=item.content_type,
        disposition=item.content_disposition,
        content_id=item.cid,
    )


def _with_key(answer: Mapping[str, Any], key: str, *, repeated: bool) -> dict[str, Any]:
    return {**answer, "idempotency": {"key": key, "status": "HIT" if repeated else "MISS"}}
