"""A client's SMTP connection as lines for people: messages by their size, credentials never."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mailquay.wire.transcript import HIDDEN, Line, LineCutter, Secrets

_COMMAND = re.compile(rb"(?:EHLO|HELO|STARTTLS|MAIL|RCPT|DATA|RSET|NOOP|QUIT)(?: .*)?", re.IGNORECASE | re.DOTALL)
_AUTH = re.compile(rb"(?P<shown>AUTH [A-Za-z0-9_-]+)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_END_OF_DATA = b"\r\n.\r\n"


class SmtpTranscript:
    """Reads along. Of AUTH only the mechanism is shown, and of all that is sent without being a command (RFC 4954 §4)
    nothing. While a login is under way the server's lines are searched for `secrets`.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = Secrets(secrets)
        self._out = LineCutter()
        self._in = LineCutter()
        self._logs_in = False
        self._asked_data = False
        self._body_bytes: int | None = None
        self._body_tail = b""

    def sent(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes of ours complete; a message is one of them."""
        if self._body_bytes is not None:
            yield from self._message(data, self._body_bytes)
            return
        for line in self._out.feed(data):
            yield self._command(line)

    def _message(self, data: bytes, so_far: int) -> Iterator[str]:
        # We wait for the reply: what ends the message also ends a write.
        self._body_bytes = so_far + len(data)
        self._body_tail = (self._body_tail + data[-len(_END_OF_DATA) :])[-len(_END_OF_DATA) :]
        if self._body_tail == _END_OF_DATA:
            yield f"(a message, {self._body_bytes} bytes)"
            self._body_bytes = None

    def _command(self, line: Line) -> str:
        auth = None if self._logs_in else _AUTH.fullmatch(line.head)
        if auth is not None:
            self._logs_in = True
            self._secrets.sent(auth["rest"], line)
            shown: str = auth["shown"].decode("ascii")
            return f"{shown} {HIDDEN}" if auth["rest"] else shown
        if self._logs_in or _COMMAND.fullmatch(line.head) is None:
            self._secrets.sent(line.head, line)
            return HIDDEN
        self._asked_data = line.head.upper() == b"DATA"
        return line.text

    def received(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes of the server's complete."""
        for line in self._in.feed(data):
            yield self._reply(line)

    def _reply(self, line: Line) -> str:
        code, last = line.head[:3], line.head[3:4] != b"-"
        shown = line.text
        if self._logs_in:
            shown = f"334 {HIDDEN}" if code == b"334" else self._secrets.hide(line)
            if last and code != b"334":
                self._logs_in = False
                self._secrets.forget_sent()
        elif self._asked_data and last:
            self._asked_data = False
            if code == b"354":
                self._body_bytes, self._body_tail = 0, b"\r\n"
        return shown
