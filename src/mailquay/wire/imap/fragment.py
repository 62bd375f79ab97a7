"""Cuts the byte stream into messages: a line, the literals it announces, and the lines that follow them.

Lines are split from literals before anything is parsed (RFC 9051 §4.3), so that what cannot be parsed costs one
message and not the stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mailquay.errors import RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA, NeedData, ReceiveBuffer
from mailquay.wire.imap.lexer import CR, LF, NO_STREAMED
from mailquay.wire.imap.limits import Limits

_LITERAL_TAIL = re.compile(rb"\{(\d{1,10})(\+?)\}\Z")
_STATUS_LINE = re.compile(rb"\+|[^ ]+ +(?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)
_QUOTED_BYTES = 256


class Message(NamedTuple):
    """One whole message without its last CRLF; literals stand inline behind their announcements.

    `streamed` maps the offset behind an announcement to the size of a literal that was handed out in pieces.
    """

    data: bytes
    streamed: Mapping[int, int]


class LiteralAnnounced(NamedTuple):
    """A message stops at a literal. `head` is the message so far, the announcement and its CRLF included.

    When `streamed`, LiteralPieces follow. When `synchronising`, the sender waits for leave to go on.
    """

    head: bytes
    size_bytes: int
    synchronising: bool
    streamed: bool


class LiteralPiece(NamedTuple):
    """Some bytes of a streamed literal; `last` marks the end."""

    data: bytes
    last: bool


Fragment = Message | LiteralAnnounced | LiteralPiece


class Fragmenter:
    """Feeds on bytes, yields fragments.

    `may_stream(head)` decides, for a literal of at least `limits.stream_threshold_bytes`, whether it is
    handed out in pieces.
    With `announce` every literal is announced, as a server needs it to answer `+`; else only streamed ones are.
    """

    def __init__(self, limits: Limits, *, may_stream: Callable[[bytes], bool], announce: bool = False) -> None:
        self._limits = limits
        self._may_stream = may_stream
        self._announce = announce
        self._buffer = ReceiveBuffer()
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._streamed: dict[int, int] = {}
        self._literal_left = 0
        self._streaming = False

    def receive(self, data: bytes) -> None:
        """Append what the peer sent."""
        self._buffer.feed(data)

    def clear(self) -> int:
        """Forget all bytes received and not consumed; returns their number (STARTTLS: RFC 9051 §6.2.1)."""
        self.abandon()
        return self._buffer.clear()

    def release(self) -> bytes:
        """Hand over all bytes received and not consumed."""
        parts = b"".join(self._parts)
        self.abandon()
        return parts + self._buffer.take(len(self._buffer))

    def abandon(self) -> None:
        """Drop the message under way, after its synchronising literal was refused."""
        self._parts = []
        self._parts_bytes = 0
        self._streamed = {}
        self._literal_left = 0
        self._streaming = False

    def take_match(self, pattern: re.Pattern[bytes]) -> tuple[bytes | None, ...] | None:
        """Consume a whole message matching `pattern`, CRLF included, and return its groups: the fast path."""
        if self._parts:
            return None
        return self._buffer.take_match(pattern)

    def take_line(self) -> bytes | None:
        """The next line as it is, without looking for literals (SASL answers, IDLE's DONE)."""
        return self._buffer.take_line(self._limits.max_line_bytes)

    def next(self) -> Fragment | NeedData:
        """The next fragment. Raises RemoteProtocolError when a limit is crossed."""
        while True:
            if self._streaming:
                return self._next_piece()
            if self._literal_left:
                if len(self._buffer) < self._literal_left:
                    return NEED_DATA
                self._close_literal(self._buffer.take(self._literal_left))
            line = self._buffer.take_line(self._limits.max_line_bytes)
            if line is None:
                return NEED_DATA
            if line[-1:] == b"}":
                # A search would try every brace of a long line.
                literal = _LITERAL_TAIL.match(line, line.rfind(b"{"))
                if literal is not None and (self._parts or _STATUS_LINE.match(line) is None):
                    announced = self._open_literal(line, literal)
                    if announced is not None:
                        return announced
                    continue
            if not self._parts:
                return Message(line, NO_STREAMED)
            self._add(line)
            message = Message(b"".join(self._parts), self._streamed)
            self.abandon()
            return message

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._parts_bytes += len(part)
        if self._parts_bytes > self._limits.max_buffered_bytes:
            raise RemoteProtocolError(f"message larger than {self._limits.max_buffered_bytes} bytes")

    def _open_literal(self, line: bytes, literal: re.Match[bytes]) -> LiteralAnnounced | None:
        size = int(literal.group(1))
        self._add(line + b"\r\n")
        streams = size >= max(1, self._limits.stream_threshold_bytes) and self._may_stream(b"".join(self._parts))
        limit = self._limits.max_streamed_literal_bytes if streams else self._limits.max_buffered_literal_bytes
        synchronising = not literal.group(2)
        if size > limit and not (self._announce and synchronising):
            raise RemoteProtocolError(f"literal of {size} bytes, the limit is {limit}")
        self._literal_left = size
        if streams:
            self._streamed[self._parts_bytes] = size
            self._streaming = True
        if streams or self._announce:
            return LiteralAnnounced(b"".join(self._parts), size, synchronising, streams)
        return None

    def _close_literal(self, literal: bytes) -> None:
        """Add a whole literal. A short one becomes a quoted string, which means the same and is faster to match."""
        self._literal_left = 0
        line = self._parts[-1]
        if len(literal) <= _QUOTED_BYTES and not self._announce and CR not in literal and LF not in literal:
            announcement = line.rfind(b"{")
            if line[announcement - 1 : announcement] != b"~":
                self._parts[-1] = line[:announcement]
                self._parts_bytes -= len(line) - announcement
                literal = b'"' + literal.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        self._add(literal)

    def _next_piece(self) -> LiteralPiece | NeedData:
        data = self._buffer.take(self._literal_left)
        if not data:
            return NEED_DATA
        self._literal_left -= len(data)
        self._streaming = self._literal_left > 0
        return LiteralPiece(data, not self._streaming)
