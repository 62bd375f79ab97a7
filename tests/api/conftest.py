"""The API as tests use it; see `world`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailquay.config import Config
from mailquay.storage.store import Store, open_store
from tests.api.world import World


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty SQLite store."""
    opened = await open_store(f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "key")
    yield opened
    await opened.close()


@pytest.fixture
def config() -> Config:
    """The configuration that the API runs with; a test module may have its own."""
    return Config()


@pytest.fixture
async def world(store: Store, config: Config) -> AsyncIterator[World]:
    """A running API."""
    async with World(store, config).running() as running:
        yield running
