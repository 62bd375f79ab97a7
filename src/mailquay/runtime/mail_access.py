"""The port through which services reach the mail servers of the accounts that this node owns."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from mailquay.backends.interface import MailSession
from mailquay.model.account import Account, AccountNumber
from mailquay.model.node import Fence
from mailquay.runtime.supervisor import Supervisor


class OwnedMailAccess:
    """See services.ports.MailAccess."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def session(
        self, account: Account, *, path: str | None = None, timeout_seconds: float
    ) -> AbstractAsyncContextManager[MailSession]:
        """See MailAccess.session."""
        commands = self._supervisor.runner(account.number).commands
        return commands.borrow(path=path, timeout_seconds=timeout_seconds)

    def fence(self, account: AccountNumber) -> Fence:
        """See MailAccess.fence."""
        return self._supervisor.fence(account)

    async def catch_up(self, account: AccountNumber, paths: Iterable[str], *, timeout_seconds: float) -> None:
        """See MailAccess.catch_up."""
        await self._supervisor.runner(account).catch_up.now(paths, timeout_seconds=timeout_seconds)

    async def relist(self, account: AccountNumber, *, timeout_seconds: float) -> None:
        """See MailAccess.relist."""
        await self._supervisor.runner(account).catch_up.relist(timeout_seconds=timeout_seconds)

    def nudge(self, account: AccountNumber, paths: Iterable[str]) -> None:
        """See MailAccess.nudge."""
        self._supervisor.runner(account).catch_up.nudge(paths, scan_flags=True)

    def connections(self, account: AccountNumber) -> int:
        """See MailAccess.connections."""
        return self._supervisor.runner(account).connections
