"""Accounts whose credentials an authentication server keeps: tokens for a real Dovecot and a real Postfix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.servers.availability import require_server
from tests.servers.certificates import Authority
from tests.servers.dovecot import Dovecot
from tests.servers.introspection import CredentialServer, Introspection
from tests.servers.postfix import Postfix
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server


@pytest.fixture
async def introspection() -> AsyncIterator[Introspection]:
    async with Introspection() as running:
        yield running


@pytest.fixture
async def credentials() -> AsyncIterator[CredentialServer]:
    async with CredentialServer() as running:
        yield running


@pytest.fixture(params=["xoauth2", "oauthbearer"])
async def mail(
    request: pytest.FixtureRequest, authority: Authority, introspection: Introspection
) -> AsyncIterator[tuple[Dovecot, Postfix]]:
    """Servers that take tokens in one of the two ways."""
    require_server("dovecot")
    require_server("postfix")
    dovecot = Dovecot(
        authority, user_count=2, introspection_url=introspection.url, bearer_mechanisms=str(request.param)
    )
    with dovecot, Postfix(authority, dovecot) as postfix:
        yield dovecot, postfix


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path, reconnect_backoff="50ms", submit_backoff="50ms", smtp_pool_idle="50ms") as running:
        yield running


def _message(subject: str) -> bytes:
    return f"From: a@remote.test\r\nTo: u@example.test\r\nSubject: {subject}\r\n\r\nHello\r\n".encode()


async def _submit(server: Server, to: str, subject: str) -> str:
    body = {"to": {"address": to}, "subject": subject, "text": "Hello"}
    queued = await server.ok("POST", "/v1/account/ann/submit", body)
    return str(queued["queueId"])


async def test_tokens_come_from_the_server_and_are_asked_for_again(
    server: Server,
    mail: tuple[Dovecot, Postfix],
    introspection: Introspection,
    credentials: CredentialServer,
    webhook_sink: WebhookSink,
) -> None:
    dovecot, postfix = mail
    user = dovecot.new_user()
    hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
    await server.ok("POST", "/v1/settings", {**hooks, "authServer": credentials.url})
    credentials.logins["ann"] = {"user": user.login, "accessToken": introspection.issue("first-token", user.login)}
    tls = {"rejectUnauthorized": False}
    imap = {"host": dovecot.host, "port": dovecot.imap_port, "useAuthServer": True, "tls": tls}
    smtp = {"host": "127.0.0.1", "port": postfix.submission_port, "useAuthServer": True, "tls": tls}
    body: dict[str, Any] = {"account": "ann", "name": "Ann", "email": user.login, "imap": imap, "smtp": smtp}
    await server.ok("POST", "/v1/account", {**body, "logs": True})
    shown = await server.wait_connected("ann")
    assert shown["imap"]["useAuthServer"] is True and "auth" not in shown["imap"]
    await _submit(server, user.login, "with the first token")
    await webhook_sink.wait_for_events("messageSent")
    assert ("ann", "imap") in credentials.asked and ("ann", "smtp") in credentials.asked

    # The token runs out while nobody has another one: the server says so, and the message waits.
    introspection.revoke("first-token")
    await dovecot.doveadm("kick", user.login)
    [failed] = await webhook_sink.wait_for_events("authenticationError")
    assert failed.payload["data"]["serverResponseCode"] == "AUTHENTICATIONFAILED"
    await _submit(server, user.login, "with the second token")
    [error] = await webhook_sink.wait_for_events("messageDeliveryError")
    assert error.payload["data"]["errorCode"] == "EAUTH" and error.payload["data"]["job"]["nextAttempt"]

    credentials.logins["ann"] = {"user": user.login, "accessToken": introspection.issue("second-token", user.login)}
    await server.wait_connected("ann")
    await webhook_sink.wait_for_events("messageSent", 2)
    await dovecot.deliver(user.login, _message("watched"))
    await webhook_sink.wait_for(
        lambda request: request.event == "messageNew" and request.payload["data"]["subject"] == "watched"
    )
    log = (await server.request("GET", "/v1/logs/ann"))[1].decode()
    told = server.log.read_text() + log + str(webhook_sink.requests)
    assert "AUTHENTICATE" in log
    assert not any(secret in told for secret in ("first-token", "second-token", "s%40cret", "s@cret"))


@contextmanager
def _no_more_logins(credentials: CredentialServer) -> Iterator[None]:
    kept = dict(credentials.logins)
    credentials.logins.clear()
    yield
    credentials.logins.update(kept)


async def test_failures_of_the_server(
    server: Server, dovecot: Dovecot, credentials: CredentialServer, webhook_sink: WebhookSink
) -> None:
    user = dovecot.new_user()
    hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
    await server.ok("POST", "/v1/settings", {**hooks, "authServer": credentials.url})
    login: dict[str, object] = {"user": user.login, "pass": user.password}
    credentials.logins.update({"bob": login, user.login: login})
    tls = {"rejectUnauthorized": False}
    imap = {"host": dovecot.host, "port": dovecot.imap_port, "useAuthServer": True, "tls": tls}

    about = {**imap, "auth": {"user": user.login}}
    verified = await server.ok("POST", "/v1/verifyAccount", {"imap": about, "mailboxes": True})
    assert verified["imap"] == {"success": True} and verified["mailboxes"]
    verified = await server.ok("POST", "/v1/verifyAccount", {"imap": imap})
    assert verified["imap"]["code"] == "HTTPRequestError" and verified["imap"]["phase"] == "login"

    await server.ok("POST", "/v1/account", {"account": "bob", "name": "Bob", "imap": imap})
    await server.wait_connected("bob")
    with _no_more_logins(credentials):
        await server.ok("PUT", "/v1/account/bob/reconnect", {"reconnect": True})
        [failed] = await webhook_sink.wait_for_events("authenticationError")
        assert failed.payload["data"]["serverResponseCode"] == "HTTPRequestError"
        shown = await server.ok("GET", "/v1/account/bob")
        assert shown["lastError"]["serverResponseCode"] == "HTTPRequestError"
    await server.wait_connected("bob")
    await credentials.sink.close()
    await server.ok("PUT", "/v1/account/bob/reconnect", {"reconnect": True})
    [failed] = await webhook_sink.wait_for_events("connectError")
    assert failed.payload["data"]["serverResponseCode"] == "ECONNREFUSED"
