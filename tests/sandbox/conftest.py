"""A world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mailquay.sandbox.world import SandboxAccount, SandboxWorld


@pytest.fixture
async def world() -> AsyncIterator[SandboxWorld]:
    """A world with its mail."""
    world = SandboxWorld()
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
async def empty() -> AsyncIterator[SandboxWorld]:
    """A world without mail."""
    world = SandboxWorld(empty=True)
    await world.start()
    yield world
    await world.stop()


@pytest.fixture
def ann(empty: SandboxWorld) -> SandboxAccount:
    """The first user of the empty world."""
    return empty.accounts[0]
