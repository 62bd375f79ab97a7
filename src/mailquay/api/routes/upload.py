"""Adding messages to mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation, always
from mailquay.api.routes.submit import address_asked, addresses_asked, attachment_asked, reference_asked
from mailquay.api.schemas.upload import MessageUpload, MessageUploaded
from mailquay.services.submit_request import SubmitRequest
from mailquay.services.upload import UploadRequest


async def _upload(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    request = upload_request(call.payload(MessageUpload))
    return await call.services.upload.upload(account, request, timeout_seconds=call.timeout_seconds)


def upload_request(body: MessageUpload) -> UploadRequest:
    """The upload that a body asks for."""
    message = SubmitRequest(
        reference=None if body.reference is None else reference_asked(body.reference),
        raw=body.raw,
        from_=None if body.from_ is None else address_asked(body.from_),
        to=addresses_asked(body.to),
        cc=addresses_asked(body.cc),
        bcc=addresses_asked(body.bcc),
        subject=body.subject,
        text=body.text,
        html=body.html,
        attachments=tuple(attachment_asked(one) for one in body.attachments or ()),
        message_id=body.message_id,
        headers={name: tuple(values) for name, values in (body.headers or {}).items()},
        locale=body.locale,
        tz=body.tz,
    )
    flags = None if body.flags is None else tuple(body.flags)
    return UploadRequest(body.path, message, flags, body.internal_date)


OPERATIONS = (
    Operation(
        "postV1AccountAccountMessage",
        "POST",
        "/v1/account/{account}/message",
        "Message",
        "Add a message to a mailbox",
        _upload,
        "write",
        "message",
        body=MessageUpload,
        answer=MessageUploaded,
        body_bytes=None,
        needs_owner=always,
        description="Nothing is sent. Without flags a message in the drafts is a draft.",
    ),
)
