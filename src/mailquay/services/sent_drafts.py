"""The draft of a message that was sent: it goes, and only when something is left of it."""

from __future__ import annotations

from enum import Enum

import structlog

from mailquay.errors import MessageNotFound, Unavailable
from mailquay.model.account import Account
from mailquay.model.mailbox import Mailbox
from mailquay.services.identifiers import parse_message_id
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_editor import current_flags
from mailquay.services.places import place_of
from mailquay.services.ports import MailAccess
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)


class Copy(Enum):
    """What is known of the copy among the sent mail."""

    FILED = "filed"
    UNWANTED = "unwanted"
    LACKING = "lacking"


class SentDrafts:
    """Removes drafts. A draft that is gone, or was moved elsewhere, is left to whoever did that."""

    def __init__(self, store: Store, access: MailAccess, mailboxes: MailboxService) -> None:
        self._store = store
        self._access = access
        self._mailboxes = mailboxes

    async def uid_in(self, account: Account, draft: str, path: str) -> int | None:
        """The UID of a draft, given by its public id, where it stands in the mailbox at a path."""
        try:
            mailbox, ref = await place_of(self._store, account.number, parse_message_id(draft))
        except MessageNotFound:
            return None
        return ref.uid if mailbox.listing.path == path else None

    async def remove(self, account: Account, draft: str, copy: Copy, *, timeout_seconds: float) -> list[str]:
        """Expunge a draft that has its copy, else move it to the trash; the paths of the mailboxes that changed.

        Where there is no trash, only what nobody wanted a copy of is expunged. Doing it again does no harm. Raises what
        a session raises, Unavailable while the mailbox is being read anew.
        """
        try:
            mailbox, ref = await place_of(self._store, account.number, parse_message_id(draft))
        except MessageNotFound:
            return []
        trash = None if copy is Copy.FILED else await self._mailboxes.with_special_use(account, "\\Trash")
        if trash is None and copy is Copy.LACKING:
            _log.warning("sent_draft_left", account=account.id, path=mailbox.listing.path)
            return []
        if trash is not None and trash.number == mailbox.number:
            return []
        if not await self._take_out(account, mailbox, ref.uid, trash, timeout_seconds):
            return []
        return [mailbox.listing.path] if trash is None else [mailbox.listing.path, trash.listing.path]

    async def _take_out(
        self, account: Account, mailbox: Mailbox, uid: int, trash: Mailbox | None, timeout_seconds: float
    ) -> bool:
        """Take a message out of its mailbox; False when it is not there any more."""
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=timeout_seconds) as session:
            opened = await session.open_mailbox(path, writable=True)
            if mailbox.uidvalidity not in (None, opened.uidvalidity or 0):
                raise Unavailable("the server has replaced the mailbox, which is read anew")
            try:
                await current_flags(session, uid)
            except MessageNotFound:
                return False
            if trash is None:
                await session.expunge(str(uid))
            else:
                await session.move(str(uid), trash.listing.path)
        return True
