"""How many log in at the same time: at one host, fewer once it complains, and on the whole node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from mailquay.errors import RateLimited

DEFAULT_PER_HOST: Final = 20
DEFAULT_AT_ONCE: Final = 50
_BEGINNING_SECONDS: Final = 5.0
"""Whoever takes longer waits for its host, and costs the node nothing meanwhile."""


class _Host:
    """One host: who is logging in, who waits. `limit` halves at every complaint and grows back one login at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.limit = float(most)
        self.inside = 0
        self.urgent: deque[asyncio.Future[None]] = deque()
        self.waiting: deque[asyncio.Future[None]] = deque()

    @property
    def forgettable(self) -> bool:
        """Whether nothing is to be remembered of the host."""
        return self.inside == 0 and not self.urgent and not self.waiting and self.limit >= self._most

    @asynccontextmanager
    async def place(self, *, urgent: bool) -> AsyncIterator[None]:
        """Wait for a turn and keep it; the urgent ones come first, each kind in its order."""
        await self._enter(urgent=urgent)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, *, urgent: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self.urgent if urgent else self.waiting
        queue.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # It was our turn already.
                self._leave()
            elif turn in queue:
                queue.remove(turn)
            raise

    def _leave(self) -> None:
        self.inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self.inside < int(self.limit) and (queue := self.urgent or self.waiting):
            turn = queue.popleft()
            if not turn.cancelled():
                self.inside += 1
                turn.set_result(None)

    def complained(self) -> None:
        """The host says that it is too much."""
        self.limit = max(1.0, self.limit / 2)

    def went_well(self) -> None:
        """One more was let in."""
        self.limit = min(float(self._most), self.limit + 1 / self.limit)


class LoginGate:
    """Lets at most `per_host` log in at one host, and at most `at_once` accounts of the node begin at the same time.

    A host that does not answer holds up no more than its own share of the node, and that for a few seconds: there may
    be several of them. Urgent are further connections of an account that has one: they come before accounts that have
    none, so that whoever is half in gets in.
    """

    def __init__(self, *, per_host: int = DEFAULT_PER_HOST, at_once: int = DEFAULT_AT_ONCE) -> None:
        self._per_host = per_host
        self._at_once = asyncio.Semaphore(at_once)
        self._hosts: dict[str, _Host] = {}

    def limit(self, host: str) -> int:
        """How many may log in at a host at the same time now."""
        known = self._hosts.get(host.lower())
        return self._per_host if known is None else int(known.limit)

    @asynccontextmanager
    async def turn(self, host: str, *, urgent: bool) -> AsyncIterator[None]:
        """Wait for a turn, and log in within. What the server answers, RateLimited above all, is taken note of."""
        name = host.lower()
        at = self._hosts.setdefault(name, _Host(self._per_host))
        try:
            async with at.place(urgent=urgent), nullcontext() if urgent else self._beginning():
                yield
        except RateLimited:
            at.complained()
            raise
        else:
            at.went_well()
        finally:
            if at.forgettable:
                self._hosts.pop(name, None)

    @asynccontextmanager
    async def _beginning(self) -> AsyncIterator[None]:
        """A place among those of the node that begin; it is given up after a while."""
        await self._at_once.acquire()
        held = True

        def give_up() -> None:
            nonlocal held
            if held:
                held = False
                self._at_once.release()

        timer = asyncio.get_running_loop().call_later(_BEGINNING_SECONDS, give_up)
        try:
            yield
        finally:
            timer.cancel()
            give_up()
