"""How many bytes of messages and bodies that are on their way in a process may hold at once."""

from __future__ import annotations


class MemoryBudget:
    """Shared by every door through which strangers send us much."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Count bytes as held, unless they would be too many; tells whether they were counted."""
        if self.used_bytes + size_bytes > self._limit_bytes:
            return False
        self.used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """Count bytes as free again."""
        self.used_bytes -= size_bytes
