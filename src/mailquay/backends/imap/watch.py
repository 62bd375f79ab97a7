"""A connection that only looks at one mailbox: IDLE, or NOOP at intervals where the server has no IDLE."""

from __future__ import annotations

import asyncio

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.idle import IdleSession
from mailquay.backends.interface import WatchNews
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import Exists, Expunge, UntaggedResponse

_POLL_SECONDS = 30.0


class ImapWatch:
    """See MailWatch. Every renewal of IDLE is a round trip with a deadline, so a dead connection does not go unseen."""

    def __init__(self, connection: ImapConnection, path: str, *, restart_seconds: float) -> None:
        self._connection = connection
        self._path = path
        self._restart_seconds = restart_seconds
        self._idle: IdleSession | None = None
        self._messages = 0

    @property
    def path(self) -> str:
        """See MailWatch.path."""
        return self._path

    async def start(self) -> None:
        """See MailWatch.start."""
        result = await self._connection.execute(Select(self._path, read_only=True))
        exists = result.last(Exists)
        self._messages = exists.count if exists is not None else 0
        if self._connection.has_capability("IDLE"):
            self._idle = await self._connection.idle(restart_seconds=self._restart_seconds)

    async def next_news(self) -> set[WatchNews]:
        """See MailWatch.next_news."""
        news: set[WatchNews] = set()
        while not news:
            if self._idle is None:
                await asyncio.sleep(_POLL_SECONDS)
                result = await self._connection.execute(Noop())
                for response in result.untagged:
                    self._note(response, news)
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
            news.add(WatchNews.EXPUNGED)
        elif isinstance(response, FetchResponse):
            news.add(WatchNews.FLAGS)

    async def close(self) -> None:
        """See MailWatch.close."""
        await self._connection.aclose()
