"""Runtime settings: one snapshot per node, renewed when any node changes them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mailquay.errors import InvalidRequest
from mailquay.model.setting import read_setting
from mailquay.model.setting_catalogue import SETTINGS
from mailquay.services.setting_view import holds_mask, shown_setting
from mailquay.storage.interface import ANYTHING_CHANGED, SETTINGS_CHANGED, Signal
from mailquay.storage.store import Store

# A masked value is shown in part, since the rest of it is a secret.
_SECRET_KEYS = frozenset(key for key, definition in SETTINGS.items() if definition.encrypted or definition.masked)
QUEUES = ("notify", "submit", "documents")


class SettingsService:
    """Reads are answered from the snapshot; writes are checked, stored, and told to every node."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._values: Mapping[str, Any] = {}
        self._paused: frozenset[str] = frozenset()
        self._stale = True
        self._reading = asyncio.Lock()
        store.database.subscribe(self._on_signals)

    def _on_signals(self, signals: frozenset[Signal]) -> None:
        if signals & {Signal(SETTINGS_CHANGED), Signal(ANYTHING_CHANGED)}:
            self._stale = True

    async def refresh(self) -> None:
        """Read the settings again if anybody may have changed them; whoever asks meanwhile waits for what is read."""
        if not self._stale and not self._reading.locked():
            return
        async with self._reading:
            if self._stale:
                self._stale = False
                try:
                    self._values = await self._store.settings.all()
                    self._paused = frozenset(await self._store.settings.paused_queues())
                except BaseException:
                    self._stale = True
                    raise

    async def get(self, key: str) -> Any:
        """The value of a setting, or its default."""
        await self.refresh()
        return self.current(key)

    def current(self, key: str) -> Any:
        """The value as of the last refresh: for places that cannot wait."""
        value = self._values.get(key)
        return SETTINGS[key].default if value is None else value

    async def stored(self, key: str) -> Any:
        """The value as stored, None when unset."""
        await self.refresh()
        return self._values.get(key)

    async def is_paused(self, queue: str) -> bool:
        """Whether a queue is paused."""
        await self.refresh()
        return queue in self._paused

    async def pause(self, queue: str, paused: bool) -> None:
        """Pause or resume a queue."""
        await self._store.commit(self._store.settings.pause_queue(queue, paused))

    async def write(self, values: Mapping[str, object]) -> None:
        """Store values that `check` has returned."""
        await self._store.commit(self._store.settings.put(values, _SECRET_KEYS))
        self._stale = True

    async def write_missing(self, values: Mapping[str, object]) -> None:
        """Store those values whose settings are still unset: what a first start brings along."""
        await self._store.commit(self._store.settings.put(values, _SECRET_KEYS, keep_existing=True))
        self._stale = True

    async def establish(self, initial: Mapping[str, object], prepared: Mapping[str, object]) -> None:
        """What every start does: secrets that must exist, first values, then the prepared settings."""
        made = {
            "serviceSecret": secrets.token_hex(16),
            "serviceId": secrets.token_hex(16),
            "nodeSecret": secrets.token_hex(32),
        }
        await self.write_missing({**made, **initial})
        if prepared:
            await self.write(self.check(prepared))
        await self.refresh()

    def check(self, values: Mapping[str, object]) -> dict[str, object]:
        """The values in the form in which they are stored, without those that come back masked as they were shown.

        Raises InvalidSettings with every fault found.
        """
        checked: dict[str, object] = {}
        faults: list[tuple[str, str]] = []
        for key, value in values.items():
            definition = SETTINGS.get(key)
            if definition is None or not definition.writable:
                faults.append((key, f'"{key}" is not allowed'))
                continue
            if holds_mask(definition, value):
                # What we showed comes back: nothing changes. Any other mask would destroy the secret.
                if value != shown_setting(definition, self._values.get(key)):
                    faults.append((key, f'"{key}" holds a mask instead of a value'))
                continue
            try:
                checked[key] = read_setting(definition, value)
            except InvalidRequest as error:
                faults.append((key, f'"{key}" {error.message}'))
        if faults:
            raise InvalidSettings(faults)
        for key in ("serviceUrl",):
            if checked.get(key):
                parts = urlsplit(str(checked[key]))
                # An origin has no user and no password (RFC 6454 §4), and this one is shown to everybody.
                checked[key] = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if "serviceSecret" in checked and not str(checked["serviceSecret"] or "").strip():
            del checked["serviceSecret"]
        return checked


class InvalidSettings(InvalidRequest):
    """Settings with faults: (key, sentence) of each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(sentence for _, sentence in faults))
        self.faults = faults
