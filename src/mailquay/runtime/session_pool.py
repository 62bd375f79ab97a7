"""Command sessions of one account: opened when needed, reused, closed when idle, never shared by two tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from mailquay.backends.interface import MailBackend, MailSession
from mailquay.errors import (
    BackendError,
    CommandRejected,
    MailboxNotFound,
    MailquayError,
    MessageNotFound,
    PartUnavailable,
    RateLimited,
    Unavailable,
    Unsupported,
)

_log = structlog.get_logger(__name__)
_TRUSTED_SECONDS = 15.0
"""A session that was idle for longer has to prove that it lives before it is used."""
_HARMLESS = (CommandRejected, MailboxNotFound, MessageNotFound, PartUnavailable, Unsupported)


@dataclass(slots=True)
class _Idle:
    session: MailSession
    timer: asyncio.TimerHandle
    since: float


class SessionPool:
    """At most `limit` sessions. A session whose user failed in the middle of a command is not used again.

    One that was idle for more than `trusted_seconds` is asked for a sign of life, so that a connection which died
    meanwhile costs its next user a new one, and not a failure after minutes.
    """

    def __init__(
        self, backend: MailBackend, *, limit: int, idle_seconds: float, trusted_seconds: float = _TRUSTED_SECONDS
    ) -> None:
        self._backend = backend
        self._slots = asyncio.Semaphore(limit)
        self._idle_seconds = idle_seconds
        self._trusted_seconds = trusted_seconds
        self._idle: list[_Idle] = []
        self._open: set[MailSession] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._limited: RateLimited | None = None
        self._limited_until = 0.0

    @property
    def connections(self) -> int:
        """How many sessions are open."""
        return len(self._open)

    @asynccontextmanager
    async def borrow(
        self, *, path: str | None = None, timeout_seconds: float, patient: bool = False
    ) -> AsyncIterator[MailSession]:
        """Use a session alone; one that has `path` open is preferred.

        `patient` waits for its turn however long the others take, and has a deadline for opening alone. Raises
        Unavailable when none comes free or can be opened in time, AuthenticationFailed, RateLimited.
        """
        try:
            async with asyncio.timeout(None if patient else timeout_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable("all connections of the account are busy", code="Timeout") from None
        try:
            session = await self._living(path)
            if session is None:
                session = await self._open_session(timeout_seconds)
            sound = False
            try:
                yield session
                sound = True
            except _HARMLESS:
                sound = True
                raise
            finally:
                self._give_back(session, sound)
        finally:
            self._slots.release()

    async def _open_session(self, timeout_seconds: float) -> MailSession:
        if self._closed:
            raise Unavailable("the account's connections are being closed", code="IMAPConnectionClosing")
        self._obey_limit()
        try:
            async with asyncio.timeout(timeout_seconds):
                session = await self._backend.open_session()
        except RateLimited as error:
            self._limited = error
            self._limited_until = asyncio.get_running_loop().time() + error.retry_after_seconds
            raise
        except TimeoutError:
            raise Unavailable("the mail server did not let us in, in time", code="Timeout") from None
        self._open.add(session)
        return session

    def _obey_limit(self) -> None:
        """Raise RateLimited with what is left of the pause that the server asked for at the last login."""
        left = self._limited_until - asyncio.get_running_loop().time()
        if self._limited is not None and left > 0:
            raise RateLimited(self._limited.message, retry_after_seconds=left, code=self._limited.code)

    async def _living(self, path: str | None) -> MailSession | None:
        """An idle session that was used lately, or has just proved that it lives; None when there is none."""
        while (idle := self._take_idle(path)) is not None:
            if asyncio.get_running_loop().time() - idle.since <= self._trusted_seconds:
                return idle.session
            alive = False
            try:
                await idle.session.prove()
                alive = True
            except MailquayError as error:
                _log.info("idle_session_dead", error=error.message)
            finally:
                if not alive:
                    self._close_soon(idle.session)
            if alive:
                return idle.session
        return None

    def _take_idle(self, path: str | None) -> _Idle | None:
        while self._idle:
            position = len(self._idle) - 1
            for candidate in range(len(self._idle) - 1, -1, -1):
                if path is not None and self._idle[candidate].session.selected == path:
                    position = candidate
                    break
            idle = self._idle.pop(position)
            idle.timer.cancel()
            if idle.session.usable:
                return idle
            self._close_soon(idle.session)
        return None

    def _give_back(self, session: MailSession, sound: bool) -> None:
        if not sound or not session.usable or self._closed:
            self._close_soon(session)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._idle_seconds, self._expire, session)
        self._idle.append(_Idle(session, timer, loop.time()))

    def _expire(self, session: MailSession) -> None:
        self._idle = [idle for idle in self._idle if idle.session is not session]
        self._close_soon(session)

    def _close_soon(self, session: MailSession) -> None:
        self._open.discard(session)
        task = asyncio.create_task(self._close_one(session))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_one(self, session: MailSession) -> None:
        try:
            await session.close()
        except BackendError:
            # It was to be closed, and it is: nobody waits for its good-bye.
            return

    async def close(self) -> None:
        """Close idle sessions now, and those in use when they come back."""
        self._closed = True
        for idle in self._idle:
            idle.timer.cancel()
            self._close_soon(idle.session)
        self._idle = []
        if self._closing:
            await asyncio.wait(set(self._closing))
