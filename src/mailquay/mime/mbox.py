"""Messages in an mbox file (RFC 4155), in the dialect mboxrd: nothing that stands in a message is lost or mistaken."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_QUOTED = re.compile(rb"^(>*From )", re.MULTILINE)
_ADDRESS = re.compile(r"[!-~]+@[!-~]+")
_UNKNOWN = "MAILER-DAEMON"
_LONGEST_START = 4096
"""So much of a line is held back until it is known whether it begins like a separator; no mailer writes such a line."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def separator(sender: str | None, received_ms: int) -> bytes:
    """The line before a message: who sent it, and when it was received (UTC, in the form of asctime)."""
    address = sender if sender is not None and _ADDRESS.fullmatch(sender) else _UNKNOWN
    at = datetime.fromtimestamp(received_ms // 1000, UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"From {address} {day} {month} {at.day:2d} {at:%H:%M:%S} {at.year:04d}\n".encode("ascii")


class MboxEncoder:
    """Turns one message into its entry, piece by piece: LF for CRLF, `>` before each line like the separator's."""

    def __init__(self) -> None:
        self._rest = b""
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        """Encode as much of what has come so far as is certain."""
        data = self._rest + data
        keep = self._undecided(data)
        self._rest = data[len(data) - keep :] if keep else b""
        return self._encode(data[: len(data) - keep] if keep else data)

    def finish(self) -> bytes:
        """What was held back, the end of the last line, and the empty line that ends the entry."""
        rest, self._rest = self._rest, b""
        encoded = self._encode(rest)
        return encoded + (b"\n" if self._at_line_start else b"\n\n")

    def _undecided(self, data: bytes) -> int:
        """How many bytes at the end may be half of a line end, or the beginning of a line that is to be quoted."""
        start = data.rfind(b"\n") + 1
        line = data[start:]
        if (start or self._at_line_start) and len(line) <= _LONGEST_START:
            rest = line.lstrip(b">")
            if b"From ".startswith(rest[:5]):
                return len(line)
        return 1 if data.endswith(b"\r") else 0

    def _encode(self, data: bytes) -> bytes:
        if not data:
            return b""
        data = data.replace(b"\r\n", b"\n")
        begun = b"" if self._at_line_start else b"x"
        # The character stands for the part of the line that has gone out already.
        quoted = _QUOTED.sub(rb">\1", begun + data)[len(begun) :]
        self._at_line_start = data.endswith(b"\n")
        return quoted
