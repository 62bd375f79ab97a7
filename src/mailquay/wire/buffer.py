"""The receive buffer that the wire cores share, and the sentinel that says "feed me more"."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Literal, TypeAlias

from mailquay.errors import RemoteProtocolError


class _NeedData(Enum):
    NEED_DATA = "NEED_DATA"


NEED_DATA: Final = _NeedData.NEED_DATA
"""Returned by `next_event()` when the bytes received so far hold no further event."""

NeedData: TypeAlias = Literal[_NeedData.NEED_DATA]


class ReceiveBuffer:
    """Bytes received and not yet consumed; cheap to feed in pieces of any size.

    Searching for a line end resumes where the last search stopped, so that a peer that sends one byte
    at a time costs no more than one that sends whole lines.
    """

    __slots__ = ("_data", "_pos", "_scanned")

    def __init__(self) -> None:
        self._data = bytearray()
        self._pos = 0
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def feed(self, data: bytes) -> None:
        """Append what the peer sent."""
        if self._pos:
            del self._data[: self._pos]
            self._scanned = max(0, self._scanned - self._pos)
            self._pos = 0
        self._data += data

    def take_line(self, max_bytes: int) -> bytes | None:
        """Return the next line without its CRLF, or None if it has not arrived whole.

        Raises RemoteProtocolError when a line, complete or not, is longer than `max_bytes`.
        """
        start = self._pos
        end = self._data.find(b"\r\n", max(self._scanned, start))
        if end < 0:
            self._scanned = max(start, len(self._data) - 1)
            if len(self._data) - start > max_bytes + 1:
                raise RemoteProtocolError(f"line longer than {max_bytes} bytes")
            return None
        if end - start > max_bytes:
            raise RemoteProtocolError(f"line longer than {max_bytes} bytes")
        self._pos = self._scanned = end + 2
        return bytes(self._data[start:end])

    def take(self, max_bytes: int) -> bytes:
        """Return and consume at most `max_bytes`, less if less has arrived."""
        start = self._pos
        end = min(start + max_bytes, len(self._data))
        self._pos = end
        return bytes(self._data[start:end])

    def take_match(self, pattern: re.Pattern[bytes]) -> tuple[bytes | None, ...] | None:
        """Consume what `pattern` matches at the front and return its groups; None if it does not match.

        For fast paths over whole lines: the pattern must end with the CRLF, so that it cannot match half a line.
        """
        match = pattern.match(self._data, self._pos)
        if match is None:
            return None
        self._pos = match.end()
        return match.groups()

    def clear(self) -> int:
        """Throw away everything unconsumed and return how many bytes that was."""
        dropped = len(self)
        self._data.clear()
        self._pos = self._scanned = 0
        return dropped
