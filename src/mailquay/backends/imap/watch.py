"""A connection that only looks at one mailbox: IDLE, or opening it again at intervals where there is no IDLE."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.idle import MOST_AT_ONCE, IdleSession
from mailquay.backends.interface import MailboxNews, MailboxNewsKind, Survey
from mailquay.errors import BackendError, CommandRejected, PartUnavailable, Unsupported
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.condstore import HighestModSeq, Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import Exists, Expunge, UntaggedResponse
from mailquay.wire.imap.response_code import UidNext

_log = structlog.get_logger(__name__)
_LOOK_SECONDS: Final = 55.0
"""How long opening the watched mailbox may take; with the pause before it, a dead connection is found in time."""


class ImapWatch:
    """See MailWatch. Every renewal of IDLE is a round trip with a deadline, so a dead connection does not go unseen."""

    def __init__(self, connection: ImapConnection, path: str, *, restart_seconds: float, poll_seconds: float) -> None:
        self._connection = connection
        self._path = path
        self._restart_seconds = restart_seconds
        self._poll_seconds = poll_seconds
        self._idle: IdleSession | None = None
        self._messages = 0
        self._uidnext: int | None = None
        self._modseq: int | None = None

    @property
    def path(self) -> str:
        """See MailWatch.path."""
        return self._path

    @property
    def everywhere(self) -> bool:
        """See MailWatch.everywhere."""
        return False

    async def start(self, *, survey: bool = False) -> Survey | None:
        """See MailWatch.start; nothing is surveyed, for the mailbox that is open here has to be opened again."""
        await self._look()
        if not self._connection.has_capability("IDLE"):
            return None
        try:
            self._idle = await self._connection.idle(restart_seconds=self._restart_seconds)
        except (CommandRejected, PartUnavailable) as error:
            _log.warning("idle_refused", path=self._path, error=error.message)
        return None

    async def _look(self) -> bool:
        """Open the mailbox and compare: some servers tell nothing to NOOP, and none of them what changed."""
        seconds = min(_LOOK_SECONDS, self._connection.command_seconds)
        result = await self._connection.execute(Select(self._path, read_only=True), timeout_seconds=seconds)
        exists, uidnext, modseq = result.last(Exists), result.code(UidNext), result.code(HighestModSeq)
        before = (self._messages, self._uidnext, self._modseq)
        self._messages = exists.count if exists is not None else 0
        self._uidnext = uidnext.value if uidnext is not None else None
        self._modseq = modseq.value if modseq is not None else None
        return before != (self._messages, self._uidnext, self._modseq)

    async def next_news(self) -> list[MailboxNews]:
        """See MailWatch.next_news."""
        while True:
            if self._idle is None:
                await asyncio.sleep(self._poll_seconds)
                changed = await self._look()
            else:
                try:
                    changed = await self._heard(self._idle)
                except (CommandRejected, Unsupported) as error:
                    await self._give_up_idle(self._idle, error)
                    changed = True
            if changed:
                return [MailboxNews(MailboxNewsKind.MESSAGES, self._path)]

    async def _give_up_idle(self, idle: IdleSession, error: BackendError) -> None:
        """The server offers IDLE and does not go on with it: its mailbox is looked at like one of a server without."""
        _log.warning("idle_refused", path=self._path, error=error.message)
        self._idle = None
        with suppress(CommandRejected):
            await idle.stop()

    async def _heard(self, idle: IdleSession) -> bool:
        """Wait for responses; True when one of those that came together is news."""
        first = await idle.next()
        if first is None:
            return False
        changed = self._note(first)
        # What came in the same breath is the same news.
        for _ in range(MOST_AT_ONCE):
            more = await idle.next(0)
            if more is None:
                break
            changed = self._note(more) or changed
        return changed

    def _note(self, response: UntaggedResponse) -> bool:
        if isinstance(response, Exists):
            changed = response.count != self._messages
            self._messages = response.count
            return changed
        if isinstance(response, Expunge):
            self._messages = max(0, self._messages - 1)
            return True
        if isinstance(response, Vanished):
            self._messages = max(0, self._messages - len(response.uids))
            return True
        return isinstance(response, FetchResponse)

    async def close(self) -> None:
        """See MailWatch.close."""
        await self._connection.aclose()
