"""Messages: list, read, change, move, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mailquay.api.errors import HttpError
from mailquay.api.http import Streamed
from mailquay.api.operation import Call, Operation, always
from mailquay.api.schemas.common import MAX_PAGE
from mailquay.api.schemas.messages import (
    DeleteMessageQuery,
    FlagChanges,
    MessageDeleted,
    MessageDetails,
    MessageList,
    MessageMove,
    MessageMoved,
    MessageQuery,
    MessagesQuery,
    MessageUpdate,
    MessageUpdated,
    TextAnswer,
    TextQuery,
)
from mailquay.services.identifiers import decode_cursor
from mailquay.services.message_request import ByteRange, Download, MessageChanges, ReadOptions

_PLAIN_FILENAME = re.compile(r"[a-zA-Z0-9 ._\-()^\[\]~=,+*$]+")
_BYTES = re.compile(r"bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})", re.ASCII | re.IGNORECASE)
_SAFE_TYPE = re.compile(r"[a-zA-Z0-9!#$&^_.+-]{1,127}/[a-zA-Z0-9!#$&^_.+-]{1,127}")
_MAX_FILENAME, _MAX_EXTENSION = 200, 20


async def _list_needs_owner(call: Call) -> bool:
    return await call.services.messages.needs_owner(await call.account(), call.parameters(MessagesQuery).path)


async def _list(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    query = call.parameters(MessagesQuery)
    page = query.page if query.cursor is None else page_of_cursor(query.cursor)
    return await call.services.messages.page(
        account, path=query.path, page=page, page_size=query.page_size, timeout_seconds=call.timeout_seconds
    )


def page_of_cursor(cursor: str) -> int:
    """The page that a cursor stands for.

    Raises HttpError (400) when it is another kind of account's, or damaged.
    """
    try:
        page = decode_cursor(cursor)
    except ValueError as error:
        raise HttpError(400, "the cursor is damaged", code="InvalidCursorValue") from error
    if page is None:
        raise HttpError(400, "the cursor belongs to another kind of account", code="InvalidCursorType")
    if page > MAX_PAGE:
        # No database counts as far as a cursor that somebody made up.
        raise HttpError(400, "the cursor is damaged", code="InvalidCursorValue")
    return page


async def _get(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    query = call.parameters(MessageQuery)
    options = ReadOptions(
        text_type=query.text_type,
        max_characters=query.max_bytes,
        web_safe_html=query.web_safe_html,
        embed_attached_images=query.embed_attached_images,
        pre_process_html=query.pre_process_html,
        mark_as_seen=query.mark_as_seen,
    )
    return await call.services.messages.get(
        account, call.path["message"], options, timeout_seconds=call.timeout_seconds
    )


async def _text(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    query = call.parameters(TextQuery)
    return await call.services.messages.text(
        account,
        call.path["text"],
        text_type=query.text_type,
        max_characters=query.max_bytes,
        web_safe_html=query.web_safe_html,
        timeout_seconds=call.timeout_seconds,
    )


async def _attachment(call: Call) -> Streamed:
    account = await call.account()
    source = call.services.messages.attachment(account, call.path["attachment"], timeout_seconds=call.timeout_seconds)
    return Streamed(source, attachment_headers)


async def _source(call: Call) -> Streamed:
    account = await call.account()
    source = call.services.messages.source(
        account,
        call.path["message"],
        timeout_seconds=call.timeout_seconds,
        wanted=byte_range(call.request.headers.get("range", "")),
    )
    return Streamed(source, source_headers)


def byte_range(header: str) -> ByteRange | None:
    """The bytes that a Range header asks for; None for several ranges, and for what is none (RFC 9110 §14.2)."""
    match = _BYTES.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = (int(number) if number else None for number in match.groups())
    return None if first is not None and last is not None and last < first else ByteRange(first, last)


def source_headers(download: Download) -> dict[str, str]:
    """Headers of a message: never shown by a browser, always saved; and which bytes of it these are."""
    fields = {"content-type": "message/rfc822", "content-disposition": "attachment", "accept-ranges": "bytes"}
    if download.part is not None:
        first, last = download.part
        fields["content-range"] = f"bytes {first}-{last}/{download.size_bytes}"
        fields["content-length"] = str(last - first + 1)
    return {**fields, **_HARMLESS}


def attachment_headers(download: Download) -> dict[str, str]:
    """Headers of an attachment: it is saved, not shown, whatever a stranger says that it is (RFC 6266)."""
    declared = download.content_type
    content_type = declared if _SAFE_TYPE.fullmatch(declared) else "application/octet-stream"
    return {"content-type": content_type, "content-disposition": disposition(download.filename), **_HARMLESS}


_HARMLESS = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}


def disposition(filename: str | None) -> str:
    """The content-disposition of a file; a name outside of plain ASCII comes in both forms (RFC 6266 §4.3)."""
    if not filename:
        return "attachment"
    if len(filename) > _MAX_FILENAME:
        # Whoever sends mail chooses it, and many clients give up on a header of more than 8 KB.
        stem, dot, extension = filename.rpartition(".")
        kept = f".{extension}" if dot and stem and len(extension) <= _MAX_EXTENSION else ""
        filename = filename[: _MAX_FILENAME - len(kept)] + kept
    if _PLAIN_FILENAME.fullmatch(filename):
        return f'attachment; filename="{filename}"'
    plain = "".join(letter if _PLAIN_FILENAME.fullmatch(letter) else "_" for letter in filename)
    encoded = quote(filename.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=utf-8''{encoded}"


async def _update(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    changes = changes_asked(call.payload(MessageUpdate))
    return await call.services.messages.update(
        account, call.path["message"], changes, timeout_seconds=call.timeout_seconds
    )


def changes_asked(update: MessageUpdate) -> MessageChanges:
    """As the services take it."""
    flags, labels = update.flags or FlagChanges(), update.labels or FlagChanges()
    return MessageChanges(
        add=_tuple(flags.add),
        delete=_tuple(flags.delete),
        set=_tuple(flags.set),
        labels_add=_tuple(labels.add),
        labels_delete=_tuple(labels.delete),
        labels_set=_tuple(labels.set),
    )


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


async def _move(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    path = call.payload(MessageMove).path
    return await call.services.messages.move(account, call.path["message"], path, timeout_seconds=call.timeout_seconds)


async def _delete(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    force = call.parameters(DeleteMessageQuery).force
    return await call.services.messages.delete(
        account, call.path["message"], force=force, timeout_seconds=call.timeout_seconds
    )


OPERATIONS = (
    Operation(
        "getV1AccountAccountMessages",
        "GET",
        "/v1/account/{account}/messages",
        "Message",
        "List messages of a mailbox",
        _list,
        "read",
        "message",
        query=MessagesQuery,
        answer=MessageList,
        needs_owner=_list_needs_owner,
    ),
    Operation(
        "getV1AccountAccountMessageMessage",
        "GET",
        "/v1/account/{account}/message/{message}",
        "Message",
        "Read a message",
        _get,
        "read",
        "message",
        query=MessageQuery,
        answer=MessageDetails,
        needs_owner=always,
        description="Without textType no text is read. webSafeHtml reads all of it, with images embedded.",
    ),
    Operation(
        "getV1AccountAccountMessageMessageSource",
        "GET",
        "/v1/account/{account}/message/{message}/source",
        "Message",
        "Download a message",
        _source,
        "read",
        "message",
        answer_type="message/rfc822",
        needs_owner=always,
    ),
    Operation(
        "getV1AccountAccountTextText",
        "GET",
        "/v1/account/{account}/text/{text}",
        "Message",
        "Read the text of a message",
        _text,
        "read",
        "message",
        query=TextQuery,
        answer=TextAnswer,
        needs_owner=always,
    ),
    Operation(
        "getV1AccountAccountAttachmentAttachment",
        "GET",
        "/v1/account/{account}/attachment/{attachment}",
        "Message",
        "Download an attachment",
        _attachment,
        "read",
        "message",
        answer_type="*/*",
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountMessageMessage",
        "PUT",
        "/v1/account/{account}/message/{message}",
        "Message",
        "Change flags and labels of a message",
        _update,
        "write",
        "message",
        body=MessageUpdate,
        answer=MessageUpdated,
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountMessageMessageMove",
        "PUT",
        "/v1/account/{account}/message/{message}/move",
        "Message",
        "Move a message",
        _move,
        "write",
        "message",
        body=MessageMove,
        answer=MessageMoved,
        needs_owner=always,
    ),
    Operation(
        "deleteV1AccountAccountMessageMessage",
        "DELETE",
        "/v1/account/{account}/message/{message}",
        "Message",
        "Delete a message",
        _delete,
        "destructive",
        "message",
        query=DeleteMessageQuery,
        answer=MessageDeleted,
        needs_owner=always,
        description="It goes to the trash. What is in the trash or the junk mailbox already is deleted for good.",
    ),
)
