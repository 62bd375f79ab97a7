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
        self._paths: set[str] = set()
        self._told = asyncio.Event()

    def told(self, path: str) -> None:
        """The server has told of a mailbox."""
        self._paths.add(path)
        self._told.set()

    async def due(self) -> list[str]:
        """The mailboxes that were told of some seconds ago, and since."""
        await self._told.wait()
        await asyncio.sleep(_SECONDS)
        self._told.clear()
        paths, self._paths = sorted(self._paths), set()
        return paths
