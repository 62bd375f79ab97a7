"""Atoms, strings, numbers and lists: reading the tokens every IMAP message is made of (RFC 9051 §4 and §9).

A `Reader` walks over one whole message, whose literals stand inline. Families with a speed to keep (ENVELOPE,
BODYSTRUCTURE) match whole constructs with one expression first and come here only when that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.limits import CLIENT_LIMITS, Limits

T = TypeVar("T")


class FramingLost(RemoteProtocolError):
    """A literal was shorter or longer than announced: nothing that follows can be trusted, the connection must go."""


class Atom(bytes):
    """An unquoted word in a parsed tree, to tell `7` from `"7"`."""

    __slots__ = ()


Node = bytes | list["Node"] | None
"""A parsed tree: a string or Atom, a parenthesised list, or NIL."""

NO_STREAMED: Final[Mapping[int, int]] = {}

BACKSLASH: Final = 0x5C
LF: Final = 0x0A
CR: Final = 0x0D
"""As numbers: Python looks for a number in bytes ten times as fast as for a string of one byte."""

ANY_STRING: Final = rb'[^"\\\r\n]*+(?:\\.[^"\\\r\n]*+)*+'
"""The inside of a quoted string without line breaks, for patterns to contain."""
PLAIN_STRING: Final = rb'[^"]*+'
"""The same where there are no backslashes and line breaks: the engine skips it byte by byte, three times as fast."""

_ATOM = re.compile(rb"[^\x00-\x20\x7f(){%*\"\\\]]+")
_ASTRING_ATOM = re.compile(rb"[^\x00-\x20\x7f(){%*\"\\]+")
_LIST_MAILBOX = re.compile(rb"[^\x00-\x20\x7f(){\"\\]+")
_WORD = re.compile(rb"[A-Za-z0-9][A-Za-z0-9.\-=+_&/]*")
_SET = re.compile(rb"[0-9*:,]+")
_NUMBER = re.compile(rb"\d{1,20}")
_QUOTED = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_LITERAL = re.compile(rb"~?\{(\d{1,10})\+?\}\r\n")
_NIL = re.compile(rb"NIL(?=[ )\]\r]|\Z)", re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_BLANKS = re.compile(rb" *")
_NODE = re.compile(
    rb' *+(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)"'
    rb"|~?\{(?P<literal>\d{1,10})\+?\}\r\n|(?P<atom>[^\x00-\x20()\"]++))",
    re.DOTALL,
)
_AFTER_LEAF = (b"", b" ", b"(", b")")
_OPEN, _CLOSE, _QUOTED_INDEX, _LITERAL_INDEX, _ATOM_INDEX = 1, 2, 3, 4, 5


def unescape(value: bytes) -> bytes:
    """Remove the backslashes from the inside of a quoted string (RFC 9051 §4.3)."""
    return _ESCAPE.sub(rb"\1", value) if BACKSLASH in value else value


class Reader:
    """A cursor over one message. Every method consumes what it returns or raises RemoteProtocolError.

    `streamed` maps the offset just behind a literal's announcement to its size, for literals whose bytes are
    not in `data`. `utf8` tells that mailbox names are UTF-8 rather than modified UTF-7 (RFC 9755 §3, RFC 9051 §5.1).
    `plain` tells that no string from here on holds a backslash or a line break.
    """

    __slots__ = ("data", "leniencies", "limits", "plain", "pos", "streamed", "utf8")

    def __init__(
        self,
        data: bytes,
        pos: int = 0,
        limits: Limits = CLIENT_LIMITS,
        leniencies: set[Leniency] | None = None,
        streamed: Mapping[int, int] = NO_STREAMED,
        utf8: bool = False,
    ) -> None:
        self.data = data
        self.pos = pos
        self.limits = limits
        self.leniencies = leniencies if leniencies is not None else set()
        self.streamed = streamed
        self.utf8 = utf8
        self.plain = False

    def note(self, leniency: Leniency) -> None:
        """Record that the peer made this leniency necessary."""
        self.leniencies.add(leniency)

    def error(self, expected: str) -> RemoteProtocolError:
        """The error for finding something else than `expected` here; it quotes no more than 40 bytes."""
        found = self.data[self.pos : self.pos + 40]
        return RemoteProtocolError(f"expected {expected} at offset {self.pos}, found {found!r}")

    def at_end(self) -> bool:
        """Whether everything is consumed."""
        return self.pos >= len(self.data)

    def peek(self) -> bytes:
        """The next byte, unconsumed; empty at the end."""
        return self.data[self.pos : self.pos + 1]

    def skip(self, token: bytes) -> bool:
        """Consume `token` if it comes next."""
        if self.data.startswith(token, self.pos):
            self.pos += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        """Consume `token`, which has to come next."""
        if not self.skip(token):
            raise self.error(repr(token))

    def space(self) -> None:
        """Consume the blank that separates two tokens, or several of them."""
        if not self.skip(b" "):
            raise self.error("a blank")
        if self.skip_blanks():
            self.note(Leniency.EXTRA_BLANK)

    def skip_blanks(self) -> bool:
        """Consume any blanks and tell whether there were some."""
        start = self.pos
        match = _BLANKS.match(self.data, start)
        if match is not None:
            self.pos = match.end()
        return self.pos > start

    def expect_end(self) -> None:
        """Require that nothing but blanks is left."""
        if self.skip_blanks():
            self.note(Leniency.EXTRA_BLANK)
        if not self.at_end():
            raise self.error("the end of the line")

    def _match(self, pattern: re.Pattern[bytes], expected: str) -> bytes:
        match = pattern.match(self.data, self.pos)
        if match is None:
            raise self.error(expected)
        self.pos = match.end()
        return match.group()

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Consume what `pattern` matches here, if it does."""
        match = pattern.match(self.data, self.pos)
        if match is not None:
            self.pos = match.end()
        return match

    def atom(self) -> bytes:
        """An atom (RFC 9051 §9)."""
        return self._match(_ATOM, "an atom")

    def word(self) -> str:
        """A keyword of the protocol, such as a command or item name, in upper case."""
        return self._match(_WORD, "a keyword").decode("ascii").upper()

    def number(self, maximum: int = 2**32 - 1) -> int:
        """An unsigned number up to `maximum`."""
        start = self.pos
        value = int(self._match(_NUMBER, "a number"))
        if value > maximum:
            self.pos = start
            raise self.error(f"a number up to {maximum}")
        return value

    def number64(self) -> int:
        """A 63-bit number, as MODSEQ and sizes are (RFC 9051 §9)."""
        return self.number(2**63 - 1)

    def atom_of_set(self) -> bytes:
        """The characters of a sequence set, unchecked (RFC 9051 §9, sequence-set)."""
        return self._match(_SET, "a sequence set")

    def nil(self) -> bool:
        """Consume NIL if it comes next."""
        match = _NIL.match(self.data, self.pos)
        if match is not None:
            self.pos = match.end()
        return match is not None

    def starts_string(self) -> bool:
        """Whether a quoted string or a literal comes next."""
        return self.data.startswith((b'"', b"{", b"~{"), self.pos)

    def string(self) -> bytes:
        """A quoted string or a literal (RFC 9051 §4.3)."""
        match = _QUOTED.match(self.data, self.pos)
        if match is not None:
            self.pos = match.end()
            value = match.group(1)
            if LF in value or CR in value:
                self.note(Leniency.QUOTED_LINE_BREAK)
            return unescape(value)
        match = _LITERAL.match(self.data, self.pos)
        if match is None:
            raise self.error("a string")
        start = match.end()
        if start in self.streamed:
            raise self.error("a literal that is kept in memory")
        end = start + int(match.group(1))
        if end > len(self.data):
            raise self.error("a whole literal")
        self.pos = end
        return self.data[start:end]

    def streamed_literal(self) -> int | None:
        """Consume the announcement of a literal that is handed out in pieces and return its size in bytes."""
        match = _LITERAL.match(self.data, self.pos)
        if match is None or match.end() not in self.streamed:
            return None
        self.pos = match.end()
        return self.streamed[self.pos]

    def nstring(self) -> bytes | None:
        """A string or NIL."""
        return None if self.nil() else self.string()

    def astring(self) -> bytes:
        """A string or an atom that may hold `]`."""
        if self.starts_string():
            return self.string()
        return self._match(_ASTRING_ATOM, "a string or atom")

    def list_mailbox(self) -> bytes:
        """A LIST pattern: a string, or an atom that may hold wildcards (RFC 9051 §6.3.9)."""
        if self.starts_string():
            return self.string()
        return self._match(_LIST_MAILBOX, "a mailbox pattern")

    def items(self, read: Callable[[Reader], T]) -> tuple[T, ...]:
        """A parenthesised list of zero or more items, tolerant of stray blanks; bounded by the limits."""
        self.expect(b"(")
        values: list[T] = []
        while True:
            blank = self.skip_blanks()
            if self.skip(b")"):
                if blank:
                    self.note(Leniency.EXTRA_BLANK)
                return tuple(values)
            if values and not blank:
                raise self.error("a blank or a closing parenthesis")
            if not values and blank:
                self.note(Leniency.EXTRA_BLANK)
            if len(values) >= self.limits.max_list_items:
                raise RemoteProtocolError(f"list of more than {self.limits.max_list_items} items")
            values.append(read(self))

    def rest(self) -> bytes:
        """Everything that is left."""
        start, self.pos = self.pos, len(self.data)
        return self.data[start:]

    def node(self) -> Node:
        """One value of any shape as a tree, for constructs read leniently or not at all.

        Raises RemoteProtocolError when parentheses or quotes do not balance, or a limit is crossed.
        """
        stack: list[list[Node]] = []
        while True:
            match = _NODE.match(self.data, self.pos)
            if match is None:
                raise self.error("a value")
            kind = match.lastindex
            self.pos = match.end()
            if kind == _OPEN:
                if len(stack) >= self.limits.max_nesting_depth:
                    raise RemoteProtocolError(f"nesting deeper than {self.limits.max_nesting_depth}")
                stack.append([])
                continue
            value: Node
            if kind == _CLOSE:
                if not stack:
                    self.pos -= 1
                    raise self.error("a value")
                value = stack.pop()
            else:
                value = self._leaf(match)
                if self.peek() not in _AFTER_LEAF:
                    # As in "a "quoted" word": guessing where the string ends would shift all that follows.
                    raise self.error("a blank or a parenthesis")
            if not stack:
                return value
            if len(stack[-1]) >= self.limits.max_list_items:
                raise RemoteProtocolError(f"list of more than {self.limits.max_list_items} items")
            stack[-1].append(value)

    def _leaf(self, match: re.Match[bytes]) -> bytes | None:
        if match.lastindex == _QUOTED_INDEX:
            value = match.group(_QUOTED_INDEX)
            if LF in value or CR in value:
                self.note(Leniency.QUOTED_LINE_BREAK)
            return unescape(value)
        if match.lastindex == _LITERAL_INDEX:
            start = match.end()
            end = start + int(match.group(_LITERAL_INDEX))
            if start in self.streamed or end > len(self.data):
                raise self.error("a whole literal")
            self.pos = end
            return self.data[start:end]
        atom = match.group(_ATOM_INDEX)
        return None if atom.upper() == b"NIL" else Atom(atom)
