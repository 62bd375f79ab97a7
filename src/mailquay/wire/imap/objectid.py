"""OBJECTID: ids of mailboxes, messages and threads that outlive moves (RFC 8474)."""

from __future__ import annotations

import re

from mailquay.errors import LocalProtocolError
from mailquay.wire.imap.leniency import Leniency
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.writer import Writer

_OBJECT_ID = re.compile(rb"[^\x00-\x20\x7f-\xff()\[\]\"{]{1,255}")


def read_object_id(r: Reader) -> str | None:
    """Read an object id in parentheses; NIL is None: a server without threads says so (RFC 8474 §5.2)."""
    if r.nil():
        r.note(Leniency.OBJECTID_NIL)
        return None
    bracketed = r.skip(b"(")
    if not bracketed:
        r.note(Leniency.OBJECTID_BARE)
    match = r.match(_OBJECT_ID)
    if match is None:
        raise r.error("an object id")
    if bracketed:
        r.expect(b")")
    return match.group().decode("ascii")


def write_object_id(w: Writer, object_id: str) -> None:
    """Write an object id in parentheses. Raises LocalProtocolError when it is none (RFC 8474 §7)."""
    data = object_id.encode("ascii", "replace")
    if _OBJECT_ID.fullmatch(data) is None:
        raise LocalProtocolError(f"not an object id: {object_id[:60]!r}")
    w.raw(b"(" + data + b")")
