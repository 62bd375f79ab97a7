"""A mailbox of 50,000 messages: how soon it can be used, how soon all envelopes are there, and what that takes."""

from __future__ import annotations

import asyncio
import os
import time

from bench.world import account_body, bench_dovecot, cpu_seconds, mail, pid_of, pss_mb, row, server_in, unfilled
from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser

_MESSAGES = int(os.environ.get("BENCH_LARGE_MESSAGES", "50000"))
_RUNS = 3
_LOOK_SECONDS = 0.1


async def main() -> None:
    """Sync the same mailbox from nothing, a few times; the first time the mail server's own caches are cold."""
    with bench_dovecot() as (folder, dovecot):
        user = dovecot.new_user()
        await asyncio.to_thread(dovecot.fill, user.login, map(mail, range(_MESSAGES)))
        for number in range(1, _RUNS + 1):
            async with server_in(folder, f"large{number}") as server:
                await _sync(server, dovecot, user, number)


async def _sync(server: Server, dovecot: Dovecot, user: MailUser, number: int) -> None:
    pid = pid_of(server)
    before_mb, peak_mb = pss_mb(pid), 0.0
    began, cpu_began = time.perf_counter(), cpu_seconds(pid)
    await server.ok("POST", "/v1/account", account_body(dovecot, user, "large"))
    while (await server.ok("GET", "/v1/account/large"))["state"] != "connected":
        peak_mb = max(peak_mb, pss_mb(pid))
        await asyncio.sleep(_LOOK_SECONDS)
    connected, cpu_connected = time.perf_counter(), cpu_seconds(pid)
    while unfilled(server.folder):
        peak_mb = max(peak_mb, pss_mb(pid))
        await asyncio.sleep(_LOOK_SECONDS)
    filled, cpu_filled = time.perf_counter(), cpu_seconds(pid)
    row(
        f"{_MESSAGES:,} messages, run {number}: to `connected`; all envelopes after that",
        f"{connected - began:.2f} s ({cpu_connected - cpu_began:.2f} s of processor); "
        f"{filled - connected:.1f} s ({cpu_filled - cpu_connected:.1f} s)",
    )
    row("… memory (PSS) before; most while doing it", f"{before_mb:.0f} MB; +{peak_mb - before_mb:.0f} MB")
