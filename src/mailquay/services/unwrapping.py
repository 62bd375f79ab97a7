"""Attachments that wrap others (TNEF, winmail.dat): what is in them, as parts of the message."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from mailquay.mime.tnef import TnefFile, unpack_tnef
from mailquay.mime.transfer import decode_transfer
from mailquay.model.message import Attachment, Structure, TextPart

MAX_WRAPPED_BYTES = 40 * 1024 * 1024
"""As transferred; what is larger is listed as it is."""

_TYPES = frozenset(("application/ms-tnef", "application/vnd.ms-tnef"))
_FILENAME = "winmail.dat"


def is_wrapped(content_type: str, filename: str | None) -> bool:
    """Whether an attachment says that it is TNEF."""
    return content_type in _TYPES or (
        content_type == "application/octet-stream" and (filename or "").lower() == _FILENAME
    )


def wrapped_parts(structure: Structure) -> list[Attachment]:
    """The attachments that are to be unpacked, as far as their size together allows."""
    chosen, total = [], 0
    for part in structure.attachments:
        if is_wrapped(part.content_type, part.filename) and total + part.encoded_size_bytes <= MAX_WRAPPED_BYTES:
            chosen.append(part)
            total += part.encoded_size_bytes
    return chosen


def wrapper_of(structure: Structure, number: str) -> tuple[Attachment, int] | None:
    """The attachment in which the part of that number is wrapped, and its place in there, from 1."""
    outer, _, place = number.rpartition(".")
    for part in wrapped_parts(structure):
        if part.part == outer and place.isdigit():
            return part, int(place)
    return None


async def unwrap(raw: bytes, encoding: str | None) -> list[TnefFile]:
    """What is in the bytes of a wrapping attachment; worked out in a thread."""
    return await asyncio.to_thread(lambda: unpack_tnef(decode_transfer(raw, encoding)))


def with_unwrapped(
    structure: Structure, wrapped: Mapping[str, Sequence[TnefFile]]
) -> tuple[Structure, dict[str, TnefFile]]:
    """The structure with what was unpacked behind its wrapper, and all of that by part number.

    A part number is that of the wrapper and the place within it. A message without a text has that which was wrapped.
    """
    attachments: list[Attachment] = []
    files: dict[str, TnefFile] = {}
    texts: dict[str, list[TextPart]] = {"plain": [], "html": []}
    for part in structure.attachments:
        attachments.append(part)
        for place, file in enumerate(wrapped.get(part.part, ()), 1):
            number = f"{part.part}.{place}"
            files[number] = file
            attachments.append(_attachment(file, number, part))
            if file.body in texts and not part.encoded_in_message:
                texts[file.body].append(TextPart(number, len(file.content), charset=file.charset))
    if structure.plain or structure.html:
        return dataclasses.replace(structure, attachments=tuple(attachments)), files
    plain, html = tuple(texts["plain"][:1]), tuple(texts["html"][:1])
    return dataclasses.replace(structure, attachments=tuple(attachments), plain=plain, html=html), files


def _attachment(file: TnefFile, number: str, wrapper: Attachment) -> Attachment:
    return Attachment(
        part=number,
        content_type=file.content_type,
        encoded_size_bytes=len(file.content),
        filename=file.filename,
        content_id=file.content_id,
        inline=file.content_id is not None,
        encoded_in_message=wrapper.encoded_in_message,
    )
