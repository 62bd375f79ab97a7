"""What a report is read from: the header of a message and the few parts of it that can tell anything, each limited."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from mailquay.mime.address import Address, parse_addresses
from mailquay.mime.charset import decode
from mailquay.mime.header import Headers
from mailquay.mime.html_text import html_to_text
from mailquay.mime.message import Part
from mailquay.mime.splitter import Body, BodyReader, Ended, Started
from mailquay.mime.text import decode_html, decode_text
from mailquay.mime.transfer import decode_transfer

MAX_PART_BYTES = 1024 * 1024
"""How much is read of one part, as transferred."""

MAX_HELD_BYTES = 4 * 1024 * 1024
"""How much is held of all parts together."""

MAX_TEXT_CHARACTERS = 50_000
"""How much of the text is searched for wording."""

_MAX_ADDRESS_FIELDS = 10
_MAX_ADDRESSES_CHARACTERS = 64 * 1024
MAX_KEPT_PARTS = 40
DELIVERY_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
FEEDBACK_REPORT = "message/feedback-report"
HEADER_PARTS = frozenset(
    {"text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers"}
)
MESSAGES = frozenset({"message/rfc822", "message/global", "text/rfc822"})
_TEXTS = frozenset({"text/plain", "text/html"})
_MAX_MARKUP_BYTES = 128 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A part that may tell something; its transfer encoding is undone. `enclosed`: it belongs to an embedded message.

    Of an embedded message the content is its header and the beginning of its body.
    """

    content_type: str
    content: bytes
    charset: str | None = None
    enclosed: bool = False

    @property
    def text(self) -> str:
        """The content as text with LF."""
        return decode_text(self.content, self.charset)


@dataclass(frozen=True)
class ReportSource:
    """A message, as far as reports are concerned; `parts` in their order."""

    headers: Headers
    content_type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    parts: tuple[ReportPart, ...] = ()

    def first(self, *content_types: str) -> ReportPart | None:
        """The first part of one of these types; one of the message itself before those of embedded messages."""
        found = [part for part in self.parts if part.content_type in content_types]
        return min(found, key=lambda part: part.enclosed, default=None)

    @cached_property
    def text(self) -> str:
        """The plain texts of the message itself, else its HTML as text; no more than is searched for wording."""
        own = [part for part in self.parts if not part.enclosed]
        plain = [part for part in own if part.content_type == "text/plain"]
        if plain:
            # No character takes more than four bytes.
            limit = 4 * MAX_TEXT_CHARACTERS
            texts = (decode_text(part.content[:limit], part.charset) for part in plain)
            return "\n\n".join(texts)[:MAX_TEXT_CHARACTERS]
        markup = next((part for part in own if part.content_type == "text/html"), None)
        if markup is None:
            return ""
        return html_to_text(decode_html(markup.content[:_MAX_MARKUP_BYTES], markup.charset))[:MAX_TEXT_CHARACTERS]


class SourceReader:
    """Reads a source that arrives piece by piece; of what tells nothing, nothing is held."""

    def __init__(self) -> None:
        self._reader = BodyReader(self._wants)
        self._bodies: dict[int, bytearray] = {}
        self._held = 0

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        for start in range(0, len(data), _PIECE_BYTES):
            self._take(self._reader.feed(data[start : start + _PIECE_BYTES]))

    def finish(self) -> ReportSource:
        """The source is over, or as much of it has been read as is wanted."""
        self._take(self._reader.finish())
        root = self._reader.root
        if root is None:
            return ReportSource(Headers())
        parts = tuple(_kept(part, bytes(self._bodies[id(part)])) for part in root.walk() if id(part) in self._bodies)
        return ReportSource(root.headers, root.content_type, root.parameters, parts)

    def _wants(self, part: Part) -> bool:
        if len(self._bodies) >= MAX_KEPT_PARTS:
            return False
        kind = part.content_type
        if any(ancestor.is_message for ancestor in part.ancestors()):
            return kind in DELIVERY_STATUS or kind in HEADER_PARTS or kind == FEEDBACK_REPORT
        # Of a multipart nobody knows yet whether anything will be found in it.
        telling = kind in DELIVERY_STATUS or kind in HEADER_PARTS or kind in MESSAGES or kind == FEEDBACK_REPORT
        return telling or kind in _TEXTS or part.is_multipart

    def _take(self, events: list[Started | Body | Ended]) -> None:
        for event in events:
            part = event.part
            if isinstance(event, Started) and part.parent is not None and part.parent.is_multipart:
                self._reader.drop(part.parent)
                self._held -= len(self._bodies.pop(id(part.parent), b""))
            elif isinstance(event, Body) and not (part.is_multipart and part.children):
                body = self._bodies.setdefault(id(part), bytearray())
                room = min(MAX_PART_BYTES - len(body), MAX_HELD_BYTES - self._held)
                body += event.data[: max(0, room)]
                self._held += min(len(event.data), max(0, room))
                if room <= len(event.data):
                    self._reader.drop(part)


def read_source(source: bytes) -> ReportSource:
    """Read a whole message; never fails, whatever it is given."""
    reader = SourceReader()
    reader.feed(source)
    return reader.finish()


def addresses_of(headers: Headers, *names: str) -> list[Address]:
    """The addresses in the first fields of these names, and of each in as much as anybody writes."""
    fields = [item for name in names for item in headers.all(name)[:_MAX_ADDRESS_FIELDS]]
    return [one for item in fields for one in parse_addresses(item.unfolded[:_MAX_ADDRESSES_CHARACTERS])]


def text_of_bytes(content: bytes) -> str:
    """Fields of a report as text: mostly ASCII, else UTF-8 (RFC 6533 §3), else what it looks like."""
    return decode(content, None).replace("\r\n", "\n").replace("\r", "\n")


def _kept(part: Part, body: bytes) -> ReportPart:
    """A multipart in which no part was found is read as plain text: its words are there."""
    return ReportPart(
        "text/plain" if part.is_multipart else part.content_type,
        decode_transfer(body, part.encoding),
        part.parameters.get("charset"),
        any(ancestor.is_message for ancestor in part.ancestors()),
    )
