"""IMAP sequence sets as text, in the strict form that every server understands."""

from __future__ import annotations

from collections.abc import Iterable


def sequence_set(uids: Iterable[int]) -> str:
    """UIDs as an IMAP set, sorted and with runs folded (RFC 9051 §4.1.1): some servers refuse others."""
    parts: list[str] = []
    ordered = sorted(set(uids))
    start = 0
    for position, uid in enumerate(ordered):
        if position + 1 < len(ordered) and ordered[position + 1] == uid + 1:
            continue
        first = ordered[start]
        parts.append(str(first) if first == uid else f"{first}:{uid}")
        start = position + 1
    return ",".join(parts)
