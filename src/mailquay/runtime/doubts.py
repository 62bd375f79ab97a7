"""Mailboxes that show far less than they did: a server in trouble may do so, and nothing is told as deleted at once."""

from __future__ import annotations

import asyncio

DOUBT_SECONDS = 20.0
"""For so long a mailbox has to stay as empty as it looks."""


class Doubts:
    """Since when the losses of mailboxes are in doubt."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def raised(self, path: str) -> bool:
        """Much is gone from a mailbox; returns whether that is news."""
        if path in self._since:
            return False
        self._since[path] = asyncio.get_running_loop().time()
        return True

    def holds(self, path: str) -> bool:
        """Whether the mailbox is in doubt: until it has been compared with the index again, counts say nothing."""
        return path in self._since

    def dispelled(self, path: str) -> bool:
        """Whether the mailbox was seen like this long enough ago: it is as it looks."""
        since = self._since.get(path)
        return since is not None and asyncio.get_running_loop().time() - since >= DOUBT_SECONDS * 0.9

    def settled(self, path: str) -> None:
        """The index agrees with the mailbox."""
        self._since.pop(path, None)
