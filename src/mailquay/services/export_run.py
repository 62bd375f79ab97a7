"""Carrying out exports: step by step, each on disk before it counts, so that every later owner goes on behind it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from mailquay.errors import (
    AuthenticationFailed,
    Fenced,
    MailquayError,
    NotFound,
    RateLimited,
    StorageError,
    Unsupported,
)
from mailquay.model.account import Account, AccountNumber
from mailquay.model.export import Export, ExportPhase, ExportProgress, ExportStatus, PlannedMessage, Segment
from mailquay.model.node import Fence
from mailquay.services.export_batch import BatchReader, Pace, is_away
from mailquay.services.export_events import completed_event, failed_event
from mailquay.services.export_formats import ReadMessage, write_messages
from mailquay.services.export_plan import ExportOver, ExportPlanner
from mailquay.services.export_reader import ExportReader
from mailquay.services.ports import Clock, MailAccess
from mailquay.services.settings import SettingsService
from mailquay.storage.export_files import ExportFiles, Spool
from mailquay.storage.interface import ANYTHING_CHANGED, EXPORTS_CHANGED, Signal
from mailquay.storage.repositories.exports import ExportEnd
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_SHORTEST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`retention_seconds`: how long a file is kept; `patience_seconds`: how long a server may be away."""

    retention_seconds: float
    patience_seconds: float


class FileFailed(MailquayError):
    """The file of an export cannot be written."""

    default_code = "ExportFileError"


