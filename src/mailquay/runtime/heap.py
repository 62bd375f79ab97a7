"""Memory that bursts leave behind: the C library keeps freed pages unless it is asked to give them back."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

from mailquay.services.periodic import do_every

_INTERVAL_SECONDS = 60.0


async def keep_heap_trim() -> None:
    """Give freed pages back to the system every minute, until cancelled; ends at once where the library cannot.

    What a thousand log-ins or a large message took is otherwise counted as ours for good (glibc, malloc_trim).
    """
    trim = _trimmer()
    if trim is None:
        return

    async def work() -> None:
        await asyncio.to_thread(trim, 0)

    await do_every(_INTERVAL_SECONDS, "heap", work)


def _trimmer() -> Callable[[int], int] | None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    found: Callable[[int], int] = trim
    return found
