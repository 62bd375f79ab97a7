"""Sections of a message: what BODY[1.2.MIME] and its like stand for (RFC 9051 §6.4.5.1, RFC 3516 §4.2)."""

from __future__ import annotations

from collections.abc import Callable

from mailquay.mime.header import Field
from mailquay.mime.message import Part
from mailquay.wire.imap.section import Section, SectionText


def find_part(root: Part, number: tuple[int, ...]) -> Part | None:
    """The part with this number. Where a message and the multipart inside it share one, the message is meant."""
    wanted = ".".join(map(str, number))
    return next((part for part in root.walk() if part.number == wanted), None)


def section_bytes(root: Part, raw: bytes, section: Section) -> bytes | None:
    """The bytes of a section of the message `raw`, which is parsed as `root`; None when there is no such section."""
    if not section.part:
        if section.text is SectionText.ALL:
            return raw
        return _of_message(root, 0, section)
    part = find_part(root, section.part)
    if part is None:
        return None
    if section.text is SectionText.ALL:
        return part.encoded
    if section.text is SectionText.MIME:
        return part.source[_header_start(part) : part.start]
    if not part.is_message or not part.children:
        return None
    return _of_message(part.children[0], part.start, section)


def _of_message(message: Part, start: int, section: Section) -> bytes:
    """HEADER, TEXT or some fields of a message whose header begins at `start`."""
    match section.text:
        case SectionText.HEADER:
            return message.source[start : message.start]
        case SectionText.HEADER_FIELDS:
            wanted = {name.lower() for name in section.fields}
            return _fields(message, lambda name: name.lower() in wanted)
        case SectionText.HEADER_FIELDS_NOT:
            unwanted = {name.lower() for name in section.fields}
            return _fields(message, lambda name: name.lower() not in unwanted)
        case _:
            return message.encoded


def _fields(message: Part, chosen: Callable[[str], bool]) -> bytes:
    """Some header fields as they stand, and the blank line that ends a header."""
    return b"".join(_line(field) for field in message.headers if chosen(field.name)) + b"\r\n"


def _line(field: Field) -> bytes:
    return field.name.encode("ascii") + b":" + field.raw.removesuffix(b"\r") + b"\r\n"


def _header_start(part: Part) -> int:
    """Where the header of a part begins: behind the boundary line that opens it."""
    parent = part.parent
    if parent is None:
        return 0
    if not parent.is_multipart:
        return parent.start
    before = parent.children.index(part)
    searched_from = parent.children[before - 1].stop if before else parent.start
    boundary = b"--" + parent.parameters.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")
    found = part.source.rfind(boundary, searched_from, part.start)
    return part.source.find(b"\n", found, part.start) + 1 if found >= 0 else part.start
