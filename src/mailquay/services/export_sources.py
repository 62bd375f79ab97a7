"""Messages of an export as their server holds them: small ones many at a time, large ones piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import structlog

from mailquay.errors import CommandRejected, MessageNotFound, PartUnavailable
from mailquay.model.export import PlannedMessage
from mailquay.services.export_reading import TOGETHER_BYTES, Pieces, Reading, Spooling
from mailquay.services.section_stream import stream_section
from mailquay.services.sections_apart import fetch_apart
from mailquay.storage.export_files import Spooled

_log = structlog.get_logger(__name__)
_SMALL_BYTES: Final = 256 * 1024


class SourceReading(Reading):
    """Reads the sources of messages."""

    __slots__ = ()

    async def sources(self, messages: Sequence[PlannedMessage]) -> dict[int, Pieces | None]:
        """The messages as their server holds them, by UID; None for one that it refuses to give."""
        sources: dict[int, Pieces | None] = {}
        small = [one for one in messages if one.size_bytes <= _SMALL_BYTES]
        run: list[int] = []
        size = 0
        for one in small:
            run.append(one.uid)
            size += one.size_bytes
            if size > TOGETHER_BYTES or one is small[-1]:
                sources.update(await self._small_sources(run))
                run, size = [], 0
        for one in messages:
            if one.size_bytes > _SMALL_BYTES:
                try:
                    sources[one.uid] = [await self._source(one.uid)]
                except MessageNotFound:
                    continue
                except CommandRejected as error:
                    _log.warning("source_refused", account=self.account.id, uid=one.uid, error=error.message)
                    sources[one.uid] = None
                except PartUnavailable as error:
                    async with self.opened() as session:
                        await self.others_are_given(session, one.uid)
                    _log.warning("source_refused", account=self.account.id, uid=one.uid, error=error.message)
                    sources[one.uid] = None
        return sources

    async def _small_sources(self, uids: Sequence[int]) -> dict[int, Pieces | None]:
        async with self.opened() as session:
            # A server may be wrong about a size; what comes then is bounded all the same.
            limit = 4 * _SMALL_BYTES
            apart = await fetch_apart(session, uids, [""], limit_bytes=limit)
        sources: dict[int, Pieces | None] = dict.fromkeys(apart.refused)
        for uid, fetched in apart.found.items():
            body = fetched.bodies.get("")
            if body is None or len(body) < limit:
                sources[uid] = None if body is None else [await self.spooled(body)]
            else:
                sources[uid] = [await self._source(uid)]
        return sources

    async def _source(self, uid: int) -> Spooled:
        spooling = Spooling(self.spool)
        async with aclosing(stream_section(self.opened, uid, "")) as chunks:
            async for chunk in chunks:
                await spooling.add(chunk)
        return await spooling.end()
