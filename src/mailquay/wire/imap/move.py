"""MOVE: copy and expunge in one step (RFC 6851)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mailquay.wire.imap.command_mailbox import read_mailbox
from mailquay.wire.imap.command_message import MessageCommand, MessageSet, read_message_set
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.response import Expunge, Response, UntaggedStatus
from mailquay.wire.imap.uidplus import CopyUid
from mailquay.wire.imap.writer import Writer


@dataclass(frozen=True, slots=True)
class Move(MessageCommand):
    """MOVE and UID MOVE. COPYUID comes in an untagged OK, before the expunges (RFC 6851 §4.3)."""

    name: ClassVar[str] = "MOVE"

    messages: MessageSet
    mailbox: MailboxArgument

    def write(self, w: Writer) -> None:
        self._write_start(w)
        w.raw(b" ")
        w.mailbox(self.mailbox)

    def claims(self, response: Response) -> bool:
        if isinstance(response, UntaggedStatus):
            return isinstance(response.code, CopyUid)
        return isinstance(response, Expunge | Vanished)


def read_move(r: Reader, *, uid: bool) -> Move:
    """Read the arguments of MOVE."""
    messages = read_message_set(r, uid=uid)
    r.space()
    return Move(messages, read_mailbox(r))
