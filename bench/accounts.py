"""Many accounts at once: registering, restarting, idling, and news of one among them.

The floor is what a client without any product around it needs for one log-in each, LIST, and EXAMINE of every mailbox.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.bare import exchange, logged_in
from bench.world import (
    account_body,
    bench_dovecot,
    cpu_seconds,
    fill,
    mail,
    pid_of,
    pss_mb,
    quantile,
    row,
    server_in,
    unfilled,
)
from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.webhook_sink import WebhookSink

T = TypeVar("T")
_ACCOUNTS = int(os.environ.get("BENCH_ACCOUNTS", "500"))
_LARGE_ACCOUNTS = int(os.environ.get("BENCH_LARGE_ACCOUNTS", "20"))
_LARGE_MESSAGES = 20_000
_MESSAGES = 10
_DELIVERED = 1000
"""More messages of one user are put there as files."""
_TOGETHER = 20
_SETTLE_SECONDS = 60.0
_IDLE_SECONDS = 30.0
_ARRIVALS = 40
_LIST_LINE = re.compile(rb'\* LIST \([^)]*\) (?:NIL|"[^"]*") (.+)\r\n')


async def main() -> None:
    """Every scenario in turn, on fresh servers."""
    with bench_dovecot() as (folder, dovecot):
        users = await _users(dovecot, _ACCOUNTS, _MESSAGES)
        await _floor(dovecot, users)
        async with WebhookSink() as hooks:
            await _plain(folder, dovecot, users, hooks)
        await _idle_memory(folder, dovecot, await _users(dovecot, _LARGE_ACCOUNTS, _LARGE_MESSAGES), tls=False)
    with bench_dovecot(tls=True) as (folder, dovecot):
        await _idle_memory(folder, dovecot, await _users(dovecot, _ACCOUNTS, _MESSAGES), tls=True)


async def _users(dovecot: Dovecot, count: int, messages: int) -> list[MailUser]:
    users = [dovecot.new_user() for _ in range(count)]
    if messages > _DELIVERED:
        await _each(users, lambda user: asyncio.to_thread(dovecot.fill, user.login, map(mail, range(messages))))
    else:
        await _each(users, lambda user: fill(dovecot, user, messages))
    return users


async def _plain(folder: Path, dovecot: Dovecot, users: Sequence[MailUser], hooks: WebhookSink) -> None:
    async with server_in(folder, "plain") as server:
        settings = {"webhooks": hooks.url, "webhooksEnabled": True, "webhookEvents": ["messageNew"]}
        await server.ok("POST", "/v1/settings", settings)
        empty_mb = pss_mb(pid_of(server))
        await _register(server, dovecot, users, tls=False)
        await _idle(server, empty_mb, f"{len(users)} accounts of {_MESSAGES} messages")
        await _latency(server, dovecot, users[0], hooks)
        await _burst(dovecot, users[:10], hooks)
        for _ in range(2):
            began = time.perf_counter()
            await server.stop()
            stopped = time.perf_counter()
            await server.start()
            started = time.perf_counter()
            await _all_connected(server, len(users))
            connected, cpu = time.perf_counter() - started, cpu_seconds(pid_of(server))
            row(
                f"restart with {len(users)} accounts: to stop; to answer; all connected after that",
                f"{stopped - began:.1f}; {started - stopped:.1f}; {connected:.1f} s ({cpu:.1f} s of processor in all)",
            )


async def _register(server: Server, dovecot: Dovecot, users: Sequence[MailUser], *, tls: bool) -> None:
    numbered = list(enumerate(users))
    began, cpu_began = time.perf_counter(), cpu_seconds(pid_of(server))
    await _each(
        numbered,
        lambda one: server.ok("POST", "/v1/account", account_body(dovecot, one[1], f"a{one[0]}", tls=tls)),
        together=8,
    )
    registered = time.perf_counter()
    await _all_connected(server, len(users))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid_of(server)) - cpu_began
    row(
        f"{len(users)} accounts: registered; all connected{' over TLS' if tls else ''}",
        f"{registered - began:.1f} s; {seconds:.1f} s ({cpu:.1f} s of processor)",
    )


async def _all_connected(server: Server, count: int) -> None:
    while (await server.ok("GET", "/v1/stats"))["connections"]["connected"] < count:
        await asyncio.sleep(0.1)


async def _idle(server: Server, empty_mb: float, name: str) -> None:
    await asyncio.sleep(_SETTLE_SECONDS)
    pid = pid_of(server)
    count = (await server.ok("GET", "/v1/stats"))["connections"]["connected"]
    full_mb, cpu_began = pss_mb(pid), cpu_seconds(pid)
    await asyncio.sleep(_IDLE_SECONDS)
    used = (cpu_seconds(pid) - cpu_began) / _IDLE_SECONDS
    row(
        f"{name}: memory (PSS) empty, then idle; for each account; processor",
        f"{empty_mb:.0f} MB, {full_mb:.0f} MB; {(full_mb - empty_mb) * 1024 / count:.0f} KB; {used:.1%} of a core",
    )


async def _idle_memory(folder: Path, dovecot: Dovecot, users: Sequence[MailUser], *, tls: bool) -> None:
    messages = _MESSAGES if tls else _LARGE_MESSAGES
    async with server_in(folder, f"idle-{messages}") as server:
        empty_mb = pss_mb(pid_of(server))
        await _register(server, dovecot, users, tls=tls)
        while unfilled(server.folder):
            await asyncio.sleep(1)
        await _idle(server, empty_mb, f"{len(users)} accounts of {messages} messages{', TLS' if tls else ''}")


async def _latency(server: Server, dovecot: Dovecot, user: MailUser, hooks: WebhookSink) -> None:
    """What is added to Dovecot's own announcement, which an IDLE beside it sees, while all others are connected."""
    told, hooked = [], []
    reader, writer = await logged_in(dovecot, user)
    for line in ("b SELECT INBOX", "c IDLE"):
        await exchange(reader, writer, line)
    for n in range(_ARRIVALS):
        before = len(hooks.requests)
        if n % 4 == 3:
            await server.ok("GET", "/v1/account/a0/messages?path=INBOX")
        await dovecot.deliver(user.login, mail(1_000_000 + n))
        while b"EXISTS" not in await reader.readline():
            continue
        told.append(time.perf_counter())
        while len(hooks.requests) == before:
            await asyncio.sleep(0.0005)
        hooked.append(time.perf_counter())
        await asyncio.sleep(0.1 * (n % 12))
    writer.close()
    added = [(after - before) * 1000 for before, after in zip(told, hooked, strict=True)]
    row(
        "mail to webhook, beyond Dovecot's announcement, p50 / p95",
        f"{quantile(added, 50):.1f} / {quantile(added, 95):.1f} ms",
    )


