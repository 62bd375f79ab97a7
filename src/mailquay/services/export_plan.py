"""Which messages an export holds: asked of the server mailbox by mailbox, and noted in the order of their dates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from mailquay.backends.interface import SearchTerms
from mailquay.errors import MailboxNotFound, Unavailable
from mailquay.model.account import Account
from mailquay.model.export import Export, ExportRequest, PlannedFolder, PlannedMessage
from mailquay.model.mailbox import SPECIAL_USES, Mailbox
from mailquay.model.node import Fence
from mailquay.services.account_status import not_operational
from mailquay.services.export_reader import ExportReader, known_again
from mailquay.services.ports import MailAccess
from mailquay.services.sequences import sequence_set
from mailquay.storage.store import Store

_BATCH: Final = 1000
_SESSION_SECONDS: Final = 30.0
_UNWANTED: Final = ("\\Junk", "\\Trash")


class ExportOver(Exception):
    """The export was cancelled or is gone."""


class ExportPlanner:
    """Looks through the mailboxes of an export; what it has found stays found when it is stopped."""

    def __init__(self, store: Store, access: MailAccess, reader: ExportReader) -> None:
        self._store = store
        self._access = access
        self._reader = reader

    async def plan(self, account: Account, export: Export, fence: Fence) -> Export:
        """Note every message; returns the export with what is known of it now.

        Raises ExportOver, MailboxNotFound, NotOperational, and what a session raises.
        """
        folders = await self._store.exports.folders(export.number)
        if not folders:
            chosen = await self._chosen(account, export.request)
            folders = [
                PlannedFolder(n, box.listing.path, box.number, None, scanned=False) for n, box in enumerate(chosen)
            ]
            if not await self._store.commit(self._store.exports.begin(export, folders, fence)):
                raise ExportOver
        progress = dataclasses.replace(
            export.progress, folders_total=len(folders), queued=await self._store.exports.planned(export.number)
        )
        for folder in folders:
            if folder.scanned:
                continue
            found, folder = await self._scan(account, export, folder, fence)
            progress = dataclasses.replace(
                progress, folders_scanned=progress.folders_scanned + 1, queued=progress.queued + found
            )
            if not await self._store.commit(self._store.exports.scanned(export, folder, progress, fence)):
                raise ExportOver
        # What was found twice, before a stop and after it, counts once.
        queued = await self._store.exports.planned(export.number)
        return dataclasses.replace(export, progress=dataclasses.replace(progress, queued=queued))

    async def _chosen(self, account: Account, request: ExportRequest) -> Sequence[Mailbox]:
        """The mailboxes of a request; without folders the one of all mail, else all but junk and trash."""
        known = present(await self._store.mailboxes.of_account(account.number))
        if not known:
            raise not_operational(account.status.state)
        if request.folders:
            found, missing = resolve(known, request.folders)
            if missing:
                raise MailboxNotFound(f"the account has no mailbox {', '.join(missing)}")
            return found
        mail = [box for box in known if not box.listing.groupware]
        everything = [box for box in mail if box.listing.special_use == "\\All"]
        return everything or [box for box in mail if box.listing.special_use not in _UNWANTED]

    async def _scan(
        self, account: Account, export: Export, folder: PlannedFolder, fence: Fence
    ) -> tuple[int, PlannedFolder]:
        """Note the messages of one mailbox; how many, and the mailbox with the UIDVALIDITY that they have there."""
        mailbox = await self._store.mailboxes.get(folder.mailbox)
        if mailbox is None:
            folder, mailbox = await self._found_again(account, export, folder, fence)
        if mailbox is None or mailbox.missing_since_ms is not None:
            return 0, folder
        path, request = mailbox.listing.path, export.request
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            try:
                uidvalidity = (await session.open_mailbox(path)).uidvalidity or 0
            except MailboxNotFound as error:
                # Perhaps it was renamed: the listing of the mailboxes will say.
                raise Unavailable(error.message, code=error.code) from error
            if mailbox.uidvalidity not in (None, uidvalidity):
                self._access.nudge(account.number, [path])
                raise Unavailable("the server has replaced the mailbox, which is read anew")
            uids = await session.search(_around(request))
        found = 0
        for start in range(0, len(uids), _BATCH):
            planned: list[PlannedMessage] = []
            async with self._reader.opened(account, mailbox, uidvalidity) as session:
                async for batch in session.fetch_identifiers(sequence_set(uids[start : start + _BATCH])):
                    for entry in batch:
                        # A server that tells no date has found the message by it all the same.
                        date_ms = request.start_ms if entry.internal_date_ms is None else entry.internal_date_ms
                        if request.start_ms <= date_ms < request.end_ms:
                            planned.append(PlannedMessage(date_ms, mailbox.number, entry.uid, entry.size_bytes or 0))
            if not await self._store.commit(self._store.exports.plan(export, planned, fence)):
                raise ExportOver
            found += len(planned)
        return found, dataclasses.replace(folder, uidvalidity=uidvalidity)

    async def _found_again(
        self, account: Account, export: Export, folder: PlannedFolder, fence: Fence
    ) -> tuple[PlannedFolder, Mailbox | None]:
        """A mailbox whose number is gone, under the one that it has now: the account was flushed, or it was replaced.

        What was noted under the former number is forgotten: UIDs may mean other messages now.
        """
        mailbox = await self._store.mailboxes.by_path(account.number, folder.path)
        if mailbox is None:
            await known_again(self._store, account)
            return folder, None
        more: bool | None = True
        while more:
            unit = self._store.exports.renumber(export, folder, mailbox.number, _BATCH, fence)
            more = await self._store.commit(unit)
        if more is None:
            raise ExportOver
        return dataclasses.replace(folder, mailbox=mailbox.number), mailbox


def present(mailboxes: Sequence[Mailbox]) -> list[Mailbox]:
    """Those that are there and can hold messages."""
    return [box for box in mailboxes if box.missing_since_ms is None and box.listing.selectable]


def resolve(known: Sequence[Mailbox], folders: Sequence[str]) -> tuple[list[Mailbox], list[str]]:
    """The mailboxes that paths and special-use tags name, each once, and the names of which there is none."""
    by_path = {box.listing.path: box for box in known}
    by_use = {box.listing.special_use: box for box in reversed(known)}
    found: dict[int, Mailbox] = {}
    missing: list[str] = []
    for name in folders:
        if name in SPECIAL_USES:
            box = by_use.get(name)
        else:
            box = by_path.get("INBOX" if name.upper() == "INBOX" else name)
        if box is None:
            missing.append(name)
        else:
            found[box.number] = box
    return list(found.values()), missing


def _around(request: ExportRequest) -> SearchTerms:
    """The days of a request and one more on each side: time and zone do not count in searches (RFC 9051 §6.4.4)."""
    first = _day(request.start_ms) - timedelta(days=1)
    behind = _day(request.end_ms) + timedelta(days=2)
    return SearchTerms(dates={"since": f"{first:%Y-%m-%d}", "before": f"{behind:%Y-%m-%d}"})


def _day(time_ms: int) -> datetime:
    """The day of a time, kept away from the ends of what can be said."""
    bounded = min(max(time_ms, 0), 253_370_764_800_000)
    return datetime.fromtimestamp(bounded // 1000, UTC)
