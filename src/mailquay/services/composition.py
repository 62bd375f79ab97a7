"""A message made of what a caller gave: from fields, or from a whole message over which the fields win."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from mailquay.mime.address import Address as HeaderAddress
from mailquay.mime.address import split_address
from mailquay.mime.compose import AttachmentContent, Draft, bracketed, compose_bytes
from mailquay.mime.html_text import html_to_text
from mailquay.mime.inline_image import extract_data_images
from mailquay.mime.preview import inject_preview
from mailquay.mime.raw import Overrides, RawMessage
from mailquay.model.account import Account
from mailquay.model.message import Address
from mailquay.services import identifiers
from mailquay.services.references import Referenced
from mailquay.services.submit_request import SubmitAttachment, SubmitRequest

_OFF_LOOP_BYTES = 256 * 1024
_FALLBACK_DOMAIN = "mailquay.invalid"


@dataclass(frozen=True, slots=True)
class Composed:
    """A message as bytes, and what its header says. `message_id` has its angle brackets, and is empty for none."""

    body: bytes
    message_id: str
    subject: str | None
    author: Address | None
    recipients: Sequence[str]


async def compose(
    account: Account, request: SubmitRequest, referenced: Referenced | None, now_ms: int, *, default_from: bool
) -> Composed:
    """The message; large ones are made in a thread. `default_from`: the account stands in From where nobody does.

    Raises InvalidRequest for what cannot be written.
    """
    size = len(request.raw or b"") + sum(len(item.content or b"") for item in request.attachments)
    size += len(request.text or "") + len(request.html or "")
    if size > _OFF_LOOP_BYTES:
        return await asyncio.to_thread(_compose, account, request, referenced, now_ms, default_from=default_from)
    return _compose(account, request, referenced, now_ms, default_from=default_from)


def _compose(
    account: Account, request: SubmitRequest, referenced: Referenced | None, now_ms: int, *, default_from: bool
) -> Composed:
    if referenced is not None:
        request = referenced.applied_to(request, account.profile)
    date = datetime.fromtimestamp((request.send_at_ms or now_ms) / 1000, UTC)
    sender = request.from_ or (own_address(account) if default_from else None)
    if request.raw is not None:
        return _compose_raw(account, request, sender, date)
    message_id = bracketed(request.message_id) if request.message_id else fresh_message_id(account, sender)
    html, images = request.html, list[AttachmentContent]()
    if html is not None:
        html, images = extract_data_images(html, lambda: str(uuid.uuid4()))
        preview = request.preview_markup or escape(request.preview_text or "")
        if preview:
            html = inject_preview(html, preview)
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
    recipients = [item.address for item in (*(request.to or ()), *(request.cc or ()), *(request.bcc or ()))]
    return Composed(compose_bytes(draft), message_id, request.subject, sender, recipients)


def _compose_raw(account: Account, request: SubmitRequest, sender: Address | None, date: datetime) -> Composed:
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
    message.apply(overrides, new_message_id=fresh_message_id(account, sender), now=date)
    authors = message.addresses("From")
    recipients = [item.address for name in ("To", "Cc", "Bcc") for item in message.addresses(name)]
    author = Address(authors[0].name, authors[0].address) if authors else sender
    message_id = (message.headers.text("Message-ID") or "").strip()
    subject = message.headers.text("Subject")
    return Composed(message.to_bytes(), message_id, subject, author, recipients)


def own_address(account: Account) -> Address | None:
    """Who an account is to those it writes to; None where nobody said."""
    email = account.profile.email
    if email is None and account.profile.smtp is not None and "@" in (account.profile.smtp.user or ""):
        email = account.profile.smtp.user
    return Address(account.profile.name, email) if email else None


def fresh_message_id(account: Account, sender: Address | None) -> str:
    """A Message-ID of the domain that a message comes from."""
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
        encoded=item.encoded,
    )
