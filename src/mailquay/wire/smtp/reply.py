"""Replies: three digits, an enhanced status code perhaps, text in one or more lines (RFC 5321 §4.2, RFC 2034)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from mailquay.errors import RemoteProtocolError
from mailquay.wire.buffer import NEED_DATA, NeedData

MAX_LINE_BYTES = 4096
"""RFC 5321 §4.5.3.1.5 allows 512; servers that quote addresses and links exceed it."""

MAX_LINES = 200
_MAX_BUFFERED_BYTES = MAX_LINE_BYTES * 2

_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")


@dataclass(frozen=True, eq=True)
class Reply:
    """One reply, its lines without the code."""

    code: int
    lines: tuple[str, ...]

    @cached_property
    def enhanced_code(self) -> str | None:
        """The enhanced status code (RFC 3463 §2) when the reply begins with one whose class fits."""
        found = _ENHANCED.match(self.lines[0]) if self.lines else None
        return found[0] if found is not None and found[1] == str(self.code)[0] else None

    @property
    def text(self) -> str:
        """The reply in one line, as shown to people: `550 5.1.1 no such user`.

        An enhanced code that is repeated on every line (RFC 2034 §4) is shown once.
        """
        prefix = self.enhanced_code
        rest = [line.removeprefix(prefix).lstrip() if prefix else line for line in self.lines[1:]]
        return " ".join([str(self.code), *(line for line in (*self.lines[:1], *rest) if line)])

    @property
    def positive(self) -> bool:
        """2xx: done."""
        return 200 <= self.code < 300

    @property
    def intermediate(self) -> bool:
        """3xx: go on."""
        return 300 <= self.code < 400

    @property
    def permanent(self) -> bool:
        """5xx: the same will fail again."""
        return self.code >= 500


class ReplyParser:
    """Collects bytes into replies, with limits on lines and their number."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._lines: list[str] = []

    def __len__(self) -> int:
        """Bytes that belong to no complete reply yet."""
        return len(self._data) + len(self._lines)

    def feed(self, data: bytes) -> None:
        """Append what the server sent."""
        self._data += data

    def clear(self) -> None:
        """Forget everything that was received."""
        self._data.clear()
        self._lines.clear()

    def next_reply(self) -> Reply | NeedData:
        """The next complete reply.

        Lenient: bare LF, codes that differ between the lines of one reply (the last counts), a missing separator.
        Raises RemoteProtocolError for what is no reply, and for lines that are too long or too many.
        """
        while (end := self._data.find(b"\n")) >= 0:
            line = bytes(self._data[:end]).removesuffix(b"\r")
            del self._data[: end + 1]
            if len(line) > MAX_LINE_BYTES:
                raise RemoteProtocolError(f"a reply line of the SMTP server is longer than {MAX_LINE_BYTES} bytes")
            found = _LINE.fullmatch(line)
            if found is None:
                raise RemoteProtocolError(f"the server did not answer in SMTP: {_printable(line[:80])}")
            self._lines.append(_printable(found[3] or b""))
            if len(self._lines) > MAX_LINES:
                raise RemoteProtocolError(f"a reply of the SMTP server has more than {MAX_LINES} lines")
            if found[2] != b"-":
                reply = Reply(int(found[1]), tuple(self._lines))
                self._lines.clear()
                return reply
        if len(self._data) > _MAX_BUFFERED_BYTES:
            raise RemoteProtocolError(f"a reply line of the SMTP server is longer than {MAX_LINE_BYTES} bytes")
        return NEED_DATA


def _printable(raw: bytes) -> str:
    """Text of a reply, which may be UTF-8 (RFC 6531 §3.7.4), without control characters."""
    text = raw.decode("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else " " for c in text)
