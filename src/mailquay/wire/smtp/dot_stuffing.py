"""Message bytes for the wire: CRLF line ends, doubled leading dots, the final dot (RFC 5321 §4.5.2, §2.3.8)."""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


class DotStuffer:
    """Transforms a message that comes in pieces of any size; state is one flag and perhaps one held-back CR."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._held_cr = False

    def feed(self, data: bytes) -> bytes:
        """The next piece as it goes onto the wire; a CR at its end waits for what follows."""
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        if not data:
            return b""
        if not data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n"):
            data = _LINE_END.sub(b"\r\n", data)
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and stuffed.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = stuffed.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """What ends the message: a last line end where it is missing, and the dot on its own line."""
        ending = b"\r\n" if self._held_cr or not self._at_line_start else b""
        self._held_cr = False
        self._at_line_start = True
        return ending + b".\r\n"
