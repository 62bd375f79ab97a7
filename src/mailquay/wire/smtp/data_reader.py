"""The message after DATA: where it ends, and its lines without doubled dots (RFC 5321 §4.1.1.4, §4.5.2).

Only CRLF is a line end. A message in which CR or LF stands alone is *crooked*: read to its real end and then refused,
since servers that differ about where it ends can be made to see two messages in one (SMTP smuggling).
"""

from __future__ import annotations

_END = b"\r\n.\r\n"


class DataReader:
    """Fed with what arrives, it gives the message in pieces; `rest` is what followed its end."""

    def __init__(self) -> None:
        # As if a line end stood before the first line: a dot alone may be all of a message.
        self._held = b"\r\n"
        self._begun = False
        self.complete = False
        self.crooked = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece of the message; what may belong to its end is held back until that is known."""
        data = self._held + data
        end = data.find(_END)
        if end >= 0:
            self.complete = True
            piece, self.rest = data[: end + 2], data[end + len(_END) :]
        else:
            held = next(n for n in range(len(_END) - 1, -1, -1) if n == 0 or data.endswith(_END[:n]))
            piece, self._held = (data[:-held], data[-held:]) if held else (data, b"")
        if not piece:
            return b""
        if not piece.count(b"\r") == piece.count(b"\n") == piece.count(b"\r\n"):
            self.crooked = True
        piece = piece.replace(b"\r\n.", b"\r\n")
        if not self._begun:
            self._begun = True
            return piece[2:]
        return piece
