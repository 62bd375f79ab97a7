"""Freed memory goes back to the system, where its C library can give it."""

from __future__ import annotations

import asyncio
import ctypes
from pathlib import Path

import pytest

from mailquay.runtime import heap

_PAGE_BYTES = 4096


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


async def test_freed_pages_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        await asyncio.wait_for(heap.keep_heap_trim(), 5)
        return
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    # Blocks of less than a mapping of their own, every one followed by one that stays: nothing is freed at the end.
    blocks = [libc.malloc(60_000) for _ in range(2000)]
    for block in blocks:
        ctypes.memset(block, 1, 60_000)
    for block in blocks[::2]:
        libc.free(block)
    before = _resident_bytes()
    monkeypatch.setattr(heap, "_INTERVAL_SECONDS", 0.01)
    task = asyncio.create_task(heap.keep_heap_trim())
    try:
        async with asyncio.timeout(10):
            while before - _resident_bytes() < 30_000_000:
                await asyncio.sleep(0.01)  # nothing tells of pages that were given back
    finally:
        task.cancel()
        for block in blocks[1::2]:
            libc.free(block)
