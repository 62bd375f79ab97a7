"""What went over all IMAP connections of a node: bytes, and how commands ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from mailquay.wire.imap.response import TaggedResponse
from mailquay.wire.imap.response_code import code_name

# RFC 9051 §7.1, RFC 5530 and the extensions that we use or that servers put into tagged responses.
_KNOWN_CODES: Final = frozenset(
    {
        "ALERT",
        "ALREADYEXISTS",
        "APPENDUID",
        "AUTHENTICATIONFAILED",
        "AUTHORIZATIONFAILED",
        "BADCHARSET",
        "BADEVENT",
        "CANNOT",
        "CAPABILITY",
        "CLIENTBUG",
        "CLOSED",
        "COMPRESSIONACTIVE",
        "CONTACTADMIN",
        "COPYUID",
        "CORRUPTION",
        "EXPIRED",
        "EXPUNGEISSUED",
        "HASCHILDREN",
        "HIGHESTMODSEQ",
        "INUSE",
        "LIMIT",
        "MAILBOXID",
        "MODIFIED",
        "NOMODSEQ",
        "NONEXISTENT",
        "NOPERM",
        "OVERQUOTA",
        "PARSE",
        "PERMANENTFLAGS",
        "PRIVACYREQUIRED",
        "READ-ONLY",
        "READ-WRITE",
        "SERVERBUG",
        "THROTTLED",
        "TOOBIG",
        "TRYCREATE",
        "UIDNEXT",
        "UIDNOTSTICKY",
        "UIDVALIDITY",
        "UNAVAILABLE",
        "UNKNOWN-CTE",
        "UNSEEN",
        "USEATTR",
    }
)
OTHER_CODE: Final = "OTHER"


@dataclass(slots=True)
class Traffic:
    """Counters that every connection adds to, a read or a write at a time. Bytes are counted above TLS and compression.

    `responses` counts tagged responses by status and response code, "" without one. Servers may invent codes: those
    that no RFC knows are counted together, so that nobody can make the counters grow without end.
    """

    sent_bytes: int = 0
    received_bytes: int = 0
    responses: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ended(self, tagged: TaggedResponse) -> None:
        """Count the end of a command."""
        name = code_name(tagged.code) or ""
        self.responses[(tagged.status.value, name if not name or name in _KNOWN_CODES else OTHER_CODE)] += 1
