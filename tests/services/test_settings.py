"""The snapshot of the settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mailquay.services.settings import SettingsService
from mailquay.storage.store import open_store


async def test_nobody_reads_what_was_there_before_a_change(tmp_path: Path) -> None:
    """Found with ten accounts that asked for a setting at once: the first one read it, nine went by the old value."""
    store = await open_store(f"sqlite:///{tmp_path}/m.db", key_file=tmp_path / "key")
    settings = SettingsService(store)
    for name in ("one", "two"):
        await settings.write(settings.check({"imapClientName": name}))
        assert await asyncio.gather(*(settings.get("imapClientName") for _ in range(10))) == [name] * 10
    await store.close()
