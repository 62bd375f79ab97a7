"""Mail to nobody: a real Postfix bounces it into a real mailbox, and the bounce is told, once, and shown."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from mailquay.model.event import EventName, LoggedEvent
from mailquay.storage.store import Store, open_store
from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.runtime.harness import wait_for_events
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server


async def _submit(server: Server, recipient: str, subject: str = "Hello") -> dict[str, Any]:
    body = {"to": {"address": recipient}, "subject": subject, "text": "x", "copy": True}
    answer: dict[str, Any] = await server.ok("POST", "/v1/account/ann/submit", body)
    return answer


@pytest.mark.parametrize(("recipient", "status"), [("nobody@example.test", "5.1.1"), ("someone@refused.test", "5.7.1")])
async def test_a_bounce_of_a_real_server(
    dovecot: Dovecot,
    postfix: Postfix,
    webhook_sink: WebhookSink,
    mail_user: MailUser,
    tmp_path: Path,
    recipient: str,
    status: str,
) -> None:
    async with Server(tmp_path) as server:
        hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
        await server.ok("POST", "/v1/settings", hooks)
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        sent = await _submit(server, recipient)
        [hook] = await webhook_sink.wait_for_events("messageBounce", account="ann")
        data = hook.payload["data"]
        assert (data["recipient"], data["action"], data["messageId"]) == (recipient, "failed", sent["messageId"])
        assert data["response"]["status"] == status
        assert data["messageHeaders"]["subject"] == ["Hello"]
        assert "path" not in hook.payload
        [new] = await webhook_sink.wait_for(
            lambda request: request.event == "messageNew" and request.payload["data"].get("isBounce") is True
        )
        assert new.payload["data"]["id"] == data["bounceMessage"]
        assert new.payload["data"]["relatedMessageId"] == sent["messageId"]
        received = [request.event for request in webhook_sink.requests]
        assert received.index("messageBounce") == webhook_sink.requests.index(new) + 1

        [original] = (await server.ok("GET", "/v1/account/ann/messages?path=Sent"))["messages"]
        [shown] = original["bounces"]
        assert (shown["message"], shown["recipient"]) == (data["bounceMessage"], recipient)
        read = await server.ok("GET", f"/v1/account/ann/message/{original['id']}")
        assert read["bounces"] == [shown]
        bounce = await server.ok("GET", f"/v1/account/ann/message/{shown['message']}")
        assert "\\Seen" not in bounce["flags"]


async def test_a_notice_of_delay_is_a_delivery_report(
    dovecot: Dovecot, postfix: Postfix, webhook_sink: WebhookSink, mail_user: MailUser, tmp_path: Path
) -> None:
    async with Server(tmp_path) as server:
        hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
        await server.ok("POST", "/v1/settings", hooks)
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        sent = await _submit(server, "someone@slow.test")
        [notice] = await webhook_sink.wait_for(
            lambda request: request.event == "messageNew" and "deliveryReport" in request.payload["data"]
        )
        report = notice.payload["data"]["deliveryReport"]
        assert (report["action"], report["finalRecipient"]["value"]) == ("delayed", "someone@slow.test")
        # In the end the server gives up.
        [hook] = await webhook_sink.wait_for_events("messageBounce", account="ann")
        assert (hook.payload["data"]["action"], hook.payload["data"]["messageId"]) == ("failed", sent["messageId"])


async def test_kills_tell_no_bounce_twice_and_lose_none(
    dovecot: Dovecot, postfix: Postfix, mail_user: MailUser, tmp_path: Path
) -> None:
    chance, count = random.Random(18), 12
    async with Server(tmp_path, submit_backoff="100ms") as server:
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        sent = [await _submit(server, f"nobody-{n}@example.test", f"number {n}") for n in range(count)]
        store = await open_store(
            f"sqlite:///{tmp_path}/mailquay.db", key_file=tmp_path / "encryption.key", watch_interval_seconds=0.05
        )
        try:
            for _ in range(3):
                # Each time a few more were told of.
                await _told(store, chance.randrange(1, count // 2))
                await server.kill()
                await server.start()
            told = await _told(store, count)
            assert sorted(str(event.facts["messageId"]) for event in told) == sorted(one["messageId"] for one in sent)
            account = await store.accounts.get("ann")
            assert account is not None
            logged = await store.events.of_account_after(account.number, 0, 100_000)
            new = {event.facts["id"]: event.sequence for event in logged if event.facts.get("isBounce")}
            assert len(new) == count
            assert all(event.sequence > new[event.facts["bounceMessage"]] for event in told)
        finally:
            await store.close()


async def _told(store: Store, count: int) -> list[LoggedEvent]:
    account = await store.accounts.get("ann")
    assert account is not None
    return await wait_for_events(store, EventName.MESSAGE_BOUNCE, account=account, count=count, seconds=60)
