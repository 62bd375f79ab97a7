"""STATUS: counters of a mailbox that need not be selected (RFC 9051 §7.3.4 and the extensions)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import decode_mailbox
from mailquay.wire.imap.objectid import read_object_id, write_object_id
from mailquay.wire.imap.writer import Writer


class StatusItem(StrEnum):
    """What STATUS can be asked for.

    In bytes are SIZE (RFC 8438), DELETED-STORAGE, which is what \\Deleted messages weigh (RFC 9208 §4.1.4), and
    APPENDLIMIT, the largest message that APPEND takes (RFC 7889 §2).
    """

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    APPENDLIMIT = "APPENDLIMIT"
    MAILBOXID = "MAILBOXID"
    DELETED_STORAGE = "DELETED-STORAGE"

    @property
    def field(self) -> str:
        """The field of StatusResponse that holds it."""
        return self.lower().replace("-", "_")


@dataclass(frozen=True, slots=True)
class StatusResponse:
    """Counters of one mailbox; None for those the server did not give, or gave as 0 where 0 means nothing."""

    mailbox: str
    messages: int | None = None
    recent: int | None = None
    uidnext: int | None = None
    uidvalidity: int | None = None
    unseen: int | None = None
    deleted: int | None = None
    size: int | None = None
    highestmodseq: int | None = None
    appendlimit: int | None = None
    mailboxid: str | None = None
    deleted_storage: int | None = None


_COUNTERS: Final = {item.value: item.field for item in StatusItem if item is not StatusItem.MAILBOXID}


def read_status(r: Reader) -> StatusResponse:
    """Read what follows `* STATUS `. Items we do not know are skipped, blanks anywhere are tolerated."""
    mailbox, _ = decode_mailbox(r.astring(), utf8=r.utf8)
    r.space()
    counters: dict[str, int | None] = {}
    object_ids: list[str | None] = [None]

    def read_item(reader: Reader) -> None:
        name = reader.word()
        reader.space()
        if name == StatusItem.MAILBOXID:
            object_ids.append(read_object_id(reader))
        elif name in _COUNTERS:
            counters[_COUNTERS[name]] = None if reader.nil() else reader.number64()
        else:
            reader.node()

    r.items(read_item)
    r.expect_end()
    if counters.get("uidvalidity") == 0:
        r.note(Leniency.UIDVALIDITY_ZERO)
        counters["uidvalidity"] = None
    return StatusResponse(mailbox, mailboxid=object_ids[-1], **counters)


def write_status(w: Writer, status: StatusResponse) -> None:
    """Write `STATUS mailbox (...)`."""
    w.raw(b"STATUS ")
    w.mailbox(status.mailbox)
    w.raw(b" ")
    given = [item for item in StatusItem if getattr(status, item.field) is not None]
    w.items(given, lambda writer, item: _write_item(writer, status, item))


def _write_item(w: Writer, status: StatusResponse, item: StatusItem) -> None:
    w.raw(item.value.encode("ascii") + b" ")
    value = getattr(status, item.field)
    if isinstance(value, int):
        w.number(value)
    else:
        write_object_id(w, str(value))
