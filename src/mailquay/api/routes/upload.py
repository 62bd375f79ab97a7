"""Adding messages to mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation, always
from mailquay.api.routes.composition import composed
from mailquay.api.schemas.upload import MessageUpload, MessageUploaded
from mailquay.services.upload import UploadRequest


async def _upload(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    request = upload_request(call.payload(MessageUpload))
    return await call.services.upload.upload(account, request, timeout_seconds=call.timeout_seconds)


def upload_request(body: MessageUpload) -> UploadRequest:
    """The upload that a body asks for."""
    flags = None if body.flags is None else tuple(body.flags)
    return UploadRequest(body.path, composed(body), flags, body.internal_date)


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
