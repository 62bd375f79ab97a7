"""What is to be done so that an index agrees with its mailbox again: decided from what both sides say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from mailquay.backends.interface import MailboxChanges, OpenedMailbox
from mailquay.model.mailbox import MailboxCursor


class FlagSource(Enum):
    """How we learn which flags have changed."""

    NONE = "none"
    TOLD = "told"
    SINCE = "since"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """`new`: there may be messages above the cursor. `flags`: where changes of known ones come from.

    `told`: what the server has told of its own accord when it opened the mailbox (QRESYNC). `compare`: nothing that is
    known may be relied on, all UIDs have to be compared.
    """

    new: bool
    flags: FlagSource
    told: MailboxChanges | None = None
    compare: bool = False


def plan_sync(cursor: MailboxCursor, opened: OpenedMailbox, *, scan_flags: bool, verify: bool = False) -> SyncPlan:
    """Which steps lead from the cursor to the mailbox as it was opened; without `scan_flags` a scan of all is left out.

    `verify` believes nothing: all flags and all UIDs are compared.

    A server that keeps mod-sequences is believed (RFC 7162 §3.1): what it says has not changed is not looked at. But
    where they went back it counts anew, and knows nothing of what changed before it began (on Dovecot whenever its
    index files are lost, with the same UIDVALIDITY).
    """
    new = opened.uidnext is None or opened.uidnext > cursor.uidnext
    if cursor.uidnext <= 1:
        return SyncPlan(new, FlagSource.NONE, compare=verify)
    if verify:
        return SyncPlan(new, FlagSource.SCAN, opened.changes, compare=True)
    if (opened.highestmodseq or cursor.highestmodseq or 0) < (cursor.highestmodseq or 0):
        return SyncPlan(new, FlagSource.SCAN, compare=True)
    if opened.changes is not None:
        return SyncPlan(new, FlagSource.TOLD, opened.changes)
    if opened.highestmodseq is not None and cursor.highestmodseq is not None:
        same = opened.highestmodseq == cursor.highestmodseq
        return SyncPlan(new, FlagSource.NONE if same else FlagSource.SINCE)
    return SyncPlan(new, FlagSource.SCAN if scan_flags else FlagSource.NONE)


def difference(known: Sequence[int], present: Sequence[int]) -> tuple[list[int], list[int]]:
    """Of two ascending rows of UIDs: those that only the first has, and those that only the second has."""
    gone: list[int] = []
    missed: list[int] = []
    here, there = _ends(known), _ends(present)
    left, right = next(here), next(there)
    while left is not None or right is not None:
        if right is None or (left is not None and left < right):
            gone.append(left)  # type: ignore[arg-type]
            left = next(here)
        elif left is None or right < left:
            missed.append(right)
            right = next(there)
        else:
            left, right = next(here), next(there)
    return gone, missed


def _ends(uids: Sequence[int]) -> Iterator[int | None]:
    yield from uids
    yield None


def windows(uids: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """The first and last of each `size` of ascending UIDs: what is asked for in one command takes bounded time."""
    for start in range(0, len(uids), size):
        yield uids[start], uids[min(start + size, len(uids)) - 1]


def without(first: int, last: int, left_out: Sequence[int]) -> str:
    """The UIDs from one to another as an IMAP set, some (ascending) left out; empty when none remain."""
    ranges: list[str] = []
    for uid in [*(uid for uid in left_out if first <= uid <= last), last + 1]:
        if first < uid:
            ranges.append(str(first) if first == uid - 1 else f"{first}:{uid - 1}")
        first = uid + 1
    return ",".join(ranges)