class ExportRunner:
    """Works off the exports of accounts that this node owns, for each account one after another."""

    def __init__(
        self,
        store: Store,
        settings: SettingsService,
        access: MailAccess,
        files: ExportFiles,
        clock: Clock,
        node_id: Callable[[], str],
        options: ExportOptions,
    ) -> None:
        self._store = store
        self._settings = settings
        self._access = access
        self._files = files
        self._clock = clock
        self._node_id = node_id
        self._options = options
        content_bytes = int(settings.current("exportMaxMessageSize"))
        reader = ExportReader(store, access, max_content_bytes=content_bytes)
        self._planner = ExportPlanner(store, access, reader)
        self._batches = BatchReader(store, access, reader)
        self._paces: dict[int, Pace] = {}

    async def run(self, number: AccountNumber) -> float | None:
        """Carry out the oldest export of an account; after how many seconds to be called again, None: none is left.

        Ends at once when the export is cancelled. Raises Fenced, NotOperational when this node does not own the
        account any more, StorageError.
        """
        export = await self._store.exports.next_active(number)
        if export is None:
            return None
        with self._watching(number) as changed:
            work = asyncio.create_task(self._work(export), name=f"export-{export.id}")
            try:
                while not await _first(work, changed):
                    changed.clear()
                    now = await self._store.exports.get(number, export.id)
                    if now is None or not now.status.active:
                        self._paces.pop(export.number, None)
                        return 0.0
                return work.result()
            finally:
                work.cancel()
                await asyncio.wait([work])

    @contextmanager
    def _watching(self, number: AccountNumber) -> Iterator[asyncio.Event]:
        """An event that tells that exports of the account may have been cancelled."""
        changed = asyncio.Event()

        def on_signals(signals: frozenset[Signal]) -> None:
            if any(
                signal.kind == ANYTHING_CHANGED or (signal.kind == EXPORTS_CHANGED and signal.account in (0, number))
                for signal in signals
            ):
                changed.set()

        stop = self._store.database.subscribe(on_signals)
        try:
            yield changed
        finally:
            stop()

    async def _work(self, export: Export) -> float:
        account = await self._store.accounts.by_number(export.account)
        if account is None:
            return _SHORTEST_PAUSE_SECONDS
        fence = self._access.fence(export.account)
        try:
            await self._carry_out(account, export, fence)
        except ExportOver:
            self._paces.pop(export.number, None)
            return 0.0
        except (Fenced, StorageError):
            raise
        except Exception as error:
            # The fence raises when the account is not ours any more: then nothing is to be said of its server.
            return await self._after_failure(account, export, error, self._access.fence(export.account))
        self._paces.pop(export.number, None)
        return 0.0

    async def _carry_out(self, account: Account, export: Export, fence: Fence) -> None:
        if not account.profile.has_imap:
            raise Unsupported("the account has no mailbox any more", code="NotSyncing")
        await self._settings.refresh()
        if export.phase is ExportPhase.INDEXING:
            _log.info("export_begun", account=account.id, export=export.id)
            export = await self._planner.plan(account, export, fence)
            if not await self._store.commit(self._store.exports.advance(export, None, export.progress, fence)):
                raise ExportOver
        export = await self._settled(export, fence)
        await self._complete(account, await self._write(account, export, fence), fence)

    async def _settled(self, export: Export, fence: Fence) -> Export:
        """Go on behind the segments that are here; where they are not, begin anew."""
        segments = await self._store.exports.segments(export.number)
        anew = export.place not in (None, self._files.place)
        if not anew:
            try:
                await asyncio.to_thread(self._files.check, export, segments)
            except NotFound:
                anew = True
        if anew:
            _log.warning("export_begun_anew", export=export.id, given_up=export.progress.exported)
        place, node = self._files.place, self._node_id()
        progress = await self._store.commit(self._store.exports.settle(export, place, node, fence, anew=anew))
        if progress is None:
            raise ExportOver
        await asyncio.to_thread(self._files.forget_unknown, export, [] if anew else segments)
        return dataclasses.replace(export, progress=progress, place=place, node=node)

    # -- writing ---------------------------------------------------------------------------------

    async def _write(self, account: Account, export: Export, fence: Fence) -> Export:
        """Write what is left, segment by segment."""
        folders = {int(folder.mailbox): folder for folder in await self._store.exports.folders(export.number)}
        pace = self._paces.setdefault(export.number, Pace())
        while True:
            batch = await self._batches.following(export, pace)
            left = int(self._settings.current("exportMaxMessages")) - export.progress.exported
            if not batch:
                break
            if left <= 0 or self._is_full(export.progress):
                export = await self._advance(export, None, dataclasses.replace(export.progress, truncated=True), fence)
                break
            batch = batch[:left]
            with closing(self._files.spool()) as spool:
                read = await self._batches.read(account, export, folders, batch, spool, pace)
                if read is None:
                    continue
                written, segment = await self._segment(export, read, spool) if read else ([], None)
            if len(written) < len(read):
                # What follows finds the file full.
                batch = batch[: batch.index(written[-1].planned) + 1]
            export = await self._advance(export, segment, _advanced(export, batch, written, segment), fence)
        if not export.progress.segments:
            # Also a file without messages has the form of its format.
            with closing(self._files.spool()) as spool:
                _, segment = await self._segment(export, [], spool)
            if segment is not None:
                export = await self._advance(export, segment, _advanced(export, [], [], segment), fence)
        return export

    def _is_full(self, progress: ExportProgress) -> bool:
        return progress.content_bytes + progress.directory_bytes >= int(self._settings.current("exportMaxSize"))

    async def _segment(
        self, export: Export, read: Sequence[ReadMessage], spool: Spool
    ) -> tuple[list[ReadMessage], Segment | None]:
        """Have the messages on disk; returns those that were still written before the file was full."""
        limit = int(self._settings.current("exportMaxSize"))
        fill, written = write_messages(export, read, spool, limit_bytes=limit)
        try:
            segment = await asyncio.to_thread(self._files.write, export, export.progress.segments, fill)
        except OSError as error:
            raise FileFailed(f"the file cannot be written: {error.strerror or error}") from error
        return written, segment

    async def _advance(self, export: Export, segment: Segment | None, progress: ExportProgress, fence: Fence) -> Export:
        if not await self._store.commit(self._store.exports.advance(export, segment, progress, fence)):
            raise ExportOver
        return dataclasses.replace(
            export, status=ExportStatus.PROCESSING, phase=ExportPhase.EXPORTING, progress=progress
        )

    # -- ends ------------------------------------------------------------------------------------

    async def _complete(self, account: Account, export: Export, fence: Fence) -> None:
        now_ms = self._clock.now_ms()
        end = self._end(ExportStatus.COMPLETED, ExportPhase.COMPLETE, now_ms)
        whole = dataclasses.replace(export, phase=ExportPhase.COMPLETE)
        event = completed_event(whole, now_ms, end.expires_ms)
        if await self._store.commit(self._store.exports.end(export, end, event, fence)):
            _log.info("export_completed", account=account.id, export=export.id, messages=export.progress.exported)

    async def _after_failure(self, account: Account, export: Export, error: Exception, fence: Fence) -> float:
        """Wait for a server that is away, as long as there is patience; let the export fail otherwise."""
        known = await self._store.exports.get(export.account, export.id)
        if known is None or not known.status.active:
            return 0.0
        now_ms = self._clock.now_ms()
        if is_away(error) or isinstance(error, AuthenticationFailed):
            since_ms = now_ms if known.away_since_ms is None else known.away_since_ms
            patience_ms = self._options.patience_seconds * 1000
            if now_ms - since_ms < patience_ms:
                await self._store.commit(self._store.exports.note_away(known, now_ms, fence))
                left = (since_ms + patience_ms - now_ms) / 1000
                _log.info("export_waits", account=account.id, export=export.id, error=str(error))
                return min(_pause(error, (now_ms - since_ms) / 1000), left)
        if not isinstance(error, MailquayError):
            _log.error("export_failed", account=account.id, export=export.id, exc_info=error)
            error = MailquayError("something failed on the server; its log tells more")
        await self._fail(account, known, error, fence)
        return 0.0

    async def _fail(self, account: Account, export: Export, error: MailquayError, fence: Fence) -> None:
        now_ms = self._clock.now_ms()
        end = dataclasses.replace(
            self._end(ExportStatus.FAILED, export.phase, now_ms), error=error.message, error_code=error.code
        )
        event = failed_event(export, error, now_ms)
        await self._store.commit(self._store.exports.end(export, end, event, fence))
        self._paces.pop(export.number, None)
        _log.warning("export_failed", account=account.id, export=export.id, code=error.code, error=error.message)

    def _end(self, status: ExportStatus, phase: ExportPhase, now_ms: int) -> ExportEnd:
        return ExportEnd(status, phase, now_ms, now_ms + int(self._options.retention_seconds * 1000))


