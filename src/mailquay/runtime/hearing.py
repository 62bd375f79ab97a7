"""Whether a server that offers to tell of all mailboxes really does: what a sweep finds must have been told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

_GRACE_SECONDS = 3.0
_MISSES_UNTIL_DEAF = 3
_FIRST_PATIENCE = 4
MOST_PATIENCE = 16
_LOST_UNTIL_DEAF = 5
_LOST_SECONDS = 60.0


class Hearing:
    """Counts the sweeps in a row that found a change nobody told of, not even a moment before or after.

    `patience` is by how much sweeps may be rarer than usual: more with each that found nothing untold, none after a
    miss.
    """

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._found: tuple[float, Sequence[str]] | None = None
        self._misses = 0
        self._lost: deque[float] = deque(maxlen=_LOST_UNTIL_DEAF)
        self.patience = _FIRST_PATIENCE

    def told(self, path: str) -> None:
        """The server told of a mailbox."""
        self._told[path] = asyncio.get_running_loop().time()

    def lost(self) -> None:
        """The server has dropped news. Each time everything is looked at: that must not be all that we do."""
        self._lost.append(asyncio.get_running_loop().time())

    def found(self, paths: Sequence[str]) -> None:
        """A sweep found these mailboxes changed; whether they were told of shows at the next one."""
        if paths and self._found is None:
            self._found = (asyncio.get_running_loop().time(), paths)
            self.patience = 1
        elif not paths:
            self.patience = min(2 * self.patience, MOST_PATIENCE)

    @property
    def deaf(self) -> bool:
        """Whether the server has missed too much to be relied on; asked before each sweep."""
        if len(self._lost) == _LOST_UNTIL_DEAF and self._lost[-1] - self._lost[0] < _LOST_SECONDS:
            return True
        if self._found is not None:
            at, paths = self._found
            if asyncio.get_running_loop().time() - at < _GRACE_SECONDS:
                return False
            self._found = None
            missed = any(self._told.get(path, float("-inf")) < at - _GRACE_SECONDS for path in paths)
            self._misses = self._misses + 1 if missed else 0
            if not missed:
                self.patience = _FIRST_PATIENCE
        return self._misses >= _MISSES_UNTIL_DEAF
