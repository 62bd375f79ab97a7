"""Which mailboxes of an account wait to be brought up to date, who waits for them, and which one comes next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mailquay.errors import MailquayError


@dataclass(slots=True)
class Request:
    """What is to be done with one mailbox; with `verify` all its UIDs are compared. `waiters` hear how it ended.

    `hurry`: a user waits.
    """

    scan_flags: bool = False
    verify: bool = False
    hurry: bool = False
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    def answer(self, failure: MailquayError | None) -> None:
        """Tell those who wait."""
        for waiter in self.waiters:
            if waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)


class RequestQueue:
    """Requests for the same mailbox are merged. Every second one taken is the oldest, so that none waits for ever.

    In between those come first that a user waits for, then `watched`: when somebody has asked for a sync, all
    mailboxes of an account are in here, and neither a page that a user wants to see nor new mail shall stand behind.
    """

    def __init__(self, watched: str) -> None:
        self._watched = watched
        self._requests: dict[str, Request] = {}
        self._taken: str | None = None
        self._hurry = False
        self._filled = asyncio.Event()

    def add(self, path: str, *, scan_flags: bool, verify: bool = False) -> Request:
        """Ask for a mailbox; the request may still be added to."""
        request = self._requests.setdefault(path, Request())
        request.scan_flags = request.scan_flags or scan_flags
        request.verify = request.verify or verify
        self._filled.set()
        return request

    def wait_for(self, path: str, *, hurry: bool) -> asyncio.Future[None]:
        """Ask for a mailbox with all its flags; the future hears how it ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(_mark_retrieved)
        request = self.add(path, scan_flags=True)
        request.hurry = request.hurry or hurry
        request.waiters.append(waiter)
        return waiter

    def holds(self, path: str) -> bool:
        """Whether a mailbox was asked for and is not done."""
        return path in self._requests or path == self._taken

    def waits(self, path: str) -> bool:
        """Whether a mailbox was asked for and is not even taken: once more, if it is being done."""
        return path in self._requests

    async def take(self) -> tuple[str, Request]:
        """The next one, which counts as not done until the one after it is taken."""
        self._taken = None
        while not self._requests:
            self._filled.clear()
            await self._filled.wait()
        self._taken = path = self._next()
        return path, self._requests.pop(path)

    def _next(self) -> str:
        oldest = next(iter(self._requests))
        self._hurry = not self._hurry
        if not self._hurry:
            return oldest
        waited_for = (path for path, request in self._requests.items() if request.hurry)
        if (path := next(waited_for, None)) is not None:
            return path
        return self._watched if self._watched in self._requests else oldest

    def abandon(self, error: MailquayError) -> None:
        """Forget them all; those who wait get the error."""
        for request in self._requests.values():
            request.answer(error)
        self._requests.clear()


def _mark_retrieved(waiter: asyncio.Future[None]) -> None:
    """Whoever waited may have gone when the connection broke; there is nothing more to be told then."""
    if not waiter.cancelled():
        waiter.exception()
