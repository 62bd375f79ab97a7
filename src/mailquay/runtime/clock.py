"""Wall-clock time."""

from __future__ import annotations

import time


class SystemClock:
    """See services.ports.Clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(time.time() * 1000)
