"""Whether a server that offers to tell of all mailboxes really does: what a sweep finds must have been told."""

from __future__ import annotations

import asyncio

_GRACE_SECONDS = 3.0
_MISSES_UNTIL_DEAF = 3


class Hearing:
    """Counts changes that a sweep found and nobody told of, in a row."""

    def __init__(self, *, grace_seconds: float | None = None) -> None:
        self._grace_seconds = _GRACE_SECONDS if grace_seconds is None else grace_seconds
        self._told: dict[str, float] = {}
        self._misses = 0

    def told(self, path: str) -> None:
        """The server told of a mailbox."""
        self._told[path] = asyncio.get_running_loop().time()

    async def is_deaf(self, found: list[str]) -> bool:
        """A sweep found these mailboxes changed; True when the server has missed too much to be relied on.

        News and sweep may cross: what is told shortly before or after counts as told.
        """
        if not found:
            return False
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._grace_seconds)
        missed = [path for path in found if self._told.get(path, float("-inf")) < now - self._grace_seconds]
        self._misses = self._misses + 1 if missed else 0
        return self._misses >= _MISSES_UNTIL_DEAF
