"""The message that a submission answers or forwards: read, and worked into the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailquay.errors import InvalidRequest, MessageNotFound, NotFound
from mailquay.mime.address import Address as HeaderAddress
from mailquay.mime.compose import bracketed
from mailquay.mime.references import (
    Original,
    ReferenceAction,
    answer_recipients,
    derived_subject,
    in_reply_to,
    message_ids,
    quote_original,
    thread_references,
)
from mailquay.model.account import Account, AccountProfile
from mailquay.model.message import Address, IndexEntry
from mailquay.services.messages import MessageReader
from mailquay.services.settings import SettingsService
from mailquay.services.submit_request import SubmitAttachment, SubmitReference, SubmitRequest

_MAX_ATTACHED_BYTES = 50 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Referenced:
    """What was read of the original, and how the caller wants it used."""

    original: Original
    reference: SubmitReference
    attachments: tuple[SubmitAttachment, ...]
    default_locale: str | None
    default_tz: str | None

    @property
    def references(self) -> tuple[str, ...]:
        """For the References field."""
        return thread_references(self.original)

    @property
    def in_reply_to(self) -> str | None:
        """For the In-Reply-To field."""
        return in_reply_to(self.original, self.reference.action)

    def applied_to(self, request: SubmitRequest, profile: AccountProfile) -> SubmitRequest:
        """The request with recipients, subject, quoted original and attachments filled in; a raw one stays as it is."""
        if request.raw is not None:
            return request
        own = [address for address in (profile.email, request.from_ and request.from_.address) if address]
        to, cc = answer_recipients(
            self.original, self.reference.action, own=own, to=_header(request.to), cc=_header(request.cc)
        )
        subject = request.subject
        if subject is None:
            subject = derived_subject(self.original.subject, self.reference.action)
        text, html = request.text, request.html
        if self.reference.inline:
            zone = _zone(request.tz or profile.tz or self.default_tz)
            locale = request.locale or profile.locale or self.default_locale
            text, html = quote_original(
                self.original, self.reference.action, text=text, markup=html, locale=locale, zone=zone
            )
        return replace(
            request,
            to=_model(to),
            cc=_model(cc),
            subject=subject,
            text=text,
            html=html,
            attachments=(*request.attachments, *self.attachments),
        )


class ReferenceService:
    """Reads originals and attachments for submissions."""

    def __init__(self, messages: MessageReader, settings: SettingsService) -> None:
        self._messages = messages
        self._settings = settings

    async def read(self, account: Account, reference: SubmitReference, *, timeout_seconds: float) -> Referenced:
        """Read the original, with its texts and attachments as far as they are needed.

        Raises NotFound (ReferenceNotFound) when it is gone, or is not the one that the caller means.
        """
        try:
            entry, headers, text = await self._messages.original(
                account, reference.message, with_text=reference.inline, timeout_seconds=timeout_seconds
            )
        except MessageNotFound as error:
            raise NotFound("the referenced message was not found", code="ReferenceNotFound") from error
        message_id = entry.envelope.message_id if entry.envelope is not None else None
        if reference.message_id is not None and bracketed(reference.message_id) != message_id:
            raise NotFound("the referenced message has another Message-ID", code="ReferenceNotFound")
        references = next(iter(headers.get("references", ())), None)
        original = _original(entry, message_ids(references), text.plain, text.html)
        attachments = await self._attachments(account, reference, entry, timeout_seconds)
        locale, tz = await self._settings.get("locale"), await self._settings.get("timezone")
        return Referenced(original, reference, attachments, locale, tz)

    async def outcome(
        self, account: Account, reference: SubmitReference | None, timeout_seconds: float
    ) -> tuple[Referenced | None, dict[str, Any] | None]:
        """The message that is referred to, and what the answer to the caller says about it.

        Raises NotFound (ReferenceNotFound) unless a missing one is to be ignored, InvalidRequest for an account without
        messages.
        """
        if reference is None:
            return None, None
        if not account.profile.has_imap:
            raise InvalidRequest("an account that only sends has no messages to refer to", code="ReferenceNotSupported")
        shown: dict[str, Any] = {"message": reference.message, "documentStore": False, "success": True}
        if reference.thread_id is not None:
            shown["threadId"] = reference.thread_id
        try:
            return await self.read(account, reference, timeout_seconds=timeout_seconds), shown
        except NotFound as error:
            if not reference.ignore_missing:
                raise
            return None, shown | {"success": False, "error": error.message}

    async def with_attachments(self, account: Account, request: SubmitRequest, timeout_seconds: float) -> SubmitRequest:
        """The request with the attachments that are given by id read from the account's own messages."""
        if all(item.reference is None for item in request.attachments):
            return request
        loaded: list[SubmitAttachment] = []
        for item in request.attachments:
            if item.reference is not None:
                item = await self.attachment(account, item, timeout_seconds=timeout_seconds)
            loaded.append(item)
        return replace(request, attachments=tuple(loaded))

    async def _attachments(
        self, account: Account, reference: SubmitReference, entry: IndexEntry, timeout_seconds: float
    ) -> tuple[SubmitAttachment, ...]:
        """A forward may take all along; what is quoted needs the images that its text shows."""
        forward = reference.action is ReferenceAction.FORWARD and reference.forward_attachments
        structure = entry.structure
        if structure is None or not (forward or reference.inline):
            return ()
        attachments = []
        total = 0
        for part in structure.attachments:
            embedded = part.embedded and part.content_id is not None
            if part.encoded_in_message or not (forward or embedded):
                continue
            total += part.encoded_size_bytes
            if total > _MAX_ATTACHED_BYTES:
                raise InvalidRequest("the attachments of the referenced message are too large to be sent again")
            content = await self._messages.part(account, reference.message, part, timeout_seconds=timeout_seconds)
            attachments.append(
                SubmitAttachment(
                    filename=part.filename,
                    content=content,
                    content_type=part.content_type,
                    content_disposition="inline" if embedded else "attachment",
                    cid=part.content_id if embedded else None,
                )
            )
        return tuple(attachments)

    async def attachment(
        self, account: Account, wanted: SubmitAttachment, *, timeout_seconds: float
    ) -> SubmitAttachment:
        """An attachment that is given by the id of one the account has; what the caller says of it wins.

        Raises NotFound (ReferenceNotFound) when there is none.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async with self._messages.attachment(
                account, wanted.reference or "", timeout_seconds=timeout_seconds
            ) as download:
                async for chunk in download.chunks:
                    size += len(chunk)
                    if size > _MAX_ATTACHED_BYTES:
                        raise InvalidRequest("the referenced attachment is too large to be sent again")
                    chunks.append(chunk)
        except MessageNotFound as error:
            raise NotFound("the referenced attachment was not found", code="ReferenceNotFound") from error
        return replace(
            wanted,
            content=b"".join(chunks),
            filename=wanted.filename or download.filename,
            content_type=wanted.content_type or download.content_type,
            reference=None,
        )


def _original(entry: IndexEntry, references: tuple[str, ...], plain: str | None, html: str | None) -> Original:
    envelope = entry.envelope
    if envelope is None:
        return Original(references=references, plain=plain, html=html)
    date_ms = envelope.date_ms if envelope.date_ms is not None else entry.internal_date_ms
    return Original(
        message_id=envelope.message_id,
        in_reply_to=envelope.in_reply_to,
        references=references,
        subject=envelope.subject,
        date=datetime.fromtimestamp(date_ms / 1000, UTC) if date_ms is not None else None,
        from_=_header(envelope.from_) or (),
        reply_to=_header(envelope.reply_to) or (),
        to=_header(envelope.to) or (),
        cc=_header(envelope.cc) or (),
        plain=plain,
        html=html,
    )


def _header(values: Sequence[Address] | None) -> tuple[HeaderAddress, ...] | None:
    return None if values is None else tuple(HeaderAddress(value.name, value.address) for value in values)


def _model(values: Sequence[HeaderAddress]) -> tuple[Address, ...]:
    return tuple(Address(value.name, value.address) for value in values)


def _zone(name: str | None) -> tzinfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
