"""Exports for the API: ask for one, see how far it is, cancel it, download its file."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from mailquay.errors import InvalidRequest, MailboxNotFound, NotFound, NotOperational
from mailquay.model.account import Account
from mailquay.model.export import Export, ExportPhase, ExportRequest, ExportStatus, Segment
from mailquay.services.export_events import bytes_written
from mailquay.services.export_formats import CONTENT_TYPES, EXTENSIONS, file_end
from mailquay.services.export_plan import present, resolve
from mailquay.services.message_request import Download
from mailquay.services.ports import Clock
from mailquay.services.presentation import iso
from mailquay.services.settings import SettingsService
from mailquay.storage.export_files import ExportFiles
from mailquay.storage.repositories.exports import ExportEnd
from mailquay.storage.store import Store

_READ_BYTES: Final = 1024 * 1024


class ExportService:
    """What callers ask of exports. Ids of other accounts' exports are unknown ids here."""

    def __init__(
        self, store: Store, settings: SettingsService, files: ExportFiles, clock: Clock, *, retention_seconds: float
    ) -> None:
        self._store = store
        self._settings = settings
        self._files = files
        self._clock = clock
        self._retention_ms = int(retention_seconds * 1000)

    async def create(self, account: Account, request: ExportRequest) -> dict[str, Any]:
        """Queue an export.

        Raises NotOperational for an account without a mailbox, MailboxNotFound with every folder that there is not,
        InvalidRequest (TooManyExports).
        """
        if not account.profile.has_imap:
            raise NotOperational("the account has no mailbox", code="NotSyncing", state=account.status.state.value)
        await self._check_folders(account, request)
        export_id, now_ms = f"exp_{secrets.token_hex(12)}", self._clock.now_ms()
        await self._store.commit(
            self._store.exports.create(
                account.number,
                export_id,
                request,
                now_ms,
                of_account=int(await self._settings.get("exportMaxConcurrent")),
                of_instance=int(await self._settings.get("exportMaxGlobalConcurrent")),
            )
        )
        return {"exportId": export_id, "status": ExportStatus.QUEUED.value, "created": iso(now_ms)}

    async def _check_folders(self, account: Account, request: ExportRequest) -> None:
        known = present(await self._store.mailboxes.of_account(account.number))
        # Nothing is known before the first connection; then it is found out when the work begins.
        missing = resolve(known, request.folders)[1] if known else []
        if missing:
            raise MailboxNotFound(f"the account has no mailbox {', '.join(missing)}")

    async def get(self, account: Account, export_id: str) -> dict[str, Any]:
        """How far an export is.

        Raises NotFound.
        """
        export = await self._find(account, export_id)
        request, progress = export.request, export.progress
        shown: dict[str, Any] = {
            "exportId": export.id,
            "status": export.status.value,
            "phase": export.phase.value,
            "folders": list(request.folders),
            "startDate": iso(request.start_ms),
            "endDate": iso(request.end_ms),
            "format": request.format.value,
            "isEncrypted": True,
            "progress": {
                "foldersScanned": progress.folders_scanned,
                "foldersTotal": progress.folders_total,
                "messagesQueued": progress.queued,
                "messagesExported": progress.exported,
                "messagesSkipped": progress.skipped,
                "bytesWritten": bytes_written(export),
                "percent": percent(export),
            },
            "created": iso(export.created_ms),
        }
        if export.expires_ms is not None:
            shown["expiresAt"] = iso(export.expires_ms)
        if progress.truncated:
            shown["truncated"] = True
        shown["error"] = export.error
        return shown

    async def page(self, account: Account, *, page: int, page_size: int) -> tuple[int, list[dict[str, Any]]]:
        """How many exports an account has, and one page of them, newest first."""
        total, entries = await self._store.exports.page(account.number, limit=page_size, offset=page * page_size)
        shown: list[dict[str, Any]] = []
        for entry in entries:
            one: dict[str, Any] = {
                "exportId": entry.id,
                "status": entry.status.value,
                "created": iso(entry.created_ms),
            }
            if entry.expires_ms is not None:
                one["expiresAt"] = iso(entry.expires_ms)
            shown.append(one)
        return total, shown

    async def delete(self, account: Account, export_id: str) -> None:
        """Cancel an export that is under way, which ends at once; forget any other, with its file.

        Raises NotFound.
        """
        export = await self._find(account, export_id)
        now_ms = self._clock.now_ms()
        end = ExportEnd(ExportStatus.CANCELLED, export.phase, now_ms, now_ms + self._retention_ms)
        if not await self._store.commit(self._store.exports.delete(account.number, export_id, end)):
            raise _unknown()

    async def home(self, account: Account, export_id: str) -> str | None:
        """The address of the node that has the file; None when this one has it, or there is none.

        Raises NotFound, NotOperational when that node is not there.
        """
        export = await self._find(account, export_id)
        if export.status is not ExportStatus.COMPLETED or export.place in (None, self._files.place):
            return None
        now_ms = await self._store.nodes.clock_ms()
        for node in await self._store.nodes.all():
            if node.id == export.node and node.expires_ms >= now_ms:
                return node.address
        raise NotOperational("the node that has the file cannot be reached; try again", code="WorkerNotAvailable")

    @asynccontextmanager
    async def download(self, account: Account, export_id: str) -> AsyncIterator[Download]:
        """The file, decrypted as it streams; a damaged one breaks off before its end.

        Raises NotFound, also (FileNotFound) when the file is gone, InvalidRequest (ExportNotReady).
        """
        export = await self._find(account, export_id)
        if export.status is not ExportStatus.COMPLETED:
            raise InvalidRequest(f"the export is {export.status.value}", code="ExportNotReady")
        segments = await self._store.exports.segments(export.number)
        if export.place not in (None, self._files.place):
            raise NotFound("the file of the export is gone", code="FileNotFound")
        await asyncio.to_thread(self._files.check, export, segments)
        filename = f"{export.id}.{EXTENSIONS[export.request.format]}"
        async with aclosing(_in_thread(self._pieces(export, segments))) as chunks:
            yield Download(CONTENT_TYPES[export.request.format], filename, chunks, bytes_written(export))

    def _pieces(self, export: Export, segments: list[Segment]) -> Generator[bytes, None, None]:
        for segment in segments:
            yield from self._files.content(export, segment)
        for segment in segments:
            yield from self._files.directory(export, segment)
        yield file_end(export)

    async def _find(self, account: Account, export_id: str) -> Export:
        export = await self._store.exports.get(account.number, export_id)
        if export is None:
            raise _unknown()
        return export


def percent(export: Export) -> int:
    """How much of an export is done, from 0 to 100; looking through the mailboxes counts for a tenth."""
    progress = export.progress
    if export.phase is ExportPhase.COMPLETE:
        return 100
    if export.phase is ExportPhase.INDEXING:
        return 10 * progress.folders_scanned // max(1, progress.folders_total)
    return min(99, 10 + 90 * (progress.exported + progress.skipped) // max(1, progress.queued))


def _unknown() -> NotFound:
    return NotFound("there is no such export")


async def _in_thread(pieces: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """The pieces, read and decrypted in threads, about a megabyte at each hop."""

    reading = threading.Lock()

    def some() -> bytes:
        collected = bytearray()
        with reading:
            for piece in pieces:
                collected += piece
                if len(collected) >= _READ_BYTES:
                    break
        return bytes(collected)

    def close() -> None:
        # Whoever gives up does not stop the thread that is at work.
        with reading:
            pieces.close()

    try:
        while chunk := await asyncio.to_thread(some):
            yield chunk
    finally:
        await asyncio.to_thread(close)
