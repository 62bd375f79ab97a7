"""APPEND of one message or several, and what a message in a command looks like (RFC 9051 §6.3.12, RFC 3502)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import ClassVar

from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.command_message import read_flag
from mailquay.wire.imap.date import format_date_time, parse_date_time
from mailquay.wire.imap.flag import format_flags
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.writer import StreamedMessage, Writer


class MessageForm(Enum):
    """How a message is written: as a literal, or for NUL bytes as a literal8 (RFC 3516 §4.4).

    UTF8 wraps a literal8 for servers that ask for it where headers are UTF-8 (RFC 6855 §4, gone with RFC 9755).
    """

    PLAIN = "literal"
    BINARY = "literal8"
    UTF8 = "UTF8"


@dataclass(frozen=True, slots=True)
class AppendMessage:
    """A message with what is to be known of it; its fields are those of Append."""

    message: bytes | StreamedMessage
    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None
    form: MessageForm = MessageForm.PLAIN

    def write(self, w: Writer) -> None:
        """Write it behind a mailbox or another message, with a blank in front."""
        if self.flags:
            w.raw(b" " + format_flags(self.flags))
        if self.internal_date is not None:
            w.raw(b' "' + format_date_time(self.internal_date) + b'"')
        if self.form is MessageForm.UTF8:
            w.raw(b" UTF8 (")
            w.literal(self.message, binary=True)
            w.raw(b")")
        else:
            w.raw(b" ")
            w.literal(self.message, binary=self.form is MessageForm.BINARY)


def read_append_message(r: Reader) -> AppendMessage:
    """Read a message with its flags and date; it must be a literal."""
    flags: frozenset[str] = frozenset()
    if r.peek() == b"(":
        flags = frozenset(r.items(read_flag))
        r.space()
    internal_date: datetime | None = None
    if r.peek() == b'"':
        internal_date = parse_date_time(r.string())
        r.space()
    if r.peek() in (b"U", b"u"):
        if r.word() != "UTF8":
            raise r.error("UTF8")
        r.space()
        r.expect(b"(")
        if r.peek() != b"~":
            raise r.error("a literal8")
        message = AppendMessage(r.string(), flags, internal_date, MessageForm.UTF8)
        r.expect(b")")
        return message
    form = MessageForm.BINARY if r.peek() == b"~" else MessageForm.PLAIN
    if r.peek() not in (b"{", b"~"):
        raise r.error("a literal")
    return AppendMessage(r.string(), flags, internal_date, form)


@dataclass(frozen=True, slots=True)
class Append(Command):
    """APPEND (RFC 9051 §6.3.12).

    `message` is the whole message with CRLF line ends, or its size when the driver feeds it in pieces. `more` are
    further messages for the same mailbox, all stored or none (MULTIAPPEND, RFC 3502).
    """

    name: ClassVar[str] = "APPEND"

    mailbox: MailboxArgument
    message: bytes | StreamedMessage
    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None
    form: MessageForm = MessageForm.PLAIN
    more: tuple[AppendMessage, ...] = ()

    @property
    def messages(self) -> tuple[AppendMessage, ...]:
        """All messages, in order."""
        return (AppendMessage(self.message, self.flags, self.internal_date, self.form), *self.more)

    def write(self, w: Writer) -> None:
        w.raw(b"APPEND ")
        w.mailbox(self.mailbox)
        for message in self.messages:
            message.write(w)


def read_append(r: Reader) -> Append:
    """Read the arguments of APPEND; every message must be a literal."""
    mailbox = read_mailbox(r)
    r.space()
    first = read_append_message(r)
    more: list[AppendMessage] = []
    while r.skip_blanks() and not r.at_end():
        if len(more) >= r.limits.max_list_items:
            raise r.error("fewer messages")
        more.append(read_append_message(r))
    return Append(mailbox, first.message, first.flags, first.internal_date, first.form, tuple(more))
