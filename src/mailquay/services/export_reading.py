"""What reading a message for an export takes, whatever the format: sessions, and a place for what is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mailquay.backends.interface import MailSession
from mailquay.model.account import Account
from mailquay.model.export import ExportRequest
from mailquay.model.mailbox import Mailbox
from mailquay.services.sections_apart import fetch_apart
from mailquay.storage.export_files import SPOOL_FRAME_BYTES, Spool, Spooled

TOGETHER_BYTES = 4 * 1024 * 1024
"""What one command may bring into memory, by what the server says of its size."""

Pieces = list[bytes | Spooled]
"""A message in pieces that are in memory or in the spool."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One mailbox's part of a batch. `opened` gives a session that has the mailbox open."""

    account: Account
    mailbox: Mailbox
    request: ExportRequest
    spool: Spool
    opened: Callable[[], AbstractAsyncContextManager[MailSession]]
    max_content_bytes: int

    async def spooled(self, data: bytes) -> bytes | Spooled:
        """A short piece as it is; a long one does not stay in memory."""
        return data if len(data) <= SPOOL_FRAME_BYTES else await asyncio.to_thread(self.spool.add_whole, data)

    async def others_are_given(self, session: MailSession, uid: int) -> None:
        """Return when what is UNAVAILABLE is one message alone, or a part of it.

        Raises PartUnavailable when the server gives nothing of any message.
        """
        await fetch_apart(session, [uid], ["HEADER"], limit_bytes=None)


class Spooling:
    """Collects what arrives in small chunks; one hop to a thread for many of them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._buffer = bytearray()
        self._first = spool.frames
        self._size = 0

    async def add(self, data: bytes) -> None:
        """Add to the run."""
        self._buffer += data
        if len(self._buffer) >= 4 * SPOOL_FRAME_BYTES:
            await self._flush()

    async def end(self) -> Spooled:
        """The whole run."""
        await self._flush()
        return Spooled(self._first, self._spool.frames - self._first, self._size)

    async def _flush(self) -> None:
        self._size += len(self._buffer)
        data = bytes(self._buffer)
        self._buffer.clear()
        await asyncio.to_thread(self._spool.add_whole, data)
