"""What is left to do after a command that a server has carried out for some of its messages only (RFC 9738 §3)."""

from __future__ import annotations

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.sequence_set import UidSet


def left_over(limit: MessageLimit | None, part: UidSet) -> UidSet | None:
    """The messages of `part` below the lowest UID that the server came to; None when it has come to all of them.

    Raises RemoteProtocolError for an answer that does not tell how far it came, and for one that would be the same
    for ever.
    """
    if limit is None:
        return None
    if limit.lowest_uid is None:
        raise RemoteProtocolError("the server limits its answer and does not say where it stopped")
    rest = part.below(limit.lowest_uid)
    if rest is not None and rest.ranges == part.ranges:
        raise RemoteProtocolError("the server limits its answer to messages that it was not asked for")
    return rest
