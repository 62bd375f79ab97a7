"""A real HTTP receiver of webhooks: records what comes, answers as told, and lets a test await it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.servers.process import LOOPBACK


@dataclass(frozen=True)
class Answer:
    """How to answer one request: after the delay, with this status, or by cutting the connection without a word."""

    status: int = 200
    delay_seconds: float = 0
    drop: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True)
class WebhookRequest:
    """One request as it arrived; `answer` is what was decided for it."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    answer: Answer

    @property
    def payload(self) -> dict[str, Any]:
        """The body as a JSON object; raises if it is none."""
        decoded = json.loads(self.body)
        if not isinstance(decoded, dict):
            raise TypeError(f"not a JSON object: {self.body[:200]!r}")
        return decoded

    @property
    def event(self) -> str:
        """The name of the event in the payload."""
        return str(self.payload["event"])


Decide = Callable[[WebhookRequest], Answer | None]


class WebhookSink:
    """A receiver on a free loopback port, for the event loop of the test that opens it.

    What it answers: first what `decide` says (None: no opinion), then the next of `answer_next`, then `default`.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self.requests: list[WebhookRequest] = []
        self.default = Answer()
        self.decide: Decide | None = None
        self.url = ""
        self._next: deque[Answer] = deque()
        self._arrived = asyncio.Condition()
        self._closing = asyncio.Event()
        self._ssl_context = ssl_context
        self._runner: web.ServerRunner | None = None

    async def open(self) -> Self:
        """Begin to listen; `url` is known then."""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0, ssl_context=self._ssl_context)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._ssl_context else 'http'}://{LOOPBACK}:{port}/hook"
        return self

    async def close(self) -> None:
        """Stop listening; answers that are still delayed go out at once."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def answer_next(self, *answers: Answer) -> None:
        """Script the answers to the next requests, one each."""
        self._next.extend(answers)

    async def wait_for(
        self, predicate: Callable[[WebhookRequest], bool], count: int = 1, *, timeout_seconds: float = 15
    ) -> list[WebhookRequest]:
        """Return the first `count` requests that match, those before the call included; fail if they do not come."""

        def matches() -> list[WebhookRequest]:
            return [request for request in self.requests if predicate(request)]

        try:
            async with asyncio.timeout(timeout_seconds), self._arrived:
                await self._arrived.wait_for(lambda: len(matches()) >= count)
        except TimeoutError:
            came = [f"{request.event} -> {request.answer.status}" for request in self.requests]
            message = f"{len(matches())} of {count} expected requests within {timeout_seconds} s; came: {came}"
            raise AssertionError(message) from None
        return matches()[:count]

    async def wait_for_events(
        self, event: str, count: int = 1, *, account: str | None = None, timeout_seconds: float = 15
    ) -> list[WebhookRequest]:
        """Return the first `count` deliveries of this event (of this account) that were answered with a 2xx."""

        def delivered(request: WebhookRequest) -> bool:
            if request.answer.drop or request.answer.status // 100 != 2 or request.event != event:
                return False
            return account is None or request.payload.get("account") == account

        return await self.wait_for(delivered, count, timeout_seconds=timeout_seconds)

    def _choose(self, request: WebhookRequest) -> Answer:
        decided = self.decide(request) if self.decide else None
        if decided is not None:
            return decided
        return self._next.popleft() if self._next else self.default

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.read()
        undecided = WebhookRequest(incoming.method, incoming.path_qs, incoming.headers, body, self.default)
        answer = self._choose(undecided)
        async with self._arrived:
            self.requests.append(
                WebhookRequest(undecided.method, undecided.path, undecided.headers, undecided.body, answer)
            )
            self._arrived.notify_all()
        if answer.delay_seconds:
            await self._delay(answer.delay_seconds)
        if answer.drop and incoming.transport is not None:
            incoming.transport.abort()
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)

    async def _delay(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
