"""TNEF ([MS-OXTNEF]): the winmail.dat in which Outlook wraps bodies and attachments, unpacked.

Nothing here grows beyond what came in but compressed RTF, which has limits of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailquay.mime.charset import decode
from mailquay.mime.mapi import MapiValue, read_properties
from mailquay.mime.rtf_compression import MAX_COMPRESSED_BYTES, decompress_rtf

MAX_FILES = 1000
_MAX_ATTRIBUTES = 20_000
_MAX_DEPTH = 5

_SIGNATURE = 0x223E9F78
_ATTRIBUTE = struct.Struct("<BII")
_CHECKSUM_BYTES = 2
_ATTACHMENT_LEVEL = 2
_CODEPAGE, _BODY, _MESSAGE_PROPERTIES = 0x9007, 0x800C, 0x9003
_RENDERING, _TITLE, _DATA, _ATTACHMENT_PROPERTIES, _TRANSPORT_NAME = 0x9002, 0x8010, 0x800F, 0x9005, 0x9001

_PLAIN, _RTF, _HTML = 0x1000, 0x1009, 0x1013
_INTERNET_CODEPAGE = 0x3FDE
_CONTENT, _LONG_NAME, _SHORT_NAME, _MIME_TYPE, _CONTENT_ID = 0x3701, 0x3707, 0x3704, 0x370E, 0x3712
_DISPLAY_NAME = 0x3001


@dataclass(frozen=True, slots=True)
class TnefFile:
    """Something that was wrapped. `body` is "plain", "html" or "rtf" for the text of the message itself."""

    content: bytes
    content_type: str
    filename: str
    content_id: str | None = None
    body: str | None = None
    charset: str | None = None


def unpack_tnef(data: bytes) -> list[TnefFile]:
    """What is wrapped: attachments in order, those of wrapped messages behind them, and last the bodies.

    Never fails: what is broken or was cut off is left out.
    """
    files: list[TnefFile] = []
    pending = [(memoryview(data), 0)]
    bodies: list[TnefFile] = []
    rtf_left = MAX_COMPRESSED_BYTES
    while pending and len(files) < MAX_FILES:
        wrapped, depth = pending.pop(0)
        reader = _Reader()
        for level, name, value in _attributes(wrapped):
            reader.take(level, name, value)
        found, inner = reader.attachments()
        files += found
        if depth < _MAX_DEPTH:
            pending += [(message, depth + 1) for message in inner]
        if reader.rtf_bytes > rtf_left:
            reader.leave_rtf()
        rtf_left -= reader.rtf_bytes
        if depth == 0:
            bodies = reader.bodies()
        else:
            files += reader.bodies(prefix=f"message-{depth}")
    return files[:MAX_FILES] + bodies


def _attributes(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Level, number and value of each attribute that is whole."""
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != _SIGNATURE:
        return
    position = 6
    for _ in range(_MAX_ATTRIBUTES):
        if position + _ATTRIBUTE.size > len(data):
            return
        level, tag, length = _ATTRIBUTE.unpack_from(data, position)
        position += _ATTRIBUTE.size
        if length > len(data) - position:
            return
        yield level, tag & 0xFFFF, data[position : position + length]
        position += length + _CHECKSUM_BYTES


@dataclass(slots=True)
class _Wrapped:
    """One attachment as it is put together from attributes and properties."""

    title: bytes = b""
    transport_name: bytes = b""
    content: memoryview | None = None
    properties: dict[int, MapiValue] = field(default_factory=dict)


class _Reader:
    """Collects the attributes of one TNEF stream."""

    def __init__(self) -> None:
        self._charset = "windows-1252"
        self._plain: bytes | None = None
        self._properties: dict[int, MapiValue] = {}
        self._attachments: list[_Wrapped] = []

    def take(self, level: int, name: int, value: memoryview) -> None:
        """One attribute."""
        if level == _ATTACHMENT_LEVEL:
            if name == _RENDERING or not self._attachments:
                self._attachments.append(_Wrapped())
            self._take_attachment(self._attachments[-1], name, value)
        elif name == _CODEPAGE and len(value) >= 4:
            self._charset = f"cp{struct.unpack_from('<I', value)[0]}"
        elif name == _BODY:
            self._plain = bytes(value)
        elif name == _MESSAGE_PROPERTIES:
            self._properties = read_properties(value)

    def _take_attachment(self, wrapped: _Wrapped, name: int, value: memoryview) -> None:
        if name == _TITLE:
            wrapped.title = bytes(value[:1024])
        elif name == _TRANSPORT_NAME:
            wrapped.transport_name = bytes(value[:1024])
        elif name == _DATA:
            wrapped.content = value
        elif name == _ATTACHMENT_PROPERTIES:
            wrapped.properties = read_properties(value)

    def attachments(self) -> tuple[list[TnefFile], list[memoryview]]:
        """The attachments, and the messages among them, which are TNEF again."""
        files: list[TnefFile] = []
        messages: list[memoryview] = []
        for wrapped in self._attachments:
            found = wrapped.properties.get(_CONTENT)
            if found is not None and found.embedded:
                messages.append(found.data)
                continue
            content = found.data if found is not None and wrapped.content is None else wrapped.content
            if content is not None:
                files.append(self._file(wrapped, bytes(content), len(files) + 1))
        return files, messages

    def _file(self, wrapped: _Wrapped, content: bytes, number: int) -> TnefFile:
        names = (self._text(wrapped.properties.get(name)) for name in (_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME))
        filename = next(filter(None, names), "") or self._decoded(wrapped.title or wrapped.transport_name)
        content_type = self._text(wrapped.properties.get(_MIME_TYPE)).lower()
        content_id = self._text(wrapped.properties.get(_CONTENT_ID)).strip("<>")
        return TnefFile(
            content=content,
            content_type=content_type if content_type.count("/") == 1 else "application/octet-stream",
            filename=filename or f"attachment-{number}",
            content_id=f"<{content_id}>" if content_id else None,
        )

    @property
    def rtf_bytes(self) -> int:
        """How much compressed RTF there is."""
        return len(self._properties[_RTF].data) if _RTF in self._properties else 0

    def leave_rtf(self) -> None:
        """Do without the RTF: wrapped messages have had enough of it."""
        del self._properties[_RTF]

    def bodies(self, prefix: str = "message") -> list[TnefFile]:
        """The text of the message in each form that it has."""
        found: list[TnefFile] = []
        html, plain, rtf = (self._properties.get(name) for name in (_HTML, _PLAIN, _RTF))
        if html is not None:
            page = self._properties.get(_INTERNET_CODEPAGE)
            charset = "utf-8" if html.unicode else f"cp{page.number}" if page is not None else self._charset
            content = self._text(html).encode() if html.unicode else bytes(html.data)
            found.append(TnefFile(content, "text/html", f"{prefix}.html", body="html", charset=charset))
        text = self._text(plain) or self._decoded(self._plain or b"")
        if text:
            found.append(TnefFile(text.encode(), "text/plain", f"{prefix}.txt", body="plain", charset="utf-8"))
        expanded = decompress_rtf(bytes(rtf.data)) if rtf is not None else None
        if expanded is not None:
            found.append(TnefFile(expanded, "application/rtf", f"{prefix}.rtf", body="rtf"))
        return found

    def _text(self, value: MapiValue | None) -> str:
        if value is None:
            return ""
        return value.text if value.unicode else self._decoded(bytes(value.data))

    def _decoded(self, raw: bytes) -> str:
        return decode(raw.partition(b"\0")[0], self._charset)
