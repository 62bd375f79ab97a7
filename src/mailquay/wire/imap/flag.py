"""Message and mailbox flags (RFC 9051 §2.3.2). System flags ignore case and are spelt canonically here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mailquay.errors import LocalProtocolError

SEEN: Final = "\\Seen"
ANSWERED: Final = "\\Answered"
FLAGGED: Final = "\\Flagged"
DELETED: Final = "\\Deleted"
DRAFT: Final = "\\Draft"
RECENT: Final = "\\Recent"
ANY_KEYWORD: Final = "\\*"
"""In PERMANENTFLAGS: new keywords may be created."""

_CANONICAL = {flag.lower(): flag for flag in (SEEN, ANSWERED, FLAGGED, DELETED, DRAFT, RECENT)}
_VALID = re.compile(r"\\?[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+|\\\*")
_CACHED_BYTES = 200


def canonical_flag(flag: str) -> str:
    """Spell a system flag as the RFC does; keywords stay as they are."""
    return _CANONICAL.get(flag.lower(), flag)


def parse_flags(raw: bytes) -> frozenset[str]:
    """The flags of a list, given the bytes between its parentheses. Same bytes, most often the same object."""
    return _cached_flags(raw) if len(raw) <= _CACHED_BYTES else _parse_flags(raw)


def _parse_flags(raw: bytes) -> frozenset[str]:
    return frozenset(canonical_flag(flag.decode("utf-8", "replace")) for flag in raw.split())


_cached_flags = lru_cache(maxsize=4096)(_parse_flags)


def format_flags(flags: frozenset[str]) -> bytes:
    """A flag list with its parentheses, sorted. Raises LocalProtocolError for anything that is not a flag."""
    for flag in flags:
        if _VALID.fullmatch(flag) is None:
            raise LocalProtocolError(f"not a flag or keyword: {flag[:60]!r}")
    return b"(" + " ".join(sorted(flags)).encode("ascii") + b")"
