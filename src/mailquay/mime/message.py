"""A message's MIME structure (RFC 2045, RFC 2046): a tree over the raw bytes, nothing copied until it is asked for.

One linear scan finds the boundaries of every open multipart at once, so that neither depth nor the number of parts
costs more than the bytes themselves. Part numbers are IMAP's (RFC 9051 §6.4.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from mailquay.mime.header import MAX_HEADER_BYTES, Headers, parse_header
from mailquay.mime.parameter import parse_parameterized
from mailquay.mime.transfer import decode_transfer

MAX_DEPTH = 50
"""Multiparts and embedded messages nested deeper are leaves."""

MAX_PARTS = 2000
"""What follows the header of this many parts is the body of the last one."""

FIELD_START = re.compile(rb"[\x21-\x39\x3b-\x7e]+[ \t]*:")
MAX_DELIMITER_OCTETS = 1000
BLANK_BEFORE_FIELD = re.compile(rb"[ \t\r\n]{1,4096}+(?=[\x21-\x39\x3b-\x7e]{1,76}:)")
_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_EMBEDDED = frozenset({"message/rfc822", "message/global", "message/news"})
_TRANSPARENT = frozenset({"", "7bit", "8bit", "binary"})


@dataclass(slots=False, eq=False)
class Part:
    """One node of the tree. `number` is "" for the message itself when it is a multipart, as in IMAP.

    `start` and `stop` bound the body in `source`, without the line end that belongs to the boundary (RFC 2046 §5.1.1).
    """

    source: bytes = field(repr=False)
    headers: Headers = field(repr=False)
    content_type: str
    parameters: dict[str, str]
    number: str
    depth: int
    start: int
    stop: int
    parent: Part | None = field(default=None, repr=False)
    children: list[Part] = field(default_factory=list, repr=False)

    @property
    def is_multipart(self) -> bool:
        """Whether the part is a container; one without any boundary line has no children."""
        return self.content_type.startswith("multipart/")

    @property
    def is_open_message(self) -> bool:
        """Whether the part is an embedded message that no transfer encoding hides."""
        return self.is_message and self.encoding in _TRANSPARENT

    @property
    def is_message(self) -> bool:
        """Whether the part is an embedded message; its only child is that message."""
        return self.content_type in _EMBEDDED

    @cached_property
    def encoding(self) -> str:
        """Content-Transfer-Encoding in lower case, "" when not given."""
        return (self.headers.text("Content-Transfer-Encoding") or "").lower().partition(";")[0].strip(" \t\"'")

    @cached_property
    def _disposition(self) -> tuple[str, dict[str, str]]:
        header = self.headers.first("Content-Disposition")
        return parse_parameterized(_latin(header.unfolded)) if header is not None else ("", {})

    @property
    def disposition(self) -> str | None:
        """`inline`, `attachment` or what else Content-Disposition says (RFC 2183), lower case."""
        return self._disposition[0].strip("\"'") or None

    @property
    def filename(self) -> str | None:
        """From Content-Disposition, else the `name` of Content-Type."""
        return self._disposition[1].get("filename") or self.parameters.get("name") or None

    @property
    def content_id(self) -> str | None:
        """Content-ID with its angle brackets (RFC 2392 references leave them out)."""
        text = (self.headers.text("Content-ID") or "").strip()
        if not text:
            return None
        return text if text.startswith("<") else f"<{text}>"

    @property
    def encoded(self) -> bytes:
        """The body as transferred."""
        return self.source[self.start : self.stop]

    @property
    def encoded_size(self) -> int:
        """Octets of the body as transferred."""
        return self.stop - self.start

    @property
    def content(self) -> bytes:
        """The body with its transfer encoding undone."""
        return decode_transfer(self.encoded, self.encoding)

    @property
    def message(self) -> Part | None:
        """The embedded message, also one that a transfer encoding hides (forbidden by RFC 2046 §5.2.1, yet sent).

        That one is parsed anew at each call and is no part of this tree.
        """
        if self.children:
            return self.children[0]
        return parse_message(self.content) if self.is_message else None

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in order."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))

    def ancestors(self) -> Iterator[Part]:
        """The parts around this one, innermost first."""
        part = self.parent
        while part is not None:
            yield part
            part = part.parent


def parse_message(source: bytes) -> Part:
    """Read a whole message; never fails, whatever it is given.

    Lenient: any line ends, missing or early closing boundaries, boundaries of an outer multipart that end an inner
    one, a body without a header, an mbox "From " line or blanks first.
    """
    if b"\n" not in source and b"\r" in source:
        source = source.replace(b"\r", b"\n")
    if source[:1].isspace() and (blank := BLANK_BEFORE_FIELD.match(source)) is not None:
        source = source[blank.end() :]
    return _Parser(source).run()


def split_header(source: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where the header section of the entity in `source[start:stop]` ends, and where its body starts."""
    position = start
    if source.startswith((b"From ", b">From "), start):
        position = source.find(b"\n", start, stop) + 1 or stop
    if source.startswith((b"\r\n", b"\n"), position):
        return position, position + (2 if source[position : position + 1] == b"\r" else 1)
    if position == start and not FIELD_START.match(source, position, min(stop, position + 1000)):
        return start, start
    blank_crlf = source.find(b"\n\r\n", position, stop)
    blank_lf = source.find(b"\n\n", position, stop if blank_crlf < 0 else blank_crlf + 1)
    if blank_lf >= 0:
        return blank_lf + 1, blank_lf + 2
    return (blank_crlf + 1, blank_crlf + 3) if blank_crlf >= 0 else (stop, stop)


@dataclass(frozen=True, slots=True)
class _BoundaryLine:
    """A delimiter line of an open multipart: where it starts, where the next line starts, and what it does."""

    start: int
    after: int
    level: int
    closing: bool


