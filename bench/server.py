"""A whole server against real Dovecot: start, sync, webhooks, requests, submissions, memory.

Everything runs on this machine, the load and the mail server included: figures are for comparing, not for boasting.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.e2e.server import Server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.process import short_directory
from tests.servers.smtp_sink import SmtpSink
from tests.servers.webhook_sink import WebhookSink

_SYNC_MESSAGES = int(os.environ.get("BENCH_MESSAGES", "10000"))
_IDLE_ACCOUNTS = (1, 100, int(os.environ.get("BENCH_ACCOUNTS", "500")))
_HOOKS = 40
_SECONDS = 4.0
_SUBMITTED = 1000
_SENDERS = 10


def _row(name: str, value: str) -> None:
    print(f"| {name} | {value} |", flush=True)


def _mail(n: int) -> bytes:
    text = f"Line of a message of usual length, number {n}.\r\n" * 20
    return (
        f"From: Sender {n % 50} <s{n % 50}@example.org>\r\nTo: you@example.test\r\nSubject: Message number {n}\r\n"
        f"Message-ID: <{n}@bench.example>\r\nDate: Thu, 01 Jan 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        f"{text}\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>{text}</p>\r\n--b--\r\n"
    ).encode()


class _Bench:
    def __init__(self, folder: Path, dovecot: Dovecot, hooks: WebhookSink, smtp: SmtpSink) -> None:
        self._folder = folder
        self._dovecot = dovecot
        self._hooks = hooks
        self._smtp = smtp

    def _server(self, name: str) -> Server:
        folder = self._folder / name
        folder.mkdir()
        return Server(folder, log_level="warn", imap_sweep_interval="60s", webhook_egress_policy="off")

    def _account(self, user: MailUser, name: str) -> dict[str, Any]:
        auth = {"user": user.login, "pass": user.password}
        imap = {"auth": auth, "host": self._dovecot.host, "port": self._dovecot.imap_port, "secure": False}
        smtp = {"host": "127.0.0.1", "port": self._smtp.port, "secure": False}
        imap["tls"] = {"rejectUnauthorized": False}
        return {"account": name, "name": name, "email": user.login, "imap": imap, "smtp": smtp, "copy": False}

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
        _row("cold start to `/health`", f"{statistics.median(seconds):.2f} s")

    async def sync(self) -> None:
        """First sync of a large INBOX, from registration to `connected`."""
        user = self._dovecot.new_user()
        for start in range(0, _SYNC_MESSAGES, 500):
            stop = min(start + 500, _SYNC_MESSAGES)
            await self._dovecot.deliver(user.login, *[_mail(n) for n in range(start, stop)])
        async with self._server("sync") as server:
            began = time.perf_counter()
            await server.ok("POST", "/v1/account", self._account(user, "big"))
            await server.wait_connected("big", seconds=120)
            _row(f"first sync of {_SYNC_MESSAGES:,} messages to `connected`", f"{time.perf_counter() - began:.2f} s")
            await self._requests(server)

    async def _requests(self, server: Server) -> None:
        listing = await server.ok("GET", "/v1/account/big/messages?path=INBOX")
        ids = [message["id"] for message in listing["messages"]]
        for name, paths in (
            ("list 20 messages", ["/v1/account/big/messages?path=INBOX"]),
            ("message with text", [f"/v1/account/big/message/{one}?textType=*" for one in ids]),
            ("GET account", ["/v1/account/big"]),
        ):
            rates = [await _rate(connections, _gets(server, paths)) for connections in (1, 8)]
            _row(f"{name}, 1 / 8 connections", f"{rates[0]:,.0f} / {rates[1]:,.0f} req/s")

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
                await self._dovecot.deliver(user.login, _mail(n))
                began = time.perf_counter()
                await self._hooks.wait_for_events("messageNew", n + 1)
                ours.append((time.perf_counter() - began) * 1000)
        servers = await self._idle_delay()
        _row("delivery to webhook, p50 / p95", f"{_quantile(ours, 50):.0f} / {_quantile(ours, 95):.0f} ms")
        _row(
            "… of which Dovecot's own notice, p50 / p95",
            f"{_quantile(servers, 50):.0f} / {_quantile(servers, 95):.0f} ms",
        )

    async def _idle_delay(self) -> list[float]:
        user = self._dovecot.new_user()
        reader, writer = await asyncio.open_connection(self._dovecot.host, self._dovecot.imap_port)
        for line in (f"a LOGIN {user.login} {user.password}", "b SELECT INBOX", "c IDLE"):
            writer.write(f"{line}\r\n".encode())
            while not (await reader.readline()).startswith((line[:1].encode() + b" ", b"+ ")):
                continue
        delays = []
        for n in range(_HOOKS // 2):
            await self._dovecot.deliver(user.login, _mail(n))
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
            _row("submit accepted, 1 / 8 / 32 connections", " / ".join(f"{rate:,.0f}" for rate in rates) + " req/s")
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
            _row(
                f"{_SUBMITTED:,} queued messages of {_SENDERS} accounts to delivered",
                f"{seconds:.1f} s ({_SUBMITTED / seconds:,.0f}/s)",
            )

    async def memory(self) -> None:
        """Proportional set size with no account, and with idle ones."""
        async with self._server("memory") as server:
            assert server.process is not None
            figures = [f"{_pss_mb(server.process.pid):.0f}"]
            registered = 0
            for wanted in _IDLE_ACCOUNTS:
                for n in range(registered, wanted):
                    await server.ok("POST", "/v1/account", self._account(self._dovecot.new_user(), f"m{n}"))
                for n in range(registered, wanted):
                    await server.wait_connected(f"m{n}", seconds=120)
                registered = wanted
                figures.append(f"{_pss_mb(server.process.pid):.0f}")
            names = " / ".join(str(count) for count in (0, *_IDLE_ACCOUNTS))
            _row(f"memory (PSS) with {names} idle accounts", " / ".join(figures) + " MB")


def _gets(server: Server, paths: list[str]) -> Callable[[int], Awaitable[Any]]:
    return lambda n: server.ok("GET", paths[n % len(paths)])


def _submits(server: Server) -> Callable[[int], Awaitable[Any]]:
    body = {"to": {"address": "x@remote.test"}, "subject": "Bench", "text": "Hello\n" * 50}
    return lambda n: server.ok("POST", f"/v1/account/s{n % _SENDERS}/submit", body)


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


def _quantile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def _pss_mb(pid: int) -> float:
    """Proportional set size of a process; Linux only."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell")


async def main() -> None:
    """Run every scenario on fresh servers."""
    folder, authority = Path(tempfile.mkdtemp(prefix="bench-")), short_directory("bench-ca-")
    try:
        with Dovecot(Authority(authority), extra={"mail_max_userip_connections": "1000"}) as dovecot:
            async with WebhookSink() as hooks, SmtpSink() as smtp:
                bench = _Bench(folder, dovecot, hooks, smtp)
                print(f"| {os.cpu_count()} cores, everything on one machine | |\n| --- | --- |")
                await bench.start()
                await bench.sync()
                await bench.webhooks()
                await bench.submissions()
                await bench.memory()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(authority, ignore_errors=True)
