"""Subconnections that break take nothing else down."""

from __future__ import annotations

import asyncio
from typing import cast

import structlog

from mailquay.backends.interface import MailBackend
from mailquay.runtime.catch_up import CatchUp
from mailquay.runtime.subconnections import Subconnections


class _Broken:
    """A backend with a fault of ours in it."""

    def __init__(self) -> None:
        self.asked = 0
        self.asked_again = asyncio.Event()

    async def open_watch(self, path: str) -> None:
        self.asked += 1
        if self.asked == 2:
            self.asked_again.set()
        raise RuntimeError(f"nobody thought of {path}")


async def test_a_fault_of_ours_is_told_and_tried_again() -> None:
    broken = _Broken()
    watching = Subconnections(cast(MailBackend, broken), cast(CatchUp, None), (0.001, 0.001)).watch(["Sent"], "ann")
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(watching)
        waiting = asyncio.create_task(broken.asked_again.wait())
        await asyncio.wait([task, waiting], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done() and not task.done()
        task.cancel()
        await asyncio.wait([task])
    assert [entry["event"] for entry in logs][:1] == ["subconnection_broke"]
