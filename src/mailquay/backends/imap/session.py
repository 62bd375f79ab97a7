"""One logged-in IMAP connection as the services see it (backends.interface.MailSession)."""

from __future__ import annotations

from mailquay.backends.imap.session_changing import SessionChanging
from mailquay.backends.imap.session_mailboxes import SessionMailboxes
from mailquay.backends.imap.session_opening import SessionOpening
from mailquay.wire.imap.command import Noop


class ImapSession(SessionMailboxes, SessionOpening, SessionChanging):
    """See MailSession. What it can do with mailboxes, open ones and messages lies in a file each."""

    async def noop(self) -> None:
        """See MailSession.noop."""
        await self._connection.execute(Noop())

    async def close(self) -> None:
        """See MailSession.close."""
        await self._connection.logout()
