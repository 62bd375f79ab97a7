"""Growing pauses between tries."""

from __future__ import annotations

import random


class Backoff:
    """Doubles from a start up to a limit, each with up to 20 % more or less, so that failed accounts spread out."""

    def __init__(self, start_seconds: float, limit_seconds: float) -> None:
        self._start_seconds = start_seconds
        self._limit_seconds = limit_seconds
        self._failures = 0

    def reset(self) -> None:
        """Start over: things work again."""
        self._failures = 0

    def next_seconds(self) -> float:
        """The pause after one more failure."""
        pause = min(self._limit_seconds, self._start_seconds * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return pause * random.uniform(0.8, 1.2)  # noqa: S311  (spreading load, not a secret)


def spread_out(pause_seconds: float) -> float:
    """A pause that a server asked for, up to 20 % longer: it asks many accounts at once, and none may come early."""
    return pause_seconds * random.uniform(1.0, 1.2)  # noqa: S311  (spreading load, not a secret)
