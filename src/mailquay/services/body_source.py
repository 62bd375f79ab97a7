"""Messages whose BODYSTRUCTURE cannot be relied on: read from their source, part by part as it streams in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

from mailquay.errors import MessageNotFound
from mailquay.mime.content import find_attachments, find_texts, text_kind
from mailquay.mime.message import Part
from mailquay.mime.splitter import Body, BodyReader, Ended, Started
from mailquay.model.message import Attachment, Structure, TextPart
from mailquay.services.download_stream import decoded, once
from mailquay.services.message_request import Download
from mailquay.services.unwrapping import MAX_WRAPPED_BYTES, is_wrapped, unwrap

_PIECE_BYTES = 64 * 1024


def needs_source(structure: Structure) -> bool:
    """Whether the server's word on the structure of a message is not enough."""
    return not structure.reliable


@dataclass(frozen=True, slots=True)
class SourceBodies:
    """A message's structure as we see it, and the raw bodies of the parts that were asked for, by number.

    `cut`: the numbers of those that are longer than was wanted.
    """

    structure: Structure
    bodies: dict[str, bytes]
    cut: frozenset[str]


async def read_texts(chunks: AsyncIterator[bytes], kinds: Collection[str], *, limit_bytes: int) -> SourceBodies:
    """The structure, and the texts of some kinds (fields of Structure), each up to the limit, all up to four of it."""

    def wants(part: Part) -> bool:
        # Of a multipart nobody knows yet whether anything will be found in it.
        own = not any(outer.is_message for outer in part.ancestors())
        return ("plain" in kinds and part.is_multipart and own) or text_kind(part) in kinds

    return await _collect(chunks, wants, limit_bytes=limit_bytes, total_bytes=4 * limit_bytes)


async def read_parts(chunks: AsyncIterator[bytes], numbers: Collection[str], *, limit_bytes: int) -> dict[str, bytes]:
    """Parts by their numbers, raw; those that do not fit into the limit together are missing."""
    source = await _collect(
        chunks, lambda part: number_of(part) in numbers, limit_bytes=limit_bytes, total_bytes=limit_bytes
    )
    return {number: body for number, body in source.bodies.items() if number in numbers and number not in source.cut}


async def _collect(
    chunks: AsyncIterator[bytes], wants: Callable[[Part], bool], *, limit_bytes: int, total_bytes: int
) -> SourceBodies:
    reader = BodyReader(wants)
    found: dict[int, bytearray] = {}
    cut: set[int] = set()
    held = 0
    async for event in _events(reader, chunks):
        part = event.part
        if isinstance(event, Started) and part.parent is not None and part.parent.is_multipart:
            # It has parts, and so it is no text.
            reader.drop(part.parent)
            held -= len(found.pop(id(part.parent), b""))
        elif isinstance(event, Body) and not (part.is_multipart and part.children):
            body = found.setdefault(id(part), bytearray())
            kept = event.data[: max(0, min(limit_bytes - len(body), total_bytes - held))]
            if len(kept) < len(event.data):
                cut.add(id(part))
            body += kept
            held += len(kept)
    root = reader.root
    assert root is not None
    parts = [part for part in root.walk() if id(part) in found]
    return SourceBodies(
        structure_of(root),
        {number_of(part): bytes(found[id(part)]) for part in parts},
        frozenset(number_of(part) for part in parts if id(part) in cut),
    )


async def _events(reader: BodyReader, chunks: AsyncIterator[bytes]) -> AsyncIterator[Started | Body | Ended]:
    """What a source tells of its parts; others get their turn after every chunk."""
    async for chunk in chunks:
        for start in range(0, len(chunk), _PIECE_BYTES):
            for event in reader.feed(chunk[start : start + _PIECE_BYTES]):
                yield event
        await asyncio.sleep(0)
    for event in reader.finish():
        yield event


def number_of(part: Part) -> str:
    """The part's number; 1 for a message that is a multipart in name alone."""
    return part.number or "1"


async def download_part(chunks: AsyncIterator[bytes], number: str) -> Download:
    """One part of a message, decoded while its source streams in; also one that is wrapped in another.

    Raises MessageNotFound when the message has no such part.
    """
    outer, _, place = number.rpartition(".")

    def wants(part: Part) -> bool:
        return not part.is_multipart and (part.number == number or (part.number == outer and _wraps(part)))

    events = _events(BodyReader(wants), chunks)
    async for event in events:
        if isinstance(event, Started) and wants(event.part):
            return await _download(event.part, _body(event.part, events), number, place)
    raise MessageNotFound("the message has no such attachment")


def _wraps(part: Part) -> bool:
    return is_wrapped(part.content_type, part.filename)


async def _download(part: Part, raw: AsyncIterator[bytes], number: str, place: str) -> Download:
    if part.number == number:
        return Download(part.content_type, part.filename, decoded(raw, part.encoding))
    collected = bytearray()
    async for data in raw:
        collected += data
        if len(collected) > MAX_WRAPPED_BYTES:
            raise MessageNotFound("the attachment is too large to be unpacked")
    files = await unwrap(bytes(collected), part.encoding)
    if not 1 <= int(place) <= len(files):
        raise MessageNotFound("the message has no such attachment")
    file = files[int(place) - 1]
    return Download(file.content_type, file.filename, once(file.content))


async def _body(part: Part, events: AsyncIterator[Started | Body | Ended]) -> AsyncIterator[bytes]:
    """The body of a part that has started, up to its end."""
    async for event in events:
        if isinstance(event, Body) and event.part is part:
            yield event.data
        elif isinstance(event, Ended) and event.part is part:
            return


def structure_of(root: Part) -> Structure:
    """What BODYSTRUCTURE would have told."""
    texts = find_texts(root)
    return Structure(
        plain=tuple(map(_text, texts.plain)),
        html=tuple(map(_text, texts.html)),
        other=tuple(map(_text, texts.other)),
        attachments=tuple(
            Attachment(
                part=number_of(item.part),
                content_type=item.content_type,
                encoded_size_bytes=item.encoded_size,
                filename=item.filename,
                content_id=item.content_id,
                embedded=item.embedded,
                inline=item.inline,
                encoded_in_message=item.encoded_in_message,
                method=item.part.parameters.get("method") if item.content_type == "text/calendar" else None,
                encoding=item.part.encoding or None,
            )
            for item in find_attachments(root)
        ),
        reliable=False,
        enclosed=tuple(map(_text, texts.enclosed)),
    )


def _text(part: Part) -> TextPart:
    flowed = part.content_type == "text/plain" and part.parameters.get("format", "").lower() == "flowed"
    return TextPart(
        part=number_of(part),
        encoded_size_bytes=part.encoded_size,
        charset=part.parameters.get("charset"),
        encoding=part.encoding or None,
        flowed=flowed,
        delsp=flowed and part.parameters.get("delsp", "").lower() == "yes",
        content_type=None if part.is_multipart else part.content_type,
    )
