"""Writing tokens: quoted strings where they suffice, literals where they do not (RFC 9051 §4.3, RFC 7888).

What has been written is a list of segments. The sender of a command must pause after each segment but the last, until
the server asks for the literal; a server's own literals need no pause.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.mailbox_name import MailboxArgument, encode_mailbox

T = TypeVar("T")

_ATOM = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_PATTERN = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")
_QUOTABLE_UTF8 = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\xff]{0,1000}")
_SPECIAL = re.compile(rb'(["\\])')
LITERAL_MINUS_MAX_BYTES = 4096


class LiteralMode(Enum):
    """How literals go out: with a pause each, without one up to 4096 bytes (LITERAL-), or never with one."""

    SYNCHRONISING = "sync"
    SMALL_WITHOUT_PAUSE = "LITERAL-"
    WITHOUT_PAUSE = "LITERAL+"
    SERVER = "server"


@dataclass(frozen=True, slots=True, eq=False)
class StreamedMessage:
    """Stands in a command for a message of exactly `size_bytes` that the driver feeds in pieces.

    Two are never equal: each stands for bytes of its own.
    """

    size_bytes: int


Piece = bytes | StreamedMessage
Segment = tuple[Piece, ...]


class Writer:
    """Collects one command or response.

    `utf8` writes mailbox names as UTF-8 and allows UTF-8 in quoted strings (after ENABLE UTF8=ACCEPT, RFC 9755).
    """

    __slots__ = ("_mode", "_parts", "_segments", "utf8")

    def __init__(self, mode: LiteralMode = LiteralMode.SYNCHRONISING, *, utf8: bool = False) -> None:
        self._mode = mode
        self._segments: list[Segment] = []
        self._parts: list[Piece] = []
        self.utf8 = utf8

    def raw(self, data: bytes) -> None:
        """Write bytes that are known to be well-formed."""
        self._parts.append(data)

    def atom(self, value: str) -> None:
        """Write an atom. Raises LocalProtocolError when it is none, so that no argument can smuggle a command in."""
        data = _ascii(value)
        if _ATOM.fullmatch(data) is None:
            raise LocalProtocolError(f"not an atom: {value[:60]!r}")
        self._parts.append(data)

    def tag(self, value: str) -> None:
        """Write a tag (RFC 9051 §9). Raises LocalProtocolError when it is none."""
        data = _ascii(value)
        if _ASTRING.fullmatch(data) is None or b"+" in data:
            raise LocalProtocolError(f"not a tag: {value[:60]!r}")
        self._parts.append(data)

    def number(self, value: int, maximum: int = 2**63 - 1) -> None:
        """Write an unsigned number. Raises LocalProtocolError when it is negative or above `maximum`."""
        if not 0 <= value <= maximum:
            raise LocalProtocolError(f"number out of range: {value}")
        self._parts.append(b"%d" % value)

    def string(self, value: bytes) -> None:
        """Write a string, quoted when it may be. Raises LocalProtocolError for NUL (RFC 9051 §4.3)."""
        quotable = _QUOTABLE_UTF8 if self.utf8 else _QUOTABLE
        if quotable.fullmatch(value) is None or (self.utf8 and not _is_utf8(value)):
            self.literal(value)
        else:
            self._parts.append(b'"' + _SPECIAL.sub(rb"\\\1", value) + b'"')

    def text(self, value: str) -> None:
        """Write a str as a string in UTF-8."""
        self.string(_utf8(value))

    def nstring(self, value: bytes | None) -> None:
        """Write a string or NIL."""
        if value is None:
            self._parts.append(b"NIL")
        else:
            self.string(value)

    def astring(self, value: bytes) -> None:
        """Write an atom if the value is one, else a string."""
        if _ASTRING.fullmatch(value) is not None and value.upper() != b"NIL":
            self._parts.append(value)
        else:
            self.string(value)

    def mailbox(self, name: MailboxArgument) -> None:
        """Write a mailbox name (RFC 9051 §5.1)."""
        self.astring(encode_mailbox(name, utf8=self.utf8))

    def mailbox_pattern(self, pattern: str) -> None:
        """Write a LIST pattern with its wildcards. Raises LocalProtocolError for CR, LF and NUL."""
        data = encode_mailbox(pattern, utf8=self.utf8) if pattern else b""
        if _PATTERN.fullmatch(data) is not None:
            self._parts.append(data)
        else:
            self.string(data)

    def items(self, values: Iterable[T], write: Callable[[Writer, T], None]) -> None:
        """Write a parenthesised list."""
        self._parts.append(b"(")
        for index, value in enumerate(values):
            if index:
                self._parts.append(b" ")
            write(self, value)
        self._parts.append(b")")

    def literal(self, value: Piece, *, binary: bool = False) -> None:
        """Write a literal, after a pause where the peer must agree first.

        `binary` writes a literal8, which may hold NUL (RFC 3516 §4.4). Raises LocalProtocolError for NUL elsewhere,
        except from a server, which cannot help what a stored message holds.
        """
        if isinstance(value, StreamedMessage):
            size = value.size_bytes
        else:
            size = len(value)
            if not binary and self._mode is not LiteralMode.SERVER and b"\0" in value:
                raise LocalProtocolError("a literal must not contain NUL")
        pauses = self._mode is LiteralMode.SYNCHRONISING or (
            self._mode is LiteralMode.SMALL_WITHOUT_PAUSE and size > LITERAL_MINUS_MAX_BYTES
        )
        sign = b"" if pauses or self._mode is LiteralMode.SERVER else b"+"
        self._parts.append(b"%s{%d%s}\r\n" % (b"~" if binary else b"", size, sign))
        if pauses:
            self._segments.append(tuple(self._parts))
            self._parts = []
        self._parts.append(value)

    def finish(self) -> list[Segment]:
        """End the line and return all segments."""
        self._parts.append(b"\r\n")
        self._segments.append(tuple(self._parts))
        return self._segments

    def line(self) -> bytes:
        """What has been written so far as one string, without CRLF. Only for messages without pauses."""
        return b"".join(part for part in self._parts if isinstance(part, bytes))


def _ascii(value: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"not ASCII: {value[:60]!r}") from error


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError("text contains a lone surrogate") from error


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
