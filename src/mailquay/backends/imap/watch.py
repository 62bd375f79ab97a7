"""A connection that only looks at one mailbox: IDLE, or opening it again at intervals where there is no IDLE."""

from __future__ import annotations

import asyncio

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.idle import IdleSession
from mailquay.backends.interface import WatchNews
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.condstore import HighestModSeq, Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import Exists, Expunge, UntaggedResponse
from mailquay.wire.imap.response_code import UidNext


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

    async def start(self) -> None:
        """See MailWatch.start."""
        await self._look()
        if self._connection.has_capability("IDLE"):
            self._idle = await self._connection.idle(restart_seconds=self._restart_seconds)

    async def _look(self) -> set[WatchNews]:
        """Open the mailbox and compare: some servers tell nothing to NOOP, and none of them what changed."""
        result = await self._connection.execute(Select(self._path, read_only=True))
        exists, uidnext, modseq = result.last(Exists), result.code(UidNext), result.code(HighestModSeq)
        before = (self._messages, self._uidnext, self._modseq)
        self._messages = exists.count if exists is not None else 0
        self._uidnext = uidnext.value if uidnext is not None else None
        self._modseq = modseq.value if modseq is not None else None
        news: set[WatchNews] = set()
        if self._uidnext != before[1] or self._messages > before[0]:
            news.add(WatchNews.ARRIVED)
        if self._messages < before[0]:
            news.add(WatchNews.EXPUNGED)
        if self._modseq != before[2]:
            news.add(WatchNews.FLAGS)
        return news

    async def next_news(self) -> set[WatchNews]:
        """See MailWatch.next_news."""
        news: set[WatchNews] = set()
        while not news:
            if self._idle is None:
                await asyncio.sleep(self._poll_seconds)
                news = await self._look()
                continue
            first = await self._idle.next()
            if first is None:
                continue
            self._note(first, news)
            # What came in the same breath is the same news.
            while (more := await self._idle.next(0)) is not None:
                self._note(more, news)
        return news

    def _note(self, response: UntaggedResponse, news: set[WatchNews]) -> None:
        if isinstance(response, Exists):
            if response.count > self._messages:
                news.add(WatchNews.ARRIVED)
            elif response.count < self._messages:
                news.add(WatchNews.EXPUNGED)
            self._messages = response.count
        elif isinstance(response, Expunge):
            self._messages = max(0, self._messages - 1)
            news.add(WatchNews.EXPUNGED)
        elif isinstance(response, Vanished):
            self._messages = max(0, self._messages - len(response.uids))
            news.add(WatchNews.EXPUNGED)
        elif isinstance(response, FetchResponse):
            news.add(WatchNews.FLAGS)

    async def close(self) -> None:
        """See MailWatch.close."""
        await self._connection.aclose()
