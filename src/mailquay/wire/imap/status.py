"""STATUS: counters of a mailbox that need not be selected (RFC 9051 §7.3.4, RFC 7162, RFC 8438, RFC 8474)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.mailbox_name import decode_mailbox
from mailquay.wire.imap.objectid import read_object_id, write_object_id
from mailquay.wire.imap.writer import Writer


class StatusItem(StrEnum):
    """What STATUS can be asked for. SIZE is in bytes (RFC 8438)."""

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


_COUNTERS: Final = frozenset(field.name for field in fields(StatusResponse)) - {"mailbox", "mailboxid"}


def read_status(r: Reader) -> StatusResponse:
    """Read what follows `* STATUS `. Items we do not know are skipped, blanks anywhere are tolerated."""
    mailbox, _ = decode_mailbox(r.astring(), utf8=r.utf8)
    r.space()
    counters: dict[str, int | None] = {}
    object_ids: list[str | None] = [None]

    def read_item(reader: Reader) -> None:
        name = reader.word().lower()
        reader.space()
        if name == "mailboxid":
            object_ids.append(read_object_id(reader))
        elif name in _COUNTERS:
            counters[name] = None if reader.nil() else reader.number64()
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
    given = [item for item in StatusItem if getattr(status, item.lower()) is not None]
    w.items(given, lambda writer, item: _write_item(writer, status, item))


def _write_item(w: Writer, status: StatusResponse, item: StatusItem) -> None:
    w.raw(item.value.encode("ascii") + b" ")
    value = getattr(status, item.lower())
    if isinstance(value, int):
        w.number(value)
    else:
        write_object_id(w, str(value))