async def _burst(dovecot: Dovecot, users: Sequence[MailUser], hooks: WebhookSink) -> None:
    before, each = len(hooks.requests), 1000 // len(users)
    began = time.perf_counter()
    numbered = list(enumerate(users))
    await _each(
        numbered,
        lambda one: dovecot.deliver(one[1].login, *[mail(2_000_000 + one[0] * each + n) for n in range(each)]),
    )
    delivered = time.perf_counter()
    while len(hooks.requests) < before + each * len(users):
        await asyncio.sleep(0.005)
    row(
        f"{each * len(users):,} messages to {len(users)} accounts at once: delivered; all webhooks",
        f"{delivered - began:.2f} s; {time.perf_counter() - began:.2f} s",
    )


async def _floor(dovecot: Dovecot, users: Sequence[MailUser]) -> None:
    """Connections stay open until all are there, as a server's do."""
    open_connections: list[asyncio.StreamWriter] = []

    async def one(user: MailUser) -> None:
        reader, writer = await logged_in(dovecot, user)
        open_connections.append(writer)
        listed = await exchange(reader, writer, 'b LIST "" "*"')
        for path in _LIST_LINE.findall(listed):
            await exchange(reader, writer, f"c EXAMINE {path.decode()}")

    for _ in range(2):
        began = time.perf_counter()
        await _each(users, one)
        seconds = time.perf_counter() - began
        for writer in open_connections:
            writer.close()
        open_connections.clear()
        row(f"floor: {len(users)} log-ins with LIST and EXAMINE of each mailbox", f"{seconds:.1f} s")


async def _each(items: Sequence[T], work: Callable[[T], Awaitable[object]], *, together: int = _TOGETHER) -> None:
    """Do something for all of them, so many at a time."""
    slots = asyncio.Semaphore(together)

    async def one(item: T) -> None:
        async with slots:
            await work(item)

    await asyncio.gather(*(one(item) for item in items))
