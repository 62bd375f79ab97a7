"""A composed message, from the names of the API to those of the services."""

from __future__ import annotations

from mailquay.api.schemas.composition import ComposedMessage, FromAddress, MessageReference, UploadAttachment
from mailquay.model.message import Address
from mailquay.services.submit_request import ReferenceAction, SubmitAttachment, SubmitReference, SubmitRequest


def composed(body: ComposedMessage) -> SubmitRequest:
    """What a message consists of; whatever concerns its way is left open."""
    return SubmitRequest(
        reference=None if body.reference is None else _reference(body.reference),
        raw=body.raw,
        from_=None if body.from_ is None else _address(body.from_),
        to=addresses_asked(body.to),
        cc=addresses_asked(body.cc),
        bcc=addresses_asked(body.bcc),
        subject=body.subject,
        text=body.text,
        html=body.html,
        attachments=tuple(_attachment(one) for one in body.attachments or ()),
        message_id=body.message_id,
        headers={name: tuple(values) for name, values in (body.headers or {}).items()},
        locale=body.locale,
        tz=body.tz,
    )


def _reference(reference: MessageReference) -> SubmitReference:
    return SubmitReference(
        message=reference.message,
        action=ReferenceAction(reference.action),
        inline=reference.inline,
        forward_attachments=reference.forward_attachments,
        ignore_missing=reference.ignore_missing,
        message_id=reference.message_id,
        thread_id=reference.thread_id,
    )


def _address(address: FromAddress) -> Address:
    """An address of a body."""
    return Address(address.name or "", address.address)


def addresses_asked(addresses: list[FromAddress] | None) -> tuple[Address, ...] | None:
    """The addresses of a body; None where it says nothing of them."""
    return None if addresses is None else tuple(_address(one) for one in addresses)


def _attachment(attachment: UploadAttachment) -> SubmitAttachment:
    """An attachment of a body."""
    return SubmitAttachment(
        filename=attachment.filename,
        content=attachment.content,
        content_type=attachment.content_type,
        content_disposition=attachment.content_disposition,
        cid=attachment.cid,
        encoding=attachment.encoding,
        reference=attachment.reference,
    )
