"""A client's IMAP connection as lines for people: literals by their size, credentials never."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mailquay.wire.transcript import HIDDEN, Line, LineCutter, Secrets

_LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}\Z")
_COMMAND = re.compile(rb"(?P<tag>[A-Za-z0-9.]+) (?:UID )?(?P<name>[A-Za-z]+)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_MECHANISM = re.compile(rb" [A-Za-z0-9_-]+")
# In a text for people braces announce nothing (RFC 9051 §7.1).
_STATUS_LINE = re.compile(rb"\+|[^ ]+ +(?:OK|NO|BAD|BYE|PREAUTH)(?: |\Z)", re.IGNORECASE)


class ImapTranscript:
    """Reads along. Of LOGIN and AUTHENTICATE only the names are shown, and of all that is sent without being a command
    (RFC 9051 §6.2.2) nothing. While a login is under way the server's lines are searched for `secrets`.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = Secrets(secrets)
        self._out = LineCutter()
        self._in = LineCutter()
        self._tag = b""
        self._login_tag: bytes | None = None
        self._hides_command = False
        self._out_goes_on = False
        self._in_goes_on = False
        self._may_send_literal = False

    def sent(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes of ours complete."""
        for line in self._out.feed(data):
            shown = HIDDEN if self._out_goes_on and self._hides_command else line.text
            if not self._out_goes_on:
                shown = self._first_line(line)
            elif self._hides_command:
                self._secrets.sent(line.head, line)
            literal = _LITERAL.search(line.tail)
            self._out_goes_on = literal is not None
            if literal is not None:
                self._out.skip(int(literal[1]))
                self._may_send_literal = bool(literal[2])
            yield shown

    def _first_line(self, line: Line) -> str:
        command = _COMMAND.fullmatch(line.head)
        if command is None:
            self._hides_command = line.head.upper() != b"DONE"
            if not self._hides_command:
                return line.text
            self._secrets.sent(line.head, line)
            return HIDDEN
        self._tag = command["tag"]
        name = command["name"].upper()
        self._hides_command = name in (b"LOGIN", b"AUTHENTICATE")
        if not self._hides_command:
            return line.text
        self._login_tag = self._tag
        mechanism = _MECHANISM.match(command["rest"]) if name == b"AUTHENTICATE" else None
        shown = line.head[: command.start("rest") + (mechanism.end() if mechanism else 0)]
        rest = line.head[len(shown) :].strip()
        self._secrets.sent(rest, line)
        return f"{shown.decode('ascii')} {HIDDEN}" if rest else shown.decode("ascii")

    def received(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes of the server's complete."""
        for line in self._in.feed(data):
            first = not self._in_goes_on
            literal = None if first and _STATUS_LINE.match(line.head) else _LITERAL.search(line.tail)
            self._in_goes_on = literal is not None
            if literal is not None:
                self._in.skip(int(literal[1]))
            yield self._shown(line) if first else self._without_secrets(line)

    def _shown(self, line: Line) -> str:
        if line.head.startswith(b"+"):
            self._may_send_literal = True
            return "+ " + HIDDEN if self._login_tag is not None and line.head != b"+" else line.text
        shown = self._without_secrets(line)
        self._end_command(line.head.partition(b" ")[0])
        return shown

    def _end_command(self, tag: bytes) -> None:
        if tag == self._tag and self._out.untouched and not self._may_send_literal:
            # A literal that was refused is not sent; the next line is a command again (RFC 9051 §4.3).
            self._out.skip(0)
            self._out_goes_on = False
        if tag == self._login_tag:
            self._login_tag = None
            self._secrets.forget_sent()

    def _without_secrets(self, line: Line) -> str:
        return line.text if self._login_tag is None else self._secrets.hide(line)
