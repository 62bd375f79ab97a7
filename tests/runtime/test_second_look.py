"""When a mailbox that was told of is looked at once more."""

from __future__ import annotations

import asyncio

import pytest

from mailquay.runtime import second_look
from mailquay.runtime.second_look import SecondLook


async def test_each_mailbox_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is told of just before the look at another one is not looked at in that moment, when it is too early."""
    monkeypatch.setattr(second_look, "_SECONDS", 0.2)
    look, now = SecondLook(), asyncio.get_running_loop().time
    began = now()
    look.told("early")
    look.told("busy")
    await asyncio.sleep(0.15)
    look.told("late")
    look.told("busy")
    late = now()
    async with asyncio.timeout(5):
        assert await look.due() == ["early"]
        assert now() - began >= 0.2
        assert await look.due() == ["busy", "late"]
        assert now() - late >= 0.2
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await look.due()
