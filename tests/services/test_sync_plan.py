"""What a sync decides to do, from what the server said when it opened the mailbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.backends.interface import MailboxChanges, OpenedMailbox
from mailquay.model.mailbox import MailboxCursor
from mailquay.model.mailbox_state import UidRanges
from mailquay.services.sync_plan import FlagSource, SyncPlan, difference, plan_sync, windows

TOLD = MailboxChanges((), UidRanges(((1, 2),)))


def cursor(uidnext: int = 10, modseq: int | None = 5) -> MailboxCursor:
    """Where the index stands."""
    return MailboxCursor(1, uidnext, modseq, 3, 1, 0)


def opened(uidnext: int | None = 10, modseq: int | None = 5, changes: MailboxChanges | None = None) -> OpenedMailbox:
    """What the server said."""
    return OpenedMailbox("INBOX", 1, uidnext, 3, modseq, changes=changes)


@pytest.mark.parametrize(
    ("before", "now", "scan", "plan"),
    [
        (cursor(), opened(), True, SyncPlan(False, FlagSource.NONE)),
        (cursor(), opened(modseq=6), False, SyncPlan(False, FlagSource.SINCE)),
        (cursor(), opened(11, 6, TOLD), False, SyncPlan(True, FlagSource.TOLD, TOLD)),
        (cursor(), opened(11, 4, TOLD), False, SyncPlan(True, FlagSource.SCAN, compare=True)),
        (cursor(modseq=None), opened(modseq=6), True, SyncPlan(False, FlagSource.SCAN)),
        (cursor(), opened(modseq=None), True, SyncPlan(False, FlagSource.SCAN)),
        (cursor(), opened(modseq=None), False, SyncPlan(False, FlagSource.NONE)),
        (cursor(), opened(None), False, SyncPlan(True, FlagSource.NONE)),
        (cursor(uidnext=1), opened(3, 6, TOLD), True, SyncPlan(True, FlagSource.NONE)),
    ],
)
def test_the_cheapest_source_that_tells_all(
    before: MailboxCursor, now: OpenedMailbox, scan: bool, plan: SyncPlan
) -> None:
    assert plan_sync(before, now, scan_flags=scan) == plan


def test_to_verify_is_to_believe_nothing() -> None:
    told = plan_sync(cursor(), opened(11, 6, TOLD), scan_flags=False, verify=True)
    assert told == SyncPlan(True, FlagSource.SCAN, TOLD, compare=True)
    assert plan_sync(cursor(uidnext=1), opened(), scan_flags=False, verify=True).compare


_uids = st.sets(st.integers(1, 60)).map(sorted)


@given(_uids, _uids)
def test_differences_are_those_of_sets(known: list[int], present: list[int]) -> None:
    assert difference(known, present) == (sorted(set(known) - set(present)), sorted(set(present) - set(known)))


@given(_uids, st.integers(1, 7))
def test_windows_cover_every_uid_and_hold_no_more_than_asked(uids: list[int], size: int) -> None:
    covered = [[uid for uid in uids if first <= uid <= last] for first, last in windows(uids, size)]
    assert [uid for window in covered for uid in window] == uids
    assert all(len(window) <= size for window in covered)