class _Parser:
    """State of one scan: the multiparts that are open, innermost last, and the next line that ends a part."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._parts = 0
        self._open: list[Part] = []
        self._delimiters: dict[bytes, list[tuple[int, bool]]] = {}
        self._ahead: _BoundaryLine | None = None
        self._ahead_from = -1
        self._sealed: set[int] = set()

    def run(self) -> Part:
        root = self._entity(0, None, "text/plain")
        position = self._descend(root)
        while self._open and (line := self._next_boundary(position)) is not None:
            position = line.after
            container = self._open[line.level]
            self._close(line)
            if line.closing:
                self._sealed.add(id(container))
                continue
            part = self._entity(position, container, default_type(container))
            if self._parts >= MAX_PARTS:
                break
            position = self._descend(part)
        return root

    def _next_boundary(self, position: int) -> _BoundaryLine | None:
        """The first delimiter line at or after `position`; remembered, since every part asks for it twice."""
        if (
            self._ahead_from >= 0
            and self._ahead_from <= position
            and (self._ahead is None or self._ahead.start >= position)
        ):
            return self._ahead
        self._ahead_from, self._ahead = position, self._scan(position)
        return self._ahead

    def _scan(self, position: int) -> _BoundaryLine | None:
        source = self._source
        at_line_start = position == 0 or source[position - 1 : position] == b"\n"
        dashes = position - 1 if at_line_start and source.startswith(b"--", position) else None
        if dashes is None:
            dashes = source.find(b"\n--", position)
        while self._open and 0 <= dashes + 1 < len(source) and (dashes >= 0 or position == 0):
            start = dashes + 1
            stop = source.find(b"\n", start)
            after = len(source) if stop < 0 else stop + 1
            if after - start <= MAX_DELIMITER_OCTETS:
                known = self._delimiters.get(source[start + 2 : after].rstrip())
                if known:
                    level, closing = known[-1]
                    return _BoundaryLine(start, after, level, closing)
            position = after
            dashes = source.find(b"\n--", after - 1)
            if dashes < 0:
                break
        return None

    def _close(self, line: _BoundaryLine) -> None:
        """End every part that is open inside the multipart of `line`, before the line break in front of it."""
        stop = line.start
        if self._source[stop - 1 : stop] == b"\n":
            stop -= 2 if self._source[stop - 2 : stop] == b"\r\n" else 1
        part = self._open[line.level]
        while part.children and id(part) not in self._sealed:
            part = part.children[-1]
            part.stop = max(stop, part.start)
        while len(self._open) > line.level + (0 if line.closing else 1):
            self._pop()

    def _push(self, boundary: bytes, part: Part) -> None:
        level = len(self._open)
        self._open.append(part)
        self._delimiters.setdefault(boundary, []).append((level, False))
        self._delimiters.setdefault(boundary + b"--", []).append((level, True))
        self._ahead_from = -1

    def _pop(self) -> None:
        boundary = boundary_of(self._open.pop())
        self._delimiters[boundary].pop()
        self._delimiters[boundary + b"--"].pop()
        self._ahead_from = -1

    def _entity(self, start: int, parent: Part | None, default: str) -> Part:
        """Read the header of the part at `start`; a delimiter line inside it leaves the part without a body."""
        ahead = self._next_boundary(start) if self._open else None
        limit = ahead.start if ahead is not None else len(self._source)
        header_end, body_start = split_header(self._source, start, limit)
        headers = parse_header(self._source[start : min(header_end, start + MAX_HEADER_BYTES)])
        part = make_part(headers, parent, default, start=body_start, stop=len(self._source), source=self._source)
        self._parts += 1
        return part

    def _descend(self, part: Part) -> int:
        """Open what `part` contains; an embedded message is read only where no transfer encoding hides it.

        Returns where the innermost body begins: what looks like a delimiter in a header before it is none.
        """
        while part.depth < MAX_DEPTH and self._parts < MAX_PARTS:
            if part.is_multipart:
                boundary = boundary_of(part)
                if boundary:
                    self._push(boundary, part)
                break
            if not part.is_open_message:
                break
            part = self._entity(part.start, part, "text/plain")
        return part.start


def make_part(headers: Headers, parent: Part | None, default: str, *, start: int, stop: int, source: bytes) -> Part:
    """The part with this header, as the last child of `parent`; `default` is its type where it tells none."""
    header = headers.first("Content-Type")
    value, parameters = parse_parameterized(_latin(header.unfolded)) if header is not None else ("", {})
    if not _CONTENT_TYPE.fullmatch(value):
        value = default if header is None else "text/plain"
    part = Part(
        source=source,
        headers=headers,
        content_type=value,
        parameters=parameters,
        number=_number(parent, value),
        depth=0 if parent is None else parent.depth + 1,
        start=start,
        stop=stop,
        parent=parent,
    )
    if parent is not None:
        parent.children.append(part)
    return part


def default_type(container: Part) -> str:
    """What a part without Content-Type is (RFC 2046 §5.1.5)."""
    return "message/rfc822" if container.content_type == "multipart/digest" else "text/plain"


def boundary_of(part: Part) -> bytes:
    """The boundary of a multipart, without the dashes in front; empty when it names none."""
    return part.parameters.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")


def _number(parent: Part | None, content_type: str) -> str:
    multipart = content_type.startswith("multipart/")
    if parent is None:
        return "" if multipart else "1"
    if parent.is_message:
        return parent.number if multipart else f"{parent.number}.1"
    position = str(len(parent.children) + 1)
    return f"{parent.number}.{position}" if parent.number else position


def _latin(raw: bytes) -> str:
    """Structured header bytes as text: UTF-8 where it is, else one character per byte."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
