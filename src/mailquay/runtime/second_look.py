"""Mailboxes that were told of, and are looked at once more a moment later."""

from __future__ import annotations

import asyncio

_SECONDS = 5.0


class SecondLook:
    """News that come while the former ones of the same mailbox are followed may be lost.

    Seen with Dovecot, once in some hundred times: mail that arrives in the moment in which we open the mailbox because
    of the mail before it is not told of. It would stay unseen until the next sweep, which may be 16 minutes away.
    """

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        self._told = asyncio.Event()

    def told(self, path: str) -> None:
        """The server has told of a mailbox."""
        self._told_at[path] = asyncio.get_running_loop().time()
        self._told.set()

    async def due(self) -> list[str]:
        """The mailboxes that were told of some seconds ago, and not since: those are followed once more anyway."""
        loop = asyncio.get_running_loop()
        while True:
            await self._told.wait()
            now = loop.time()
            paths = sorted(path for path, at in self._told_at.items() if at + _SECONDS <= now)
            if not paths:
                await asyncio.sleep(min(self._told_at.values()) + _SECONDS - now)
                continue
            for path in paths:
                del self._told_at[path]
            if not self._told_at:
                self._told.clear()
            return paths
