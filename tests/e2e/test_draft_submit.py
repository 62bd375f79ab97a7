"""A draft over HTTP: sent once, also with kill -9 before the draft is removed, and gone from the mailbox afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailquay.model.event import EventName
from tests.e2e.server import Server
from tests.e2e.test_sent_copy import store_of, until
from tests.e2e.test_story import account_body
from tests.runtime.harness import wait_for_events
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.smtp_sink import SmtpSink
from tests.servers.tcp_proxy import TcpProxy


async def _draft(server: Server, subject: str) -> str:
    """Upload a draft; its id."""
    body = {"path": "Drafts", "to": {"address": "x@remote.test"}, "bcc": {"address": "secret@remote.test"}}
    answer = await server.ok(
        "POST", "/v1/account/ann/message", {**body, "subject": subject, "text": "x", "flags": ["\\Draft"]}
    )
    return str(answer["id"])


async def _count(dovecot: Dovecot, user: MailUser, path: str) -> int:
    told = await dovecot.doveadm("fetch", "-u", user.login, "uid", "mailbox", path)
    return sum(line.startswith("uid:") for line in told.splitlines())


@pytest.mark.server
async def test_a_crash_before_the_draft_is_removed_sends_once_and_removes_it(
    dovecot: Dovecot, postfix: Postfix, smtp_sink: SmtpSink, mail_user: MailUser, tmp_path: Path
) -> None:
    async with TcpProxy(dovecot.imap_port) as proxy, Server(tmp_path, submit_backoff="100ms") as server:
        body = account_body(dovecot, postfix, mail_user, "ann")
        body["imap"]["port"] = proxy.port
        del body["smtp"]
        await server.ok("POST", "/v1/account", body)
        relay = {"gateway": "relay", "name": "R", "host": smtp_sink.host, "port": smtp_sink.port, "secure": False}
        await server.ok("POST", "/v1/gateway", relay)
        await server.wait_connected("ann")
        ids = [await _draft(server, subject) for subject in ("copied", "not copied")]
        # Nobody takes them yet, so that the mailbox can be away by the time they are sent.
        await server.ok("PUT", "/v1/settings/queue/submit", {"paused": True})
        for draft, copy in zip(ids, (True, False), strict=True):
            await server.ok("POST", f"/v1/account/ann/message/{draft}/submit", {"gateway": "relay", "copy": copy})
        proxy.stall()
        await server.ok("PUT", "/v1/settings/queue/submit", {"paused": False})
        await smtp_sink.wait_for(2)
        async with store_of(tmp_path) as store:
            account = await store.accounts.get("ann")
            assert account is not None
            await wait_for_events(store, EventName.MESSAGE_SENT, account=account, count=2)
            await server.kill()
            proxy.cut()
            proxy.resume()
            assert await _count(dovecot, mail_user, "Drafts") == 2
            await server.start()

            async def filed() -> bool:
                return await store.outbox.next_filing_ms(account.number) is None

            await until(store, filed)
        counts = [await _count(dovecot, mail_user, path) for path in ("Drafts", "Sent", "Trash")]
        assert counts == [0, 1, 1]
        assert (await server.ok("GET", "/v1/gateway/relay"))["deliveries"] == 2
    assert len(smtp_sink.received) == 2
    for received in smtp_sink.received:
        assert received.recipients == ("x@remote.test", "secret@remote.test")
        assert b"secret@remote.test" not in received.content


@pytest.mark.server
async def test_null_and_nothing_are_bodies_too(
    dovecot: Dovecot, postfix: Postfix, mail_user: MailUser, tmp_path: Path
) -> None:
    async with Server(tmp_path, submit_backoff="100ms") as server:
        await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
        await server.wait_connected("ann")
        bodies: tuple[dict[str, Any] | None, ...] = (None, {})
        for number, body in enumerate(bodies):
            draft = await _draft(server, f"n{number}")
            headers = {"Idempotency-Key": f"k{number}"}
            target = f"/v1/account/ann/message/{draft}/submit"
            answer = await server.ok("POST", target, body, headers=headers)
            assert answer["response"] == "Queued for delivery"
            assert (await server.ok("POST", target, body, headers=headers))["idempotency"]["status"] == "HIT"
        async with store_of(tmp_path) as store:
            account = await store.accounts.get("ann")
            assert account is not None
            await wait_for_events(store, EventName.MESSAGE_SENT, account=account, count=2)

            async def gone() -> bool:
                return await _count(dovecot, mail_user, "Drafts") == 0

            await until(store, gone)
        assert await _count(dovecot, mail_user, "Sent") == 2
