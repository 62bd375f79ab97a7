"""Mailboxes that fail again and again, kept over reconnects: they are left alone for a while, so that others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

_FAILURES_UNTIL_SKIPPED = 3
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0
_FIRST_PAUSE_AFTER_LOSS_SECONDS = 10.0
_LONGEST_PAUSE_AFTER_LOSS_SECONDS = 10 * 60.0


@dataclass(slots=True)
class _Record:
    failures: int = 0
    skipped_until: float = 0.0


class Refusals:
    """Counts failures in a row by path. From the third on a mailbox pauses, twice as long after each further one.

    A connection that is lost in the middle of a mailbox may be the mailbox's doing, or the network's: such pauses begin
    shorter and end at ten minutes, so that a bad network is soon forgotten when it has mended.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def skips(self, path: str) -> bool:
        """Whether the mailbox is to be left alone now."""
        record = self._records.get(path)
        return record is not None and record.skipped_until > asyncio.get_running_loop().time()

    def failed(self, path: str, *, lost: bool = False) -> bool:
        """The mailbox was refused, or the connection was `lost` in the middle of it; True when it is left alone now."""
        record = self._records.setdefault(path, _Record())
        record.failures += 1
        beyond = record.failures - _FAILURES_UNTIL_SKIPPED
        if beyond >= 0:
            first = _FIRST_PAUSE_AFTER_LOSS_SECONDS if lost else _FIRST_PAUSE_SECONDS
            longest = _LONGEST_PAUSE_AFTER_LOSS_SECONDS if lost else _LONGEST_PAUSE_SECONDS
            pause = min(longest, first * 2.0 ** min(beyond, 20))
            record.skipped_until = asyncio.get_running_loop().time() + pause
        return beyond >= 0

    def succeeded(self, path: str) -> None:
        """All is well with the mailbox again."""
        self._records.pop(path, None)

    def forget_others(self, paths: Iterable[str]) -> None:
        """Forget what is not listed any more: whatever stands at such a path later is another mailbox."""
        listed = set(paths)
        self._records = {path: record for path, record in self._records.items() if path in listed}

    def due(self) -> list[str]:
        """The mailboxes that have failed and are to be tried again now."""
        return [path for path in self._records if not self.skips(path)]
