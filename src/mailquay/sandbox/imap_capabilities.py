"""What one sandbox IMAP server offers. A test chooses a set per server, and may take more away while it runs."""

from __future__ import annotations

from typing import Final

MAX_LITERAL_BYTES: Final = 32 * 1024 * 1024
"""The largest message that APPEND takes."""

BEFORE_LOGIN: Final = frozenset(["IMAP4rev1", "LITERAL+", "SASL-IR", "AUTH=PLAIN", "ID"])
"""What strangers are told."""

PLAIN: Final = frozenset(["IMAP4rev1", "IDLE", "NAMESPACE", "ID", "LITERAL+"])
"""A server without any extension that helps to stay in step."""

USUAL: Final = frozenset(
    [
        *("IMAP4rev1", "LITERAL+", "ID", "ENABLE", "NAMESPACE", "IDLE", "UIDPLUS", "MOVE", "UNSELECT", "CONDSTORE"),
        *("ESEARCH", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "CHILDREN", "OBJECTID"),
        *("BINARY", "WITHIN", "SAVEDATE", "PREVIEW", "STATUS=SIZE", f"APPENDLIMIT={MAX_LITERAL_BYTES}"),
        *("QRESYNC", "SEARCHRES", "PARTIAL", "MULTIAPPEND", "REPLACE", "QUOTA", "QUOTA=RES-STORAGE", "NOTIFY"),
    ]
)
"""What a sandbox offers when nobody chooses: all that good servers do."""

EVERYTHING: Final = USUAL | {"UIDONLY", "COMPRESS=DEFLATE"}
"""With what changes a whole session once a client asks for it."""

GMAIL: Final = frozenset(
    [
        *("IMAP4rev1", "UNSELECT", "IDLE", "NAMESPACE", "QUOTA", "ID", "CHILDREN", "X-GM-EXT-1", "UIDPLUS", "ENABLE"),
        *("MOVE", "CONDSTORE", "ESEARCH", "LIST-EXTENDED", "LIST-STATUS", "LITERAL+", "SPECIAL-USE"),
        f"APPENDLIMIT={MAX_LITERAL_BYTES}",
    ]
)
"""Gmail's: labels instead of mailboxes, mod-sequences, no QRESYNC and no NOTIFY."""