def _advanced(
    export: Export, batch: Sequence[PlannedMessage], written: Sequence[ReadMessage], segment: Segment | None
) -> ExportProgress:
    """The progress after a batch."""
    progress = export.progress
    if segment is not None:
        progress = dataclasses.replace(
            progress,
            segments=progress.segments + 1,
            content_bytes=progress.content_bytes + segment.content_bytes,
            directory_bytes=progress.directory_bytes + segment.directory_bytes,
        )
    if not batch:
        return progress
    return dataclasses.replace(
        progress,
        exported=progress.exported + len(written),
        skipped=progress.skipped + len(batch) - len(written),
        after_date_ms=batch[-1].date_ms,
        after_mailbox=batch[-1].mailbox,
        after_uid=batch[-1].uid,
    )


def _pause(error: Exception, away_seconds: float) -> float:
    """How long to wait: as the server asks, else the longer the longer it has been away."""
    if isinstance(error, RateLimited):
        return max(_SHORTEST_PAUSE_SECONDS, error.retry_after_seconds)
    return min(_LONGEST_PAUSE_SECONDS, max(_SHORTEST_PAUSE_SECONDS, away_seconds / 2))


async def _first(work: asyncio.Task[float], changed: asyncio.Event) -> bool:
    """Wait for the end of the work (True), or for news (False)."""
    news = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait([work, news], return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()
    return work.done()
