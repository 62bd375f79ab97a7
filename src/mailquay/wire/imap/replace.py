"""REPLACE: append a message and expunge the one it replaces, in one step (RFC 8508)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.append import AppendMessage, MessageForm, read_append_message
from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.command_message import MessageCommand
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import Expunge, Response, UntaggedStatus
from mailquay.wire.imap.sequence_set import STAR, SeqSet, UidSet
from mailquay.wire.imap.uidplus import AppendUid
from mailquay.wire.imap.writer import StreamedMessage, Writer


@dataclass(frozen=True, slots=True)
class Replace(MessageCommand):
    """REPLACE and UID REPLACE. APPENDUID comes in an untagged OK before the expunge (RFC 8508 §4.3).

    `messages` holds one number; `message` and what follows are as in Append.
    """

    name: ClassVar[str] = "REPLACE"

    messages: SeqSet | UidSet
    mailbox: MailboxArgument
    message: bytes | StreamedMessage
    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None
    form: MessageForm = MessageForm.PLAIN

    def write(self, w: Writer) -> None:
        if not _is_one(self.messages):
            raise LocalProtocolError("REPLACE takes the number of one message")
        self._write_start(w)
        w.raw(b" ")
        w.mailbox(self.mailbox)
        AppendMessage(self.message, self.flags, self.internal_date, self.form).write(w)

    def claims(self, response: Response) -> bool:
        if isinstance(response, UntaggedStatus):
            return isinstance(response.code, AppendUid)
        return isinstance(response, Expunge | Vanished)


def _is_one(messages: SeqSet | UidSet) -> bool:
    (low, high), *others = messages.ranges
    return not others and low == high != STAR


def read_replace(r: Reader, *, uid: bool) -> Replace:
    """Read the arguments of REPLACE."""
    number = r.number()
    messages = (UidSet if uid else SeqSet).of([number])
    r.space()
    mailbox = read_mailbox(r)
    r.space()
    new = read_append_message(r)
    return Replace(messages, mailbox, new.message, new.flags, new.internal_date, new.form)
