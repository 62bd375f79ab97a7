"""A whole server against real Dovecot: start, sync, webhooks, requests, submissions, memory.

Everything runs on this machine, the load and the mail server included: figures are for comparing, not for boasting.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.bare import exchange, logged_in
from bench.world import account_body, bench_dovecot, fill, mail, pid_of, pss_mb, quantile, row, server_in
from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.smtp_sink import SmtpSink
from tests.servers.webhook_sink import WebhookSink

_SYNC_MESSAGES = int(os.environ.get("BENCH_MESSAGES", "10000"))
_IDLE_ACCOUNTS = (1, 100, int(os.environ.get("BENCH_ACCOUNTS", "500")))
_HOOKS = 40
_SECONDS = 4.0
_CHANGES = 100
_SUBMITTED = 1000
_SENDERS = 10


class _Bench:
    def __init__(self, folder: Path, dovecot: Dovecot, hooks: WebhookSink, smtp: SmtpSink) -> None:
        self._folder = folder
        self._dovecot = dovecot
        self._hooks = hooks
        self._smtp = smtp

    def _server(self, name: str) -> Server:
        return server_in(self._folder, name)

    def _account(self, user: MailUser, name: str) -> dict[str, Any]:
        smtp = {"host": "127.0.0.1", "port": self._smtp.port, "secure": False}
        return {**account_body(self._dovecot, user, name), "smtp": smtp, "copy": False}

    async def start(self) -> None:
        """Cold start: an empty data directory, until /health answers."""
        seconds = []
        for n in range(3):
            began = time.perf_counter()
            server = self._server(f"start{n}")
            server.token = "none"
            await server.start()
            seconds.append(time.perf_counter() - began)
            await server.close()
        row("cold start to `/health`", f"{statistics.median(seconds):.2f} s")

    async def sync(self) -> None:
        """First sync of a large INBOX, from registration to `connected`."""
        user = self._dovecot.new_user()
        await fill(self._dovecot, user, _SYNC_MESSAGES)
        async with self._server("sync") as server:
            began = time.perf_counter()
            await server.ok("POST", "/v1/account", self._account(user, "big"))
            await server.wait_connected("big", seconds=120)
            row(f"first sync of {_SYNC_MESSAGES:,} messages to `connected`", f"{time.perf_counter() - began:.2f} s")
            await self._requests(server)
            await self._changes(server, user)

    async def _requests(self, server: Server) -> None:
        paths = [f"/v1/account/big/messages?path=INBOX&page={page}&pageSize=1000" for page in range(10)]
        pages = [await server.ok("GET", path) for path in paths]
        texts = [f"/v1/account/big/message/{one['id']}?textType=*" for page in pages for one in page["messages"]]
        # Each is read once before any is read again.
        unread = iter(texts)
        for name, gets in (
            ("list 20 messages", _gets(server, ["/v1/account/big/messages?path=INBOX"])),
            ("message with text, not read before", lambda _n: server.ok("GET", next(unread))),
            ("message with text, read before", _gets(server, texts[:20])),
            ("search for a subject in 10,000", _searches(server)),
            ("GET account", _gets(server, ["/v1/account/big"])),
        ):
            rates = [await _rate(connections, gets) for connections in (1, 8)]
            row(f"{name}, 1 / 8 connections", f"{rates[0]:,.0f} / {rates[1]:,.0f} req/s")

    async def _changes(self, server: Server, user: MailUser) -> None:
        """Changes one after the other, and the same by a bare client that has the mailbox open."""
        listed = (await server.ok("GET", f"/v1/account/big/messages?path=INBOX&pageSize={2 * _CHANGES}"))["messages"]
        ids, body = [f"/v1/account/big/message/{one['id']}" for one in listed], {"flags": {"add": ["\\Flagged"]}}
        flags = [await _milliseconds(server.ok("PUT", path, body)) for path in ids[:_CHANGES]]
        moves = [await _milliseconds(server.ok("PUT", f"{path}/move", {"path": "Trash"})) for path in ids[_CHANGES:]]
        reader, writer = await logged_in(self._dovecot, user)
        await exchange(reader, writer, "b SELECT INBOX")
        uids = range(1, _CHANGES + 1)
        stores = [await _milliseconds(exchange(reader, writer, f"c UID STORE {n} +FLAGS (\\Flagged)")) for n in uids]
        moved = [await _milliseconds(exchange(reader, writer, f"c UID MOVE {n} Trash")) for n in uids]
        writer.close()
        for name, ours, bare in (("flag", flags, stores), ("move", moves, moved)):
            row(
                f"{name} a message, p50 / p95; a bare client's p50",
                f"{quantile(ours, 50):.1f} / {quantile(ours, 95):.1f} ms; {quantile(bare, 50):.1f} ms",
            )

    async def webhooks(self) -> None:
        """A message to an idle account: from LMTP's OK to the webhook, and what an IDLE beside it sees."""
        user = self._dovecot.new_user()
        async with self._server("hooks") as server:
            settings = {"webhooks": self._hooks.url, "webhooksEnabled": True, "webhookEvents": ["messageNew"]}
            await server.ok("POST", "/v1/settings", settings)
            await server.ok("POST", "/v1/account", self._account(user, "idle"))
            await server.wait_connected("idle")
            ours = []
            for n in range(_HOOKS):
                await self._dovecot.deliver(user.login, mail(n))
                began = time.perf_counter()
                await self._hooks.wait_for_events("messageNew", n + 1)
                ours.append((time.perf_counter() - began) * 1000)
        servers = await self._idle_delay()
        row("delivery to webhook, p50 / p95", f"{quantile(ours, 50):.0f} / {quantile(ours, 95):.0f} ms")
        row(
            "… of which Dovecot's own notice, p50 / p95",
            f"{quantile(servers, 50):.0f} / {quantile(servers, 95):.0f} ms",
        )

    async def _idle_delay(self) -> list[float]:
        user = self._dovecot.new_user()
        reader, writer = await logged_in(self._dovecot, user)
        for line in ("b SELECT INBOX", "c IDLE"):
            await exchange(reader, writer, line)
        delays = []
        for n in range(_HOOKS // 2):
            await self._dovecot.deliver(user.login, mail(n))
            began = time.perf_counter()
            while b"EXISTS" not in await reader.readline():
                continue
            delays.append((time.perf_counter() - began) * 1000)
        writer.close()
        return delays

    async def submissions(self) -> None:
        """Accepting submissions, and sending a queue of them over several accounts."""
        async with self._server("submit") as server:
            users = [self._dovecot.new_user() for _ in range(_SENDERS)]
            for n, user in enumerate(users):
                await server.ok("POST", "/v1/account", self._account(user, f"s{n}"))
            for n in range(_SENDERS):
                await server.wait_connected(f"s{n}")
            await server.ok("PUT", "/v1/settings/queue/submit", {"paused": True})
            rates = []
            for connections in (1, 8, 32):
                rates.append(await _rate(connections, _submits(server)))
            row("submit accepted, 1 / 8 / 32 connections", " / ".join(f"{rate:,.0f}" for rate in rates) + " req/s")
        await self._drain()

    async def _drain(self) -> None:
        async with self._server("drain") as server:
            for n in range(_SENDERS):
                await server.ok("POST", "/v1/account", self._account(self._dovecot.new_user(), f"s{n}"))
            for n in range(_SENDERS):
                await server.wait_connected(f"s{n}")
            await server.ok("PUT", "/v1/settings/queue/submit", {"paused": True})
            submit = _submits(server)
            for start in range(0, _SUBMITTED, 32):
                await asyncio.gather(*(submit(n) for n in range(start, min(start + 32, _SUBMITTED))))
            before = len(self._smtp.received)
            began = time.perf_counter()
            await server.ok("PUT", "/v1/settings/queue/submit", {"paused": False})
            await self._smtp.wait_for(before + _SUBMITTED, timeout_seconds=120)
            seconds = time.perf_counter() - began
            row(
                f"{_SUBMITTED:,} queued messages of {_SENDERS} accounts to delivered",
                f"{seconds:.1f} s ({_SUBMITTED / seconds:,.0f}/s)",
            )

    async def memory(self) -> None:
        """Proportional set size with no account, and with idle ones."""
        async with self._server("memory") as server:
            figures = [f"{pss_mb(pid_of(server)):.0f}"]
            registered = 0
            for wanted in _IDLE_ACCOUNTS:
                for n in range(registered, wanted):
                    await server.ok("POST", "/v1/account", self._account(self._dovecot.new_user(), f"m{n}"))
                for n in range(registered, wanted):
                    await server.wait_connected(f"m{n}", seconds=120)
                registered = wanted
                figures.append(f"{pss_mb(pid_of(server)):.0f}")
            names = " / ".join(str(count) for count in (0, *_IDLE_ACCOUNTS))
            row(f"memory (PSS) with {names} idle accounts", " / ".join(figures) + " MB")


def _gets(server: Server, paths: list[str]) -> Callable[[int], Awaitable[Any]]:
    return lambda n: server.ok("GET", paths[n % len(paths)])


def _searches(server: Server) -> Callable[[int], Awaitable[Any]]:
    target = "/v1/account/big/search?path=INBOX"
    return lambda n: server.ok("POST", target, {"search": {"subject": f"number {n % 1000}"}})


def _submits(server: Server) -> Callable[[int], Awaitable[Any]]:
    body = {"to": {"address": "x@remote.test"}, "subject": "Bench", "text": "Hello\n" * 50}
    return lambda n: server.ok("POST", f"/v1/account/s{n % _SENDERS}/submit", body)


async def _milliseconds(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


async def _rate(connections: int, request: Callable[[int], Awaitable[Any]]) -> float:
    """Requests per second with that many in flight, for a few seconds after a warm-up."""
    count = 0

    async def loop(until: float) -> None:
        nonlocal count
        while time.perf_counter() < until:
            await request(count)
            count += 1

    await asyncio.gather(*(loop(time.perf_counter() + 0.5) for _ in range(connections)))
    count = 0
    began = time.perf_counter()
    await asyncio.gather(*(loop(began + _SECONDS) for _ in range(connections)))
    return count / (time.perf_counter() - began)


async def main() -> None:
    """Run every scenario on fresh servers."""
    with bench_dovecot() as (folder, dovecot):
        async with WebhookSink() as hooks, SmtpSink() as smtp:
            bench = _Bench(folder, dovecot, hooks, smtp)
            await bench.start()
            await bench.sync()
            await bench.webhooks()
            await bench.submissions()
            await bench.memory()
