"""FETCH lines that come by the hundred thousand, in flag scans and first syncs, read by one regular expression."""

from __future__ import annotations

import re
from typing import Final

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.date import parse_date_time
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import parse_flags
from mailquay.wire.imap.leniency import Leniency

SYNC_LINE: Final = re.compile(
    rb"\* (\d{1,10}) FETCH \((?:UID ([1-9]\d{0,9}) )?(?:MODSEQ \((\d{1,19})\) )?FLAGS \(([^()\"{\r\n]*)\)"
    rb'(?: INTERNALDATE "([^"\\\r\n]{0,40})")?(?: RFC822\.SIZE (\d{1,10}))?'
    rb"(?: MODSEQ \((\d{1,19})\))?(?: UID ([1-9]\d{0,9}))?\)\r\n"
)
"""UID, FLAGS, INTERNALDATE, RFC822.SIZE and MODSEQ in the orders that servers use; a whole line, or it is not read."""


def sync_line_response(groups: tuple[bytes | None, ...], leniencies: set[Leniency]) -> FetchResponse:
    """Build the response from what SYNC_LINE matched; a malformed value gives one with `error` set."""
    seq, uid, modseq, flags, internal_date, size, late_modseq, late_uid = groups
    uid = uid or late_uid
    modseq = modseq or late_modseq
    number = None if uid is None else int(uid)
    if number is not None and number >= 2**32:
        return FetchResponse(int(seq or 0), error="UID out of range")
    mod = None if modseq is None else int(modseq)
    shown = parse_flags(flags or b"")
    try:
        date = None if internal_date is None else parse_date_time(internal_date)
    except RemoteProtocolError as error:
        leniencies.add(Leniency.MESSAGE_ISOLATED)
        return FetchResponse(int(seq or 0), number, shown, error=error.message)
    return FetchResponse(int(seq or 0), number, shown, mod, date, None if size is None else int(size))
