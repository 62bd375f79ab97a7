"""Further mailboxes of an account that are watched like the first one, each with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from mailquay.backends.interface import MailBackend
from mailquay.errors import MailquayError, RateLimited
from mailquay.model.mailbox import Mailbox
from mailquay.runtime.backoff import Backoff, spread_out
from mailquay.runtime.catch_up import CatchUp

_log = structlog.get_logger(__name__)
MAX_SUBCONNECTIONS = 10


def chosen_paths(wanted: Iterable[str], mailboxes: Sequence[Mailbox], *, watched: str) -> list[str]:
    """The paths that an account's subconnections name, by path or special use; the watched one and doubles left out."""
    paths: list[str] = []
    for name in wanted:
        for box in mailboxes:
            path = box.listing.path
            if name in (path, box.listing.special_use) and path != watched and path not in paths:
                paths.append(path)
    return paths[:MAX_SUBCONNECTIONS]


class Subconnections:
    """Watches mailboxes until cancelled. One that fails is tried again by itself and takes nothing else down."""

    def __init__(self, backend: MailBackend, catch_up: CatchUp, backoff: tuple[float, float]) -> None:
        self._backend = backend
        self._catch_up = catch_up
        self._backoff = backoff
        self.connections = 0

    async def watch(self, paths: Sequence[str], account_id: str) -> None:
        """Have each of the mailboxes caught up with as soon as something happens in it."""
        async with asyncio.TaskGroup() as tasks:
            for path in paths:
                tasks.create_task(self._keep_watching(path, account_id))

    async def _keep_watching(self, path: str, account_id: str) -> None:
        backoff = Backoff(*self._backoff)
        while True:
            pause_seconds = 0.0
            try:
                await self._watch(path, backoff)
            except MailquayError as error:
                _log.warning("subconnection_failed", account=account_id, path=path, error=error.message)
                if isinstance(error, RateLimited):
                    pause_seconds = spread_out(error.retry_after_seconds)
            except Exception as error:
                # Whatever it was, the account's other connections know nothing of it.
                _log.error("subconnection_broke", account=account_id, path=path, exc_info=error)
            await asyncio.sleep(max(pause_seconds, backoff.next_seconds()))

    async def _watch(self, path: str, backoff: Backoff) -> None:
        watch = await self._backend.open_watch(path)
        self.connections += 1
        try:
            await watch.start()
            # What happened while nobody looked.
            self._catch_up.nudge([path], scan_flags=True)
            while True:
                if await watch.next_news():
                    backoff.reset()
                    self._catch_up.nudge([path], scan_flags=True)
        finally:
            self.connections -= 1
            await watch.close()
