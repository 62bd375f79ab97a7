"""IDLE as a stream of news that renews itself before the server loses patience (RFC 2177 §3)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from mailquay.backends.imap.channel import Channel
from mailquay.backends.imap.pump import Pump
from mailquay.backends.imap.refusal import refusal
from mailquay.backends.imap.slot import CommandSlot
from mailquay.errors import LocalProtocolError, Unavailable, Unsupported
from mailquay.wire.imap.idle import Idle
from mailquay.wire.imap.response import Status, UntaggedResponse

_NEWS_ITEMS = 1000
_MIN_IDLE_SECONDS = 1.0

MOST_AT_ONCE = 1000
"""How many responses are taken as one piece of news: a server that never stops talking is listened to in between."""


class IdleSession:
    """News of the selected mailbox, until `stop`. Made by `ImapConnection.idle`, used by one task.

    Nothing is lost while IDLE is renewed: what arrives between two IDLEs is news as well. Each renewal is a round trip
    with a deadline, and so a proof that the connection lives: the only one there is, since nothing but DONE may be sent
    during IDLE, and a peer that is frozen, or a proxy before it, acknowledges TCP keepalives all the same. A connection
    that lies dead is found after `restart_seconds` and the driver's `proof_seconds` at most.
    """

    def __init__(self, pump: Pump, restart_seconds: float) -> None:
        self._pump = pump
        self._restart_seconds = restart_seconds
        self._news: Channel[UntaggedResponse] = Channel(_NEWS_ITEMS)
        self._slot: CommandSlot | None = None
        self._began_at = 0.0

    @property
    def _proof_seconds(self) -> float:
        options = self._pump.options
        return min(options.proof_seconds, options.command_seconds)

    async def start(self) -> None:
        """Begin to idle. Raises LocalProtocolError when another IDLE is running, CommandRejected when refused."""
        if self._pump.news is not None:
            raise LocalProtocolError("an IDLE is running on this connection")
        self._pump.news = self._news
        try:
            await self._begin()
        except BaseException:
            self._pump.news = None
            raise

    async def _begin(self) -> None:
        pump, command = self._pump, Idle()
        self._slot = slot = await pump.start(command, lambda: pump.client.send(command))
        try:
            await pump.wait_for_idle(self._proof_seconds, slot)
        except TimeoutError as error:
            raise self._dead("confirm IDLE") from error
        pump.raise_error()
        if slot.done.done() and slot.done.result().status is not Status.OK:
            raise refusal(command, slot.done.result())
        slot.done.add_done_callback(lambda _: self._news.interrupt())
        self._began_at = asyncio.get_running_loop().time()

    async def _end(self) -> None:
        pump, slot = self._pump, self._slot
        if slot is None:
            return
        self._slot = None
        # The reader must get through to the end of the IDLE even if nobody takes the news meanwhile.
        self._news.set_capacity(sys.maxsize)
        if not slot.done.done():
            pump.client.end_idle()
            await pump.flush()
        try:
            async with asyncio.timeout(self._proof_seconds):
                response = await asyncio.shield(slot.done)
        except TimeoutError as error:
            raise self._dead("end IDLE") from error
        self._news.set_capacity(_NEWS_ITEMS)
        if response.status is not Status.OK:
            raise refusal(slot.command, response)

    def _dead(self, what: str) -> Unavailable:
        dead = Unavailable(f"the server did not {what} in {self._proof_seconds:g} s", code="ETIMEDOUT")
        self._pump.fail(dead)
        return dead

    async def next(self, timeout_seconds: float | None = None) -> UntaggedResponse | None:
        """The next response; None when none came in `timeout_seconds`.

        Raises Unavailable when the connection is lost, LocalProtocolError after `stop`.
        """
        if self._slot is None:
            raise LocalProtocolError("this IDLE was stopped")
        loop = asyncio.get_running_loop()
        end = None if timeout_seconds is None else loop.time() + timeout_seconds
        while True:
            restart_at = self._began_at + self._restart_seconds
            wait_until = restart_at if end is None else min(restart_at, end)
            try:
                return await self._news.get(max(0.0, wait_until - loop.time()))
            except TimeoutError:
                self._pump.raise_error()
                if self._slot.done.done() and loop.time() - self._began_at < _MIN_IDLE_SECONDS:
                    raise Unsupported("the server ends IDLE as soon as it begins") from None
                if loop.time() >= restart_at or self._slot.done.done():
                    await self._end()
                    await self._begin()
                if end is not None and loop.time() >= end:
                    return None

    async def __aiter__(self) -> AsyncIterator[UntaggedResponse]:
        while self._slot is not None:
            event = await self.next()
            if event is not None:
                yield event

    async def stop(self) -> list[UntaggedResponse]:
        """End IDLE so that commands can be sent again; returns news that came meanwhile and was not taken."""
        try:
            await self._end()
        finally:
            if self._pump.news is self._news:
                self._pump.news = None
        return self._news.drain()
