"""Work that is done again and again behind everything else, and must not end without anybody noticing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)


async def do_every(seconds: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` each time so many seconds have passed, until cancelled.

    What it raises is logged, and it is done again the next time: a task that ends with an error tells nobody.
    """
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception as error:
            _log.error("background_work_failed", what=what, exc_info=error)
