"""A listener as most tests want it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from mailquay.smtpd.limits import Limits
from tests.smtpd.listening import Listening, listening


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Sockets and TLS are where event loops differ: the tests of these run on both."""
    if item.path.name == "test_listener.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


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
