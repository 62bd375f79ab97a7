"""What we know of a mailbox when we ask for the difference, which UIDs are gone, how full the store is."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UidRanges:
    """UIDs as inclusive ranges, ascending and disjoint, since a short answer may name billions that never were."""

    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, uid: int) -> bool:
        position = bisect_right(self.ranges, (uid, sys.maxsize)) - 1
        return position >= 0 and uid <= self.ranges[position][1]

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def among(self, uids: Iterable[int]) -> list[int]:
        """Those of `uids` that are in the ranges, in the order given."""
        return [uid for uid in uids if uid in self]


@dataclass(frozen=True, slots=True)
class KnownState:
    """What we know of a mailbox, so that the server can tell the difference (RFC 7162 §3.2.5).

    `uids` is the IMAP set of the UIDs that we hold; None: whatever there was.
    """

    uidvalidity: int
    highestmodseq: int
    uids: str | None = None


@dataclass(frozen=True, slots=True)
class MailboxQuota:
    """How much may be stored and how much is (RFC 9208 §4.2.1); None for what the server does not limit."""

    used_bytes: int | None = None
    limit_bytes: int | None = None
    used_messages: int | None = None
    limit_messages: int | None = None
