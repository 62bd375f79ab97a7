"""Which way connections to mail servers take: local addresses, an account's proxy, the common proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server, free_port
from tests.net.peer import Handler, serve
from tests.net.test_proxy import http_proxy, join, socks_proxy
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.smtp_sink import SmtpSink
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server
OURS = ["127.0.0.2", "127.0.0.3"]


@pytest.fixture
async def server(tmp_path: Path, webhook_sink: WebhookSink) -> AsyncIterator[Server]:
    options: dict[str, Any] = {"reconnect_backoff": "50ms", "submit_backoff": "20s"}
    async with Server(tmp_path, **options) as running:
        hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
        await running.ok("POST", "/v1/settings", hooks)
        yield running


class Peers(list[str]):
    """The addresses that connections came from; `came` is set by the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()


@asynccontextmanager
async def recorded(handler: Handler) -> AsyncIterator[tuple[int, Peers]]:
    """Run a handler; its port, and the addresses that connections came from."""
    peers = Peers()

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        peers.came.set()
        await handler(reader, writer)

    async with serve(record) as port:
        yield port, peers


def relay(port: int) -> Handler:
    """Hand every connection on."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await join(reader, writer, port)

    return handle


def account(user: MailUser, imap_port: int, smtp_port: int, **more: object) -> dict[str, Any]:
    auth, tls = {"user": user.login, "pass": user.password}, {"rejectUnauthorized": False}
    imap = {"host": "127.0.0.1", "port": imap_port, "auth": auth, "tls": tls}
    smtp = {"host": "127.0.0.1", "port": smtp_port, "tls": tls}
    return {"account": "ann", "name": "Ann", "email": user.login, "imap": imap, "smtp": smtp, **more}


async def submit(server: Server, **more: object) -> None:
    body = {"to": {"address": "you@remote.test"}, "subject": "Hello", "text": "Hello", "copy": False, **more}
    await server.ok("POST", "/v1/account/ann/submit", body)


async def test_a_dedicated_local_address(
    server: Server, dovecot: Dovecot, smtp_sink: SmtpSink, webhook_sink: WebhookSink
) -> None:
    strategies = {"imapStrategy": "dedicated", "smtpStrategy": "dedicated"}
    await server.ok("POST", "/v1/settings", {"localAddresses": [*OURS, "192.0.2.1"], **strategies})
    async with (
        recorded(relay(dovecot.imap_port)) as (imap_port, imap_peers),
        recorded(relay(smtp_sink.port)) as (
            smtp_port,
            smtp_peers,
        ),
    ):
        await server.ok("POST", "/v1/account", account(dovecot.new_user(), imap_port, smtp_port))
        await server.wait_connected("ann")
        await submit(server)
        [sent] = await webhook_sink.wait_for_events("messageSent")
        [address] = set(imap_peers)
        assert address in OURS
        assert sent.payload["data"]["networkRouting"] == {"localAddress": address}
        [other] = set(OURS) - {address}
        await submit(server, localAddress=other)
        await submit(server, localAddress="127.0.0.9")
        routings = [
            one.payload["data"]["networkRouting"] for one in await webhook_sink.wait_for_events("messageSent", 3)
        ]
        assert {"localAddress": other} in routings
        assert {"localAddress": address, "requestedLocalAddress": "127.0.0.9"} in routings
        assert set(smtp_peers) == {address, other}
    shown = await server.ok("GET", "/v1/account/ann")
    assert shown["smtpStatus"]["networkRouting"]["localAddress"] in OURS


async def test_an_accounts_own_proxy_goes_before_the_common_one(
    server: Server, dovecot: Dovecot, smtp_sink: SmtpSink, webhook_sink: WebhookSink
) -> None:
    user = dovecot.new_user()
    async with (
        recorded(http_proxy()) as (common_port, common_peers),
        recorded(socks_proxy(user=b"me", password=b"hush-hush")) as (own_port, own_peers),
    ):
        common = {"proxyEnabled": True, "proxyUrl": f"http://127.0.0.1:{common_port}"}
        await server.ok("POST", "/v1/settings", common)
        body = account(user, dovecot.imap_port, smtp_sink.port)
        verified = await server.ok("POST", "/v1/verifyAccount", {"imap": body["imap"]})
        assert verified["imap"] == {"success": True} and common_peers
        await server.ok("POST", "/v1/account", body)
        await server.wait_connected("ann")
        await submit(server)
        [sent] = await webhook_sink.wait_for_events("messageSent")
        assert sent.payload["data"]["networkRouting"] == {"proxy": common["proxyUrl"]}
        own = f"socks5://me:hush-hush@127.0.0.1:{own_port}"
        await server.ok("PUT", "/v1/account/ann", {"proxy": own})
        await asyncio.wait_for(own_peers.came.wait(), 10)
        common_peers.clear()
        await submit(server)
        [_, sent] = await webhook_sink.wait_for_events("messageSent", 2)
        masked = own.replace("me:hush-hush", "******:******")
        assert sent.payload["data"]["networkRouting"] == {"proxy": masked}
        assert len(own_peers) > 1 and not common_peers
    shown = await server.ok("GET", "/v1/account/ann")
    assert (shown["proxy"], shown["smtpStatus"]["networkRouting"]) == (masked, {"proxy": masked})
    assert "hush-hush" not in server.log.read_text() + str(webhook_sink.requests)


async def test_a_proxy_that_is_not_there(
    server: Server, dovecot: Dovecot, smtp_sink: SmtpSink, webhook_sink: WebhookSink
) -> None:
    user = dovecot.new_user()
    proxy = f"socks4a://me:hush-hush@127.0.0.1:{free_port()}"
    await server.ok("POST", "/v1/account", account(user, dovecot.imap_port, smtp_sink.port, proxy=proxy))
    [failed] = await webhook_sink.wait_for_events("connectError")
    assert failed.payload["data"]["serverResponseCode"] == "ECONNREFUSED"
    await submit(server, proxy=proxy)
    [error] = await webhook_sink.wait_for_events("messageDeliveryError")
    masked = proxy.replace("me:hush-hush", "******:******")
    assert error.payload["data"]["networkRouting"] == {"proxy": masked}
    [queued] = (await server.ok("GET", "/v1/outbox"))["messages"]
    assert (queued["proxy"], queued["progress"]["networkRouting"]) == (masked, {"proxy": masked})
    assert "hush-hush" not in server.log.read_text() + str(webhook_sink.requests)
