"""Sending: queue a message, look into the outbox, take back what is not sent yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mailquay.api.errors import HttpError
from mailquay.api.operation import Call, Operation, always
from mailquay.api.routes.composition import addresses_asked, composed
from mailquay.api.schemas.common import Deleted, Paging
from mailquay.api.schemas.submit import (
    DraftSubmitted,
    MergeEntry,
    OutboxEntry,
    OutboxList,
    Resolved,
    ResolveOutcome,
    Retried,
    SubmitDraft,
    SubmitMessage,
    SubmitOptions,
    SubmitQuery,
    Submitted,
)
from mailquay.errors import Forbidden
from mailquay.model.message import Address
from mailquay.model.submission import DsnRequest
from mailquay.model.template import TemplateFormat
from mailquay.services.submit_request import MergeEntry as SubmitMergeEntry
from mailquay.services.submit_request import RenderWish, SubmitEnvelope, SubmitRequest

_MAX_KEY_CHARACTERS = 1024


async def _needs_owner(call: Call) -> bool:
    """Only what refers to other messages of the account needs its mail server."""
    body = call.payload(SubmitMessage)
    return body.reference is not None or any(one.reference is not None for one in body.attachments or ())


async def _submit(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    body = call.payload(SubmitMessage)
    _check_proxy(call, body)
    key = idempotency_key(call.request.headers.get("idempotency-key"))
    return await call.services.submission.submit(
        account, submit_request(body), idempotency_key=key, timeout_seconds=call.timeout_seconds
    )


async def _submit_draft(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    body = call.payload(SubmitDraft)
    _check_proxy(call, body)
    return await call.services.drafts.submit_draft(
        account,
        call.path["message"],
        _how_to_send(SubmitRequest(), body),
        idempotency_key=idempotency_key(call.request.headers.get("idempotency-key")),
        timeout_seconds=call.timeout_seconds,
    )


def _check_proxy(call: Call, body: SubmitOptions) -> None:
    if body.proxy is not None and call.principal.narrowed:
        raise Forbidden("a token with permissions may not choose a proxy")


def idempotency_key(header: str | None) -> str | None:
    """The key of the header, without the quotes that some put around it; None when there is none.

    Raises HttpError (400) when it is too long.
    """
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > _MAX_KEY_CHARACTERS:
        raise HttpError(400, f"the idempotency key is longer than {_MAX_KEY_CHARACTERS} characters")
    return key or None


# -- from public names to those of the service ----------------------------------------------------


def submit_request(body: SubmitMessage) -> SubmitRequest:
    """The submission that a body asks for."""
    return dataclasses.replace(
        _how_to_send(composed(body), body),
        reply_to=addresses_asked(body.reply_to),
        preview_text=body.preview_text,
        template=body.template,
        render=None if body.render is None else RenderWish(TemplateFormat(body.render.format), body.render.params),
        list_id=body.list_id,
        base_url=body.base_url,
        dry_run=body.dry_run,
        merge=tuple(_merge_entry(one) for one in body.mail_merge or ()),
    )


def _how_to_send(request: SubmitRequest, body: SubmitOptions) -> SubmitRequest:
    """The same submission with what a body says of the way to send it."""
    return dataclasses.replace(
        request,
        envelope=None
        if body.envelope is None
        else SubmitEnvelope(body.envelope.from_, None if body.envelope.to is None else tuple(body.envelope.to)),
        copy=body.copy_sent,
        sent_mail_path=body.sent_mail_path,
        send_at_ms=body.send_at,
        delivery_attempts=body.delivery_attempts,
        gateway=body.gateway,
        dsn=_dsn(body),
        proxy=body.proxy,
        local_address=body.local_address,
    )


def _merge_entry(entry: MergeEntry) -> SubmitMergeEntry:
    to = Address(entry.to.name or "", entry.to.address)
    return SubmitMergeEntry(to, entry.message_id, entry.params, entry.send_at)


def _dsn(body: SubmitOptions) -> DsnRequest | None:
    if body.dsn is None:
        return None
    return DsnRequest(body.dsn.return_, tuple(body.dsn.notify or ()), body.dsn.id, body.dsn.recipient)


# -- the outbox -----------------------------------------------------------------------------------


async def _page(call: Call) -> Mapping[str, Any]:
    query = call.parameters(Paging)
    return await call.services.outbox.page(page=query.page, page_size=query.page_size)


async def _get(call: Call) -> Mapping[str, Any]:
    entry = await call.services.outbox.get(call.path["queueId"])
    if entry is None:
        raise HttpError(404, "there is no such message in the outbox")
    return entry


async def _delete(call: Call) -> Mapping[str, Any]:
    return {"deleted": await call.services.outbox.delete(call.path["queueId"])}


async def _resolve(call: Call) -> Mapping[str, Any]:
    outcome = call.payload(ResolveOutcome).outcome
    await call.services.outbox.resolve(call.path["queueId"], outcome)
    return {"queueId": call.path["queueId"], "resolved": outcome}


async def _retry(call: Call) -> Mapping[str, Any]:
    return {"queueId": call.path["queueId"], "retried": await call.services.outbox.retry(call.path["queueId"])}


OPERATIONS = (
    Operation(
        "postV1AccountAccountSubmit",
        "POST",
        "/v1/account/{account}/submit",
        "Submit",
        "Queue a message to be sent",
        _submit,
        "send",
        "submit",
        query=SubmitQuery,
        body=SubmitMessage,
        answer=Submitted,
        headers=("idempotency-key",),
        body_bytes=None,
        needs_owner=_needs_owner,
        description="With an Idempotency-Key the same request sent again within a day queues nothing twice. "
        "With mailMerge the answer is 200 also when entries were refused, and says so of each.",
    ),
    Operation(
        "postV1AccountAccountMessageMessageSubmit",
        "POST",
        "/v1/account/{account}/message/{message}/submit",
        "Submit",
        "Queue a draft to be sent",
        _submit_draft,
        "send",
        "submit",
        body=SubmitDraft,
        answer=DraftSubmitted,
        headers=("idempotency-key",),
        needs_owner=always,
        description="The draft goes once it is sent: for good where its copy is among the sent mail, else to the "
        "trash. With an Idempotency-Key the same request sent again within a day queues nothing twice.",
    ),
    Operation(
        "getV1Outbox",
        "GET",
        "/v1/outbox",
        "Outbox",
        "List what waits to be sent",
        _page,
        "read",
        "outbox",
        query=Paging,
        answer=OutboxList,
    ),
    Operation(
        "getV1OutboxQueueid",
        "GET",
        "/v1/outbox/{queueId}",
        "Outbox",
        "Show a message of the outbox",
        _get,
        "read",
        "outbox",
        answer=OutboxEntry,
    ),
    Operation(
        "deleteV1OutboxQueueid",
        "DELETE",
        "/v1/outbox/{queueId}",
        "Outbox",
        "Take a message back",
        _delete,
        "destructive",
        "outbox",
        answer=Deleted,
    ),
    Operation(
        "postV1OutboxQueueidResolve",
        "POST",
        "/v1/outbox/{queueId}/resolve",
        "Outbox",
        "Say what became of an uncertain message",
        _resolve,
        "write",
        "outbox",
        body=ResolveOutcome,
        answer=Resolved,
        description="With retry it is sent again, which may be the second time.",
    ),
    Operation(
        "postV1OutboxQueueidRetry",
        "POST",
        "/v1/outbox/{queueId}/retry",
        "Outbox",
        "Send a waiting message now",
        _retry,
        "write",
        "outbox",
        answer=Retried,
    ),
)
