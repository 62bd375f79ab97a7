"""An account's own log against real servers: both protocols, both ways, and not one of the credentials."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.e2e.test_story import account_body
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server

WRONG = "wrong-password-4711"
SECRET_TEXT = "what only the two of them know"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path) as running:
        yield running


async def _log(server: Server, account: str) -> list[dict[str, Any]]:
    _, text = await server.request("GET", f"/v1/logs/{account}")
    assert isinstance(text, bytes)
    return [json.loads(line) for line in text.decode().splitlines()]


def _forms(user: MailUser) -> list[str]:
    """Every way in which the credentials go over a wire."""
    plain = [base64.b64encode(f"\0{user.login}\0{word}".encode()).decode() for word in (user.password, WRONG)]
    words = [base64.b64encode(word.encode()).decode() for word in (user.password, WRONG)]
    return [user.password, WRONG, *plain, *words]


async def test_a_log_that_is_switched_on(
    server: Server, dovecot: Dovecot, postfix: Postfix, webhook_sink: WebhookSink, mail_user: MailUser
) -> None:
    hooks = {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
    await server.ok("POST", "/v1/settings", hooks)
    await server.ok("POST", "/v1/account", account_body(dovecot, postfix, mail_user, "ann"))
    await server.wait_connected("ann")
    assert b"No logs found" in (await server.request("GET", "/v1/logs/ann"))[1]

    await server.ok("PUT", "/v1/account/ann", {"logs": True})
    mail = {"to": [{"address": mail_user.login}], "subject": "Hello", "text": SECRET_TEXT}
    await server.wait_connected("ann")
    await server.ok("POST", "/v1/account/ann/submit", mail)
    await webhook_sink.wait_for_events("messageSent")
    [new] = await webhook_sink.wait_for_events("messageNew")
    message = new.payload["data"]["id"]
    await server.ok("GET", f"/v1/account/ann/message/{message}?textType=*")
    lines = await _log(server, "ann")
    protocol = [line for line in lines if "src" in line]
    assert {(line["cid"].partition("-")[0], line["src"]) for line in protocol} == {
        (name, side) for name in ("imap", "smtp") for side in "cs"
    }
    assert all(isinstance(line["t"], int) for line in lines)
    said = [line["msg"] for line in protocol if line["src"] == "c"]
    assert any(text.startswith("A") and "AUTHENTICATE PLAIN ******" in text for text in said)
    assert any(text.startswith("AUTH PLAIN ******") for text in said)
    assert any(text.startswith("(a message, ") for text in said)
    assert any(text.startswith("RCPT TO:<") for text in said)
    assert any("{" in line["msg"] for line in protocol if line["src"] == "s")

    # Credentials that are refused are looked for as well, whatever the server says about them.
    body = account_body(dovecot, postfix, mail_user, "ann")
    for part in ("imap", "smtp"):
        body[part]["auth"]["pass"] = WRONG
    await server.ok("PUT", "/v1/account/ann", {part: body[part] for part in ("imap", "smtp")})
    await webhook_sink.wait_for_events("authenticationError")
    lines = await _log(server, "ann")
    assert any(" NO " in line["msg"] for line in lines if line.get("src") == "s")
    text = json.dumps(lines, ensure_ascii=False)
    for secret in (*_forms(mail_user), SECRET_TEXT):
        assert secret not in text

    await server.ok("PUT", "/v1/account/ann", {"logs": False})
    before = len(await _log(server, "ann"))
    for part in ("imap", "smtp"):
        body[part]["auth"]["pass"] = mail_user.password
    await server.ok("PUT", "/v1/account/ann", {part: body[part] for part in ("imap", "smtp")})
    await server.wait_connected("ann")
    assert len(await _log(server, "ann")) <= before + 1
