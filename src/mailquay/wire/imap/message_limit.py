"""MESSAGELIMIT: a server that handles only so many messages in one command (RFC 9738).

The limits stand in the capabilities MESSAGELIMIT=n and SAVELIMIT=n; `capability_number` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.wire.imap.lexer import Reader


@dataclass(frozen=True, slots=True)
class MessageLimit:
    """The response code: the command was carried out for the `limit` highest UIDs alone, down to `lowest_uid`.

    The rest is to be asked for below that. Without `lowest_uid` nothing was done (RFC 9738 §3).
    """

    limit: int
    lowest_uid: int | None = None


def read_message_limit(r: Reader) -> MessageLimit:
    """Read the arguments of MESSAGELIMIT."""
    limit = r.number()
    return MessageLimit(limit, r.number() if r.skip(b" ") else None)


def format_message_limit(code: MessageLimit) -> bytes:
    """The response code without brackets."""
    lowest = b"" if code.lowest_uid is None else b" %d" % code.lowest_uid
    return b"MESSAGELIMIT %d%s" % (code.limit, lowest)
