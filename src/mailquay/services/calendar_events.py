"""Invitations in a message: the events of its calendar parts and .ics files, as webhooks tell them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mailquay.backends.interface import MailSession
from mailquay.mime.calendar_event import MAX_CALENDAR_BYTES, CalendarEvent, read_events
from mailquay.mime.transfer import decode_transfer
from mailquay.model.message import Attachment, Structure
from mailquay.services import identifiers
from mailquay.services.message_content import MessageContent, fetch_attachments

_TYPES = frozenset(("text/calendar", "application/ics"))
_MAX_PARTS = 5
_MAX_ENCODED_BYTES = MAX_CALENDAR_BYTES * 3
"""Quoted-printable at its worst."""
_MAX_TOLD_BYTES = 2 * 1024 * 1024
"""What all the contents of one message's events may come to; what is beyond is told without its content."""
_one_at_a_time = threading.Lock()


def calendar_parts(structure: Structure) -> list[tuple[Attachment, str | None]]:
    """The parts that hold calendars, files first, each with its charset; not those of embedded messages."""
    files = [
        (part, None)
        for part in structure.attachments
        if not part.encoded_in_message
        and (part.content_type in _TYPES or (part.filename or "").lower().endswith(".ics"))
        and part.encoded_size_bytes <= _MAX_ENCODED_BYTES
    ]
    bodies = [
        (Attachment(part.part, part.content_type, part.encoded_size_bytes, encoding=part.encoding), part.charset)
        for part in structure.other
        if part.content_type in _TYPES and part.encoded_size_bytes <= _MAX_ENCODED_BYTES
    ]
    return [*files, *bodies][:_MAX_PARTS]


async def calendar_events(
    session: MailSession, mailbox: int, uid: int, content: MessageContent
) -> list[dict[str, Any]]:
    """The events of a message of the open mailbox; one that stands in several parts is told once."""
    parts = calendar_parts(content.structure)
    fetched = await fetch_attachments(session, uid, content, [part for part, _ in parts], _MAX_ENCODED_BYTES)
    told: dict[tuple[object, ...], dict[str, Any]] = {}
    size = 0
    for part, charset in parts:
        if part.part not in fetched:
            continue
        data, events = await asyncio.to_thread(_read, *fetched[part.part], charset)
        for event in events:
            key = (event.uid, event.method, event.start, event.end)
            if key in told:
                continue
            size += len(data)
            told[key] = _shown(mailbox, uid, part, event, data if size <= _MAX_TOLD_BYTES else None)
    return list(told.values())


def _read(raw: bytes, encoding: str | None, charset: str | None) -> tuple[bytes, Sequence[CalendarEvent]]:
    data = decode_transfer(raw, encoding)
    with _one_at_a_time:
        return data, read_events(data, charset)


def _shown(mailbox: int, uid: int, part: Attachment, event: CalendarEvent, data: bytes | None) -> dict[str, Any]:
    shown = {
        "eventId": event.uid,
        "attachment": identifiers.attachment_id(mailbox, uid, part.part),
        "method": event.method or (part.method.upper() if part.method else None),
        "summary": event.summary,
        "description": event.description,
        "timezone": event.timezone,
        "startDate": _iso(event.start),
        "endDate": _iso(event.end),
        "organizer": event.organizer,
        "filename": part.filename,
        "contentType": part.content_type,
    }
    if data is not None:
        shown |= {"encoding": "base64", "content": base64.b64encode(data).decode("ascii")}
    return {key: value for key, value in shown.items() if value is not None}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"
