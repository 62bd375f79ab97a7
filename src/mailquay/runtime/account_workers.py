"""What is done for every owned account besides its mailbox: sending, filing, posting webhooks, exporting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mailquay.runtime.keyed_worker import KeyedWorker
from mailquay.storage.interface import EVENTS_APPENDED, EXPORTS_CHANGED, FILING_DUE, OUTBOX_CHANGED, Signal


@dataclass(frozen=True, slots=True)
class AccountWorkers:
    """One worker for each kind of work, so that a slow mail server holds up none of the others."""

    outbox: KeyedWorker
    filing: KeyedWorker
    webhooks: KeyedWorker
    exports: KeyedWorker

    @property
    def _all(self) -> tuple[KeyedWorker, ...]:
        return self.outbox, self.filing, self.webhooks, self.exports

    def add(self, number: int) -> None:
        """Begin to work for an account."""
        for worker in self._all:
            worker.add(number)

    def nudge(self, number: int) -> None:
        """Something about the account changed."""
        for worker in self._all:
            worker.nudge(number)

    def heed(self, signal: Signal) -> None:
        """Wake the worker that a signal concerns, for its account or (number 0) for all."""
        worker = {
            OUTBOX_CHANGED: self.outbox,
            FILING_DUE: self.filing,
            EVENTS_APPENDED: self.webhooks,
            EXPORTS_CHANGED: self.exports,
        }.get(signal.kind)
        if worker is None:
            return
        if signal.account:
            worker.nudge(signal.account)
        else:
            worker.nudge_all()

    async def finish(self, number: int, grace_seconds: float) -> None:
        """Let what is on its way to a mail server arrive, for a while; nothing new begins."""
        await asyncio.gather(
            self.outbox.remove(number, grace_seconds=grace_seconds),
            self.filing.remove(number, grace_seconds=grace_seconds),
        )

    async def remove(self, number: int) -> None:
        """Stop working for an account, at once."""
        await asyncio.gather(*(worker.remove(number) for worker in self._all))

    async def close(self) -> None:
        """Stop working for every account."""
        await asyncio.gather(*(worker.close() for worker in self._all))
