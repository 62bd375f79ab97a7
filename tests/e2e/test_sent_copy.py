"""kill -9 between messageSent and the copy among the sent mail: afterwards there is exactly one copy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mailquay.model.event import EventName
from mailquay.sandbox.faults import ImapAction
from mailquay.sandbox.world import SandboxWorld
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.runtime.harness import wait_for_events
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import SmtpSink
from tests.servers.tcp_proxy import TcpProxy

_LOOK_SECONDS = 0.05


@asynccontextmanager
async def store_of(folder: Path) -> Any:
    """The store of a server, which sees its commits."""
    store = await open_store(
        f"sqlite:///{folder}/mailquay.db", key_file=folder / "encryption.key", watch_interval_seconds=_LOOK_SECONDS
    )
    try:
        yield store
    finally:
        await store.close()


async def until(store: Store, condition: Callable[[], Awaitable[bool]]) -> None:
    """Look after each commit, and now and then for what happens elsewhere."""
    changed = asyncio.Event()
    stop = store.database.subscribe(lambda _signals: changed.set())
    try:
        async with asyncio.timeout(30):
            while not await condition():
                changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_SECONDS)
    finally:
        stop()


async def _submit(server: Server, account: str, subject: str) -> None:
    body = {"to": {"address": "x@remote.test"}, "subject": subject, "text": "x", "copy": True}
    await server.ok("POST", f"/v1/account/{account}/submit", body)


@pytest.mark.server
async def test_a_crash_before_the_copy_loses_none(
    dovecot: Dovecot, postfix: Postfix, smtp_sink: SmtpSink, mail_user: MailUser, tmp_path: Path
) -> None:
    async with TcpProxy(dovecot.imap_port) as proxy, Server(tmp_path, submit_backoff="100ms") as server:
        body = account_body(dovecot, postfix, mail_user, "ann")
        body["imap"]["port"] = proxy.port
        body["smtp"] = {"host": smtp_sink.host, "port": smtp_sink.port, "secure": False}
        await server.ok("POST", "/v1/account", body)
        await server.wait_connected("ann")
        proxy.stall()
        await _submit(server, "ann", "first")
        await _submit(server, "ann", "second")
        # A mailbox that does not answer holds up no message: both are out before any copy is filed.
        await smtp_sink.wait_for(2)
        async with store_of(tmp_path) as store:
            account = await store.accounts.get("ann")
            assert account is not None
            await wait_for_events(store, EventName.MESSAGE_SENT, account=account, count=2)
            assert await store.outbox.next_filing_ms(account.number) is not None
            assert (await server.ok("GET", "/v1/outbox"))["total"] == 0
            await server.kill()
            proxy.cut()
            proxy.resume()
            assert await _subjects(dovecot, mail_user) == []
            await server.start()

            async def filed() -> bool:
                return await store.outbox.next_filing_ms(account.number) is None

            await until(store, filed)
        assert await _subjects(dovecot, mail_user) == ["first", "second"]


async def _subjects(dovecot: Dovecot, user: MailUser) -> list[str]:
    told = await dovecot.doveadm("fetch", "-u", user.login, "hdr.subject", "mailbox", "Sent")
    return sorted(line.partition(": ")[2] for line in told.splitlines() if line.startswith("hdr.subject"))


async def test_a_crash_before_the_answer_doubles_none(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    sent = world.store_of(ann.email).mailbox("Sent")
    auth = {"user": ann.user, "pass": ann.password}
    body = {
        "account": "ann",
        "name": ann.name,
        "email": ann.email,
        "imap": {"auth": auth, "host": ann.imap_host, "port": ann.imap_port},
        "smtp": {"auth": auth, "host": ann.smtp_host, "port": ann.smtp_port},
    }
    try:
        async with Server(tmp_path, submit_backoff="100ms") as server:
            await server.ok("POST", "/v1/account", body)
            await server.wait_connected("ann")
            world.imap_faults.on("APPEND", ImapAction.STALL)
            await _submit(server, "ann", "once")
            async with store_of(tmp_path) as store:
                account = await store.accounts.get("ann")
                assert account is not None
                number = account.number

                async def appended() -> bool:
                    return world.imap_faults.stalled == 1

                async def filed() -> bool:
                    return await store.outbox.next_filing_ms(number) is None

                await until(store, appended)
                assert len(sent) == 1
                assert not await filed()
                await server.kill()
                world.imap_faults.release()
                await server.start()
                await until(store, filed)
        assert len(sent) == 1
    finally:
        await world.stop()
