"""Exports: the request, the plan of messages, and the segments of the file that are on disk."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from mailquay.errors import InvalidRequest, NotFound
from mailquay.model.account import AccountNumber
from mailquay.model.event import NewEvent
from mailquay.model.export import (
    Export,
    ExportPhase,
    ExportProgress,
    ExportRequest,
    ExportStatus,
    PlannedFolder,
    PlannedMessage,
    Segment,
)
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.node import Fence
from mailquay.storage.codec import from_json, to_json
from mailquay.storage.interface import (
    EXPORT_FILES_DUE,
    EXPORTS_CHANGED,
    Database,
    Pending,
    Row,
    Run,
    RunMany,
    Script,
    Unit,
)
from mailquay.storage.repositories.fencing import check_fence
from mailquay.storage.repositories.upkeep import drop_export, forget_export_plan
from mailquay.storage.secrets import KEY_BYTES, Vault


@dataclasses.dataclass(frozen=True, slots=True)
class ExportEntry:
    """An export as lists show it."""

    id: str
    status: ExportStatus
    created_ms: int
    expires_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class ExportEnd:
    """How an export ended; `error` and `error_code` of a failed one."""

    status: ExportStatus
    phase: ExportPhase
    now_ms: int
    expires_ms: int
    error: str | None = None
    error_code: str | None = None


class ExportRepository:
    """Reads and units of work about exports."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    # -- reads -----------------------------------------------------------------------------------

    async def get(self, account: int, export_id: str) -> Export | None:
        """One export of an account."""
        rows = await self._database.point("export_by_id", export_id, account)
        return self._export(rows[0]) if rows else None

    async def next_active(self, account: int) -> Export | None:
        """The oldest export of an account that is to be worked on."""
        rows = await self._database.point("export_next", account)
        return self._export(rows[0]) if rows else None

    async def page(self, account: int, *, limit: int, offset: int) -> tuple[int, list[ExportEntry]]:
        """How many exports an account has, and some of them, newest first."""
        [(total,)] = await self._database.fetch("export_count", account)
        rows = await self._database.fetch("export_page", account, limit, offset)
        return int(total), [ExportEntry(row[0], ExportStatus(row[1]), row[2], row[3]) for row in rows]

    async def active_accounts(self) -> list[int]:
        """The accounts that have exports to be worked on."""
        return [int(number) for (number,) in await self._database.fetch("export_accounts")]

    async def places(self) -> dict[str, str | None]:
        """The exports whose files are of use, each with the place where they lie, None while there are none."""
        return {row[0]: row[1] for row in await self._database.fetch("export_places")}

    async def folders(self, number: int) -> list[PlannedFolder]:
        """The mailboxes of an export."""
        rows = await self._database.fetch("export_folders", number)
        return [PlannedFolder(row[0], row[1], MailboxNumber(row[2]), row[3], bool(row[4])) for row in rows]

    async def planned(self, number: int) -> int:
        """How many messages the plan has."""
        [(count,)] = await self._database.fetch("export_messages_count", number)
        return int(count)

    async def following(self, number: int, progress: ExportProgress, limit: int) -> list[PlannedMessage]:
        """The next messages of the plan behind those that were dealt with."""
        place = (progress.after_date_ms, progress.after_mailbox, progress.after_uid)
        rows = await self._database.fetch("export_messages_after", number, *place, limit)
        return [PlannedMessage(row[0], MailboxNumber(row[1]), row[2], row[3]) for row in rows]

    async def segments(self, number: int) -> list[Segment]:
        """What is on disk, in the order of the file."""
        return [Segment(*row) for row in await self._database.fetch("export_segments", number)]

    # -- units -----------------------------------------------------------------------------------

    def create(
        self,
        account: AccountNumber,
        export_id: str,
        request: ExportRequest,
        now_ms: int,
        *,
        of_account: int,
        of_instance: int,
    ) -> Unit[None]:
        """Queue an export.

        Raises InvalidRequest (TooManyExports) when so many of the account, or of all accounts, are not over, NotFound
        when the account was removed meanwhile.
        """
        sealed = self._vault.seal(secrets.token_bytes(KEY_BYTES), table="exports", column="secret", row=export_id)

        def script(pending: Pending) -> Script[None]:
            if not (yield Run("account_hold", (account,))):
                raise NotFound("the account has been removed")
            # Whoever draws a number waits until the one before is counted.
            [(number,)] = yield Run("export_draw")
            [(total, own)] = yield Run("export_counts", (account,))
            if own >= of_account:
                raise InvalidRequest(f"{own} exports of the account are not over", code="TooManyExports")
            if total >= of_instance:
                raise InvalidRequest(f"{total} exports are not over", code="TooManyExports")
            progress = to_json(ExportProgress())
            yield Run("export_insert", (number, export_id, account, to_json(request), sealed, progress, now_ms))
            pending.signal(EXPORTS_CHANGED, account)

        return script

    def begin(self, export: Export, folders: Sequence[PlannedFolder], fence: Fence) -> Unit[bool]:
        """Note which mailboxes are to be looked through; False when the export is over.

        Raises Fenced when the caller is not the owner any more.
        """
        progress = dataclasses.replace(export.progress, folders_total=len(folders))

        def script(_pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            # What a former owner noted before it was stopped half-way.
            yield Run("export_folders_forget", (export.number,))
            rows = [(export.number, folder.n, folder.path, folder.mailbox) for folder in folders]
            yield RunMany("export_folder_insert", rows)
            yield Run("export_update", (export.number, ExportPhase.INDEXING.value, to_json(progress)))
            return True

        return script

    def plan(self, export: Export, messages: Sequence[PlannedMessage], fence: Fence) -> Unit[bool]:
        """Add messages to the plan; those that it has already count once. False when the export is over.

        Raises Fenced when the caller is not the owner any more.
        """
        rows = [(export.number, one.date_ms, one.mailbox, one.uid, one.size_bytes) for one in messages]

        def script(_pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            yield RunMany("export_message_insert", rows)
            return True

        return script

    def scanned(self, export: Export, folder: PlannedFolder, progress: ExportProgress, fence: Fence) -> Unit[bool]:
        """A mailbox has been looked through, under the UIDVALIDITY of `folder`; False when the export is over.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            yield Run("export_folder_scanned", (export.number, folder.n, folder.uidvalidity))
            yield Run("export_update", (export.number, ExportPhase.INDEXING.value, to_json(progress)))
            return True

        return script

    def renumber(
        self, export: Export, folder: PlannedFolder, number: MailboxNumber, limit: int, fence: Fence
    ) -> Unit[bool | None]:
        """A mailbox that is to be looked through has another number now; what was noted of it is forgotten in steps.

        Returns whether there is more to forget, None when the export is over. Raises Fenced when the caller is not the
        owner any more.
        """

        def script(_pending: Pending) -> Script[bool | None]:
            if not (yield from _still_active(export, fence)):
                return None
            if len((yield Run("export_messages_forget", (export.number, folder.mailbox, limit)))) == limit:
                return True
            yield Run("export_folder_renumber", (export.number, folder.n, number))
            return False

        return script

    def settle(self, export: Export, place: str, node: str, fence: Fence, *, anew: bool) -> Unit[ExportProgress | None]:
        """Write the file at this place from now on; with `anew` what is written is given up.

        Returns the progress to go on from, None when the export is over. Raises Fenced when the caller is not the owner
        any more.
        """

        def script(_pending: Pending) -> Script[ExportProgress | None]:
            if not (yield from _still_active(export, fence)):
                return None
            progress = export.progress
            if anew:
                yield Run("export_segments_forget", (export.number,))
                progress = dataclasses.replace(
                    ExportProgress(),
                    folders_total=progress.folders_total,
                    folders_scanned=progress.folders_scanned,
                    queued=progress.queued,
                )
            yield Run("export_settle", (export.number, place, node, to_json(progress)))
            return progress

        return script

    def advance(self, export: Export, segment: Segment | None, progress: ExportProgress, fence: Fence) -> Unit[bool]:
        """A segment is on disk (None: all its messages are gone), and so much is done; False when the export is over.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            if segment is not None:
                yield Run("export_segment_insert", (export.number, *dataclasses.astuple(segment)))
            yield Run("export_update", (export.number, ExportPhase.EXPORTING.value, to_json(progress)))
            return True

        return script

    def note_away(self, export: Export, now_ms: int, fence: Fence) -> Unit[bool]:
        """The mail server cannot be reached, since now unless it was so before; False when the export is over.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(_pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            yield Run("export_away", (export.number, now_ms))
            return True

        return script

    def end(self, export: Export, end: ExportEnd, event: NewEvent, fence: Fence) -> Unit[bool]:
        """Complete an export or let it fail, with its event; False when it is over already.

        Raises Fenced when the caller is not the owner any more.
        """

        def script(pending: Pending) -> Script[bool]:
            if not (yield from _still_active(export, fence)):
                return False
            yield from _end(export.number, end, pending)
            pending.append(event)
            return True

        return script

    def delete(self, account: AccountNumber, export_id: str, end: ExportEnd) -> Unit[bool]:
        """Cancel an export that is not over, else forget it; False when there is none."""

        def script(pending: Pending) -> Script[bool]:
            rows = yield Run("export_lock_by_id", (export_id, account))
            if not rows:
                return False
            number, status = rows[0]
            if ExportStatus(status).active:
                yield from _end(number, end, pending)
            else:
                yield from drop_export(number, pending)
            pending.signal(EXPORTS_CHANGED, account)
            return True

        return script

    def expire(self, now_ms: int, limit: int) -> Unit[int]:
        """Forget up to `limit` exports whose time is over; returns how many those were."""

        def script(pending: Pending) -> Script[int]:
            found = yield Run("export_expired", (now_ms, limit))
            for (number,) in found:
                yield from drop_export(number, pending)
            return len(found)

        return script

    # -- parts -----------------------------------------------------------------------------------

    def _export(self, row: Row) -> Export:
        number, export_id, account, request, sealed, status, phase, progress, place, node, *rest = row
        error, error_code, created_ms, away_since_ms, ended_ms, expires_ms = rest
        return Export(
            number=number,
            id=export_id,
            account=AccountNumber(account),
            request=from_json(request, ExportRequest),
            status=ExportStatus(status),
            phase=ExportPhase(phase),
            key=self._vault.open(bytes(sealed), table="exports", column="secret", row=export_id),
            progress=from_json(progress, ExportProgress),
            created_ms=created_ms,
            place=place,
            node=node,
            error=error,
            error_code=error_code,
            away_since_ms=away_since_ms,
            ended_ms=ended_ms,
            expires_ms=expires_ms,
        )


def _still_active(export: Export, fence: Fence) -> Script[bool]:
    yield from check_fence(fence)
    rows = yield Run("export_lock", (export.number,))
    return bool(rows) and ExportStatus(rows[0][0]).active


def _end(number: int, end: ExportEnd, pending: Pending) -> Script[None]:
    yield Run(
        "export_end",
        (number, end.status.value, end.phase.value, end.error, end.error_code, end.now_ms, end.expires_ms),
    )
    yield from forget_export_plan(number, pending)
    if end.status is not ExportStatus.COMPLETED:
        pending.signal(EXPORT_FILES_DUE)
