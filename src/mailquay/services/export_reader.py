"""Reading the messages of an export out of one mailbox, with sessions that are given back after each step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from mailquay.backends.interface import MailSession
from mailquay.errors import Unavailable
from mailquay.model.account import Account
from mailquay.model.export import ExportFormat, ExportRequest, PlannedMessage
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry, Uid
from mailquay.services.export_formats import ReadMessage
from mailquay.services.export_lines import LineReading, failed_line
from mailquay.services.export_reading import Pieces
from mailquay.services.export_sources import SourceReading
from mailquay.services.ports import MailAccess
from mailquay.storage.export_files import Spool
from mailquay.storage.store import Store

_SESSION_SECONDS: Final = 30.0


class MailboxInMotion(Unavailable):
    """The mailbox is not where, or what, it was when the export was planned; soon it is known what became of it."""


class ExportReader:
    """Reads messages of one mailbox, as an export wants them. `max_content_bytes` bounds each text and attachment."""

    def __init__(self, store: Store, access: MailAccess, *, max_content_bytes: int) -> None:
        self._store = store
        self._access = access
        self._max_content_bytes = max_content_bytes

    async def read(
        self,
        account: Account,
        mailbox: Mailbox,
        uidvalidity: int,
        messages: Sequence[PlannedMessage],
        request: ExportRequest,
        spool: Spool,
    ) -> dict[PlannedMessage, ReadMessage | None]:
        """The messages that are still there; None for one that cannot be had in this format.

        Raises what the session raises, but not for a message that the server refuses alone.
        """
        by_uid = {one.uid: one for one in messages}
        opened = partial(self.opened, account, mailbox, uidvalidity)
        known = (account, mailbox, request, spool, opened, self._max_content_bytes)
        found: dict[int, Pieces | None]
        if request.format is ExportFormat.NDJSON:
            found = await LineReading(*known, self._store).lines(list(by_uid))
        else:
            found = await SourceReading(*known).sources(messages)
        return {
            by_uid[uid]: None if pieces is None else ReadMessage(by_uid[uid], mailbox.listing, pieces)
            for uid, pieces in found.items()
        }

    async def unreadable(
        self, mailbox: Mailbox, message: PlannedMessage, request: ExportRequest, reason: str
    ) -> ReadMessage | None:
        """What is known of a message that its server does not give; None where the format has no place for that."""
        if request.format is not ExportFormat.NDJSON:
            return None
        entry = await self._store.messages.get(mailbox.number, message.uid) or _bare(message)
        return ReadMessage(message, mailbox.listing, [failed_line(mailbox, entry, reason)])

    @asynccontextmanager
    async def opened(self, account: Account, mailbox: Mailbox, uidvalidity: int) -> AsyncIterator[MailSession]:
        """A session that has the mailbox open, under the UIDVALIDITY that the plan was made with.

        Raises MailboxInMotion while another mailbox stands at its path.
        """
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            if session.selected != path or (session.selected_uidvalidity or 0) != uidvalidity:
                await self._open(session, account, path, uidvalidity)
            yield session

    async def check(self, account: Account, mailbox: Mailbox, uidvalidity: int) -> None:
        """Ask the server whether that mailbox is still at its path; raises MailboxInMotion when it is not."""
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            await self._open(session, account, path, uidvalidity)

    async def _open(self, session: MailSession, account: Account, path: str, uidvalidity: int) -> None:
        if ((await session.open_mailbox(path)).uidvalidity or 0) != uidvalidity:
            self._access.nudge(account.number, [path])
            raise MailboxInMotion("the server has replaced the mailbox, which is read anew")


async def known_again(store: Store, account: Account) -> None:
    """Return when the mailboxes of an account are known, so that one that is not among them is gone.

    Raises MailboxInMotion after a flush, until the server has listed them.
    """
    if not await store.mailboxes.of_account(account.number):
        raise MailboxInMotion("the account was flushed, and is read anew")


def _bare(message: PlannedMessage) -> IndexEntry:
    return IndexEntry(Uid(message.uid), internal_date_ms=message.date_ms, size_bytes=message.size_bytes)
