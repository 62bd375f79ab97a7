"""What a FETCH can ask for: attributes, and sections of the body (RFC 9051 §6.4.5, RFC 3516 §4)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.writer import Writer


class FetchAttribute(StrEnum):
    """A data item that is named by one word, and PREVIEW if it costs the server nothing (RFC 8970 §3.2)."""

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    RFC822_SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    RFC822 = "RFC822"
    RFC822_HEADER = "RFC822.HEADER"
    RFC822_TEXT = "RFC822.TEXT"
    MODSEQ = "MODSEQ"
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"
    PREVIEW = "PREVIEW"
    PREVIEW_LAZY = "PREVIEW (LAZY)"
    GMAIL_MESSAGE_ID = "X-GM-MSGID"
    GMAIL_THREAD_ID = "X-GM-THRID"
    GMAIL_LABELS = "X-GM-LABELS"


class SectionText(StrEnum):
    """Which part of a message or body part a section means; ALL is everything."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


class Section(NamedTuple):
    """A section such as `1.2.HEADER.FIELDS (SUBJECT)`; the default means the whole message."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[str, ...] = ()


class SectionKind(StrEnum):
    """How a section is asked for: as it is, decoded, or only its decoded size (RFC 3516 §4.2)."""

    BODY = "BODY"
    BINARY = "BINARY"
    BINARY_SIZE = "BINARY.SIZE"


class FetchSection(NamedTuple):
    """A request for a section. `peek` leaves \\Seen alone; `partial` is (first byte, number of bytes)."""

    section: Section = Section()
    peek: bool = True
    partial: tuple[int, int] | None = None
    kind: SectionKind = SectionKind.BODY


FetchItem = FetchAttribute | FetchSection

MACROS: Final[dict[str, tuple[FetchAttribute, ...]]] = {
    "FAST": (FetchAttribute.FLAGS, FetchAttribute.INTERNALDATE, FetchAttribute.RFC822_SIZE),
    "ALL": (
        FetchAttribute.FLAGS,
        FetchAttribute.INTERNALDATE,
        FetchAttribute.RFC822_SIZE,
        FetchAttribute.ENVELOPE,
    ),
    "FULL": (
        FetchAttribute.FLAGS,
        FetchAttribute.INTERNALDATE,
        FetchAttribute.RFC822_SIZE,
        FetchAttribute.ENVELOPE,
        FetchAttribute.BODY,
    ),
}
"""Macros and what they stand for (RFC 9051 §6.4.5); read, never written."""

_ATTRIBUTES = {attribute.value: attribute for attribute in FetchAttribute}
_ITEM = re.compile(rb"[A-Za-z0-9.\-]+")
_PART = re.compile(rb"\d{1,9}(?:\.\d{1,9})*")
_TEXT = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_LAZY = re.compile(rb" \(LAZY\)", re.IGNORECASE)
_PARTIAL = re.compile(rb"<(\d{1,19})\.(\d{1,19})>")
_KINDS = {
    "BODY": (SectionKind.BODY, False),
    "BODY.PEEK": (SectionKind.BODY, True),
    "BINARY": (SectionKind.BINARY, False),
    "BINARY.PEEK": (SectionKind.BINARY, True),
    "BINARY.SIZE": (SectionKind.BINARY_SIZE, True),
}


def read_section(r: Reader) -> Section:
    """Read a section with its brackets. Raises RemoteProtocolError for part number 0 and wrong combinations."""
    r.expect(b"[")
    part: tuple[int, ...] = ()
    match = r.match(_PART)
    if match is not None:
        part = tuple(int(number) for number in match.group().split(b"."))
        if 0 in part or len(part) > r.limits.max_nesting_depth:
            raise r.error("a part number")
    text = SectionText.ALL
    fields: tuple[str, ...] = ()
    if match is None or r.skip(b"."):
        name = r.match(_TEXT)
        if name is not None:
            text = SectionText(name.group().decode("ascii").upper())
        elif match is not None:
            raise r.error("the rest of a section")
    if text is SectionText.MIME and not part:
        raise r.error("a part number before MIME")
    if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        r.space()
        fields = r.items(lambda reader: reader.astring().decode("latin-1"))
    r.expect(b"]")
    return Section(part, text, fields)


def write_section(w: Writer, section: Section) -> None:
    """Write a section with its brackets."""
    words = [str(number) for number in section.part]
    if section.text is not SectionText.ALL:
        words.append(section.text.value)
    w.raw(b"[" + ".".join(words).encode("ascii"))
    if section.text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        w.raw(b" ")
        w.items(section.fields, lambda writer, name: writer.astring(name.encode("latin-1")))
    w.raw(b"]")


def read_fetch_items(r: Reader) -> tuple[FetchItem, ...]:
    """Read what a FETCH asks for: one item, a macro, or a list of items."""
    if r.peek() == b"(":
        items = r.items(read_fetch_item)
        if not items:
            raise r.error("at least one FETCH item")
        return items
    start = r.pos
    match = r.match(_ITEM)
    if match is not None and match.group().decode("ascii").upper() in MACROS:
        return MACROS[match.group().decode("ascii").upper()]
    r.pos = start
    return (read_fetch_item(r),)


def read_fetch_item(r: Reader) -> FetchItem:
    """Read one item. Raises RemoteProtocolError for an item we do not know."""
    start = r.pos
    match = r.match(_ITEM)
    name = match.group().decode("ascii").upper() if match is not None else ""
    if name in _KINDS and r.peek() == b"[":
        kind, peek = _KINDS[name]
        section = read_section(r)
        partial = r.match(_PARTIAL)
        window = None if partial is None else (int(partial.group(1)), int(partial.group(2)))
        if window is not None and (window[1] == 0 or kind is SectionKind.BINARY_SIZE):
            raise r.error("a partial of at least one byte")
        return FetchSection(section, peek, window, kind)
    if name not in _ATTRIBUTES:
        r.pos = start
        raise r.error("a FETCH item")
    if name == FetchAttribute.PREVIEW and r.match(_LAZY) is not None:
        return FetchAttribute.PREVIEW_LAZY
    return _ATTRIBUTES[name]


def write_fetch_item(w: Writer, item: FetchItem) -> None:
    """Write one item."""
    if isinstance(item, FetchAttribute):
        w.raw(item.value.encode("ascii"))
        return
    peek = ".PEEK" if item.peek and item.kind is not SectionKind.BINARY_SIZE else ""
    w.raw(f"{item.kind.value}{peek}".encode("ascii"))
    write_section(w, item.section)
    if item.partial is not None:
        w.raw(b"<%d.%d>" % item.partial)
