"""A listener as most tests want it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.smtpd.limits import Limits
from tests.smtpd.listening import Listening, listening


@pytest.fixture
def limits() -> Limits:
    """What the listener bears; a test module may have its own."""
    return Limits(login_delay=0.01)


@pytest.fixture
async def listener(tmp_path: Path, limits: Limits) -> AsyncIterator[Listening]:
    """A listener that asks for a log-in."""
    async with listening(tmp_path, limits=limits) as found:
        yield found


@pytest.fixture
async def open_listener(tmp_path: Path, limits: Limits) -> AsyncIterator[Listening]:
    """A listener that believes X-EE-Account."""
    async with listening(tmp_path, limits=limits, smtpServerAuthEnabled=False) as found:
        yield found
