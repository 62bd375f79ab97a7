"""Sending through a gateway over HTTP: whose login it is, where the copy goes, and what nobody gets to read."""

from __future__ import annotations

import base64
from pathlib import Path

from mailquay.model.event import EventName
from mailquay.sandbox.world import SandboxWorld
from tests.e2e.server import Server
from tests.e2e.test_sent_copy import store_of, until
from tests.runtime.harness import wait_for_events
from tests.servers.smtp_sink import SmtpSink

_SECRET = "relay-secret-4711"
_HIDDEN = (
    _SECRET,
    base64.b64encode(f"\0relay\0{_SECRET}".encode()).decode(),
    base64.b64encode(_SECRET.encode()).decode(),
)


async def test_a_message_through_a_gateway_is_filed_and_its_login_stays_hidden(tmp_path: Path) -> None:
    world = SandboxWorld(empty=True)
    await world.start()
    ann = world.accounts[0]
    sent = world.store_of(ann.email).mailbox("Sent")
    auth = {"user": ann.user, "pass": ann.password}
    body = {
        "account": "ann",
        "name": ann.name,
        "email": ann.email,
        "logs": True,
        "imap": {"auth": auth, "host": ann.imap_host, "port": ann.imap_port},
        # A provider that files what goes out over its own servers.
        "smtp": {"auth": auth, "host": "smtp.gmail.com", "port": 465, "secure": True},
    }
    try:
        async with SmtpSink(credentials={"relay": _SECRET}) as relay, Server(tmp_path) as server:
            gateway = {"gateway": "relay", "name": "R", "host": relay.host, "port": relay.port}
            await server.ok("POST", "/v1/gateway", {**gateway, "user": "relay", "pass": _SECRET})
            await server.ok("POST", "/v1/account", body)
            await server.wait_connected("ann")
            message = {"to": {"address": "x@remote.test"}, "subject": "x", "text": "x", "gateway": "relay"}
            queued = await server.ok("POST", "/v1/account/ann/submit", message)
            [received] = await relay.wait_for(1)
            assert received.login == "relay"
            async with store_of(tmp_path) as store:
                account = await store.accounts.get("ann")
                assert account is not None

                async def filed() -> bool:
                    return len(sent) == 1

                await wait_for_events(store, EventName.MESSAGE_SENT, account=account)
                await until(store, filed)
                events = await store.events.of_account_after(account.number, 0, 1000)
            assert queued["messageId"].encode() in next(iter(sent)).raw
            _, log = await server.request("GET", "/v1/logs/ann")
            shown = [await server.ok("GET", target) for target in ("/v1/gateway/relay", "/v1/gateways", "/v1/outbox")]
            assert shown[0]["deliveries"] == 1 and shown[0]["lastUse"] is not None
            assert b"smtp-" in log and b"AUTH" in log
            told = repr((events, shown, log)) + server.log.read_text()
            assert not any(secret in told for secret in _HIDDEN)
    finally:
        await world.stop()
