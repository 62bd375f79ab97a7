"""What users do first: register, wait, list, read, answer with an attachment, schedule, cancel; with real servers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import Server
from tests.servers.dovecot import Dovecot, MailUser
from tests.servers.postfix import Postfix
from tests.servers.webhook_sink import WebhookSink

pytestmark = pytest.mark.server


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


@pytest.fixture
async def server(database: str | None, tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path, database=database) as running:
        yield running


def account_body(dovecot: Dovecot, postfix: Postfix, user: MailUser, account: str) -> dict[str, Any]:
    auth = {"user": user.login, "pass": user.password}
    tls = {"rejectUnauthorized": False}
    return {
        "account": account,
        "name": f"User {account}",
        "email": user.login,
        "imap": {"auth": auth, "host": dovecot.host, "port": dovecot.imap_port, "secure": False, "tls": tls},
        "smtp": {"auth": auth, "host": "127.0.0.1", "port": postfix.submission_port, "secure": False, "tls": tls},
    }


def _mail(subject: str, extra: str = "") -> bytes:
    return (
        f"From: Ann Example <ann@remote.test>\r\nTo: you@example.test\r\nSubject: {subject}\r\n{extra}"
        f"Message-ID: <{subject.replace(' ', '.')}@remote.test>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHällo dort\r\n"
    ).encode()


async def test_the_first_hour_of_a_user(
    server: Server, dovecot: Dovecot, postfix: Postfix, webhook_sink: WebhookSink, mail_user: MailUser
) -> None:
    other = dovecot.new_user()
    await server.ok(
        "POST",
        "/v1/settings",
        {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"], "notifyText": True},
    )
    await dovecot.deliver(mail_user.login, _mail("before"))
    body = account_body(dovecot, postfix, mail_user, "ann")
    verified = await server.ok("POST", "/v1/verifyAccount", {"imap": body["imap"], "smtp": body["smtp"]})
    assert (verified["imap"]["success"], verified["smtp"]["success"]) == (True, True), verified
    assert await server.ok("POST", "/v1/account", body) == {"account": "ann", "state": "new"}
    await server.ok("POST", "/v1/account", account_body(dovecot, postfix, other, "bob"))
    info = await server.wait_connected("ann")
    await server.wait_connected("bob")
    assert info["imap"]["auth"]["pass"] == "******"
    await webhook_sink.wait_for_events("accountInitialized", 2)

    boxes = (await server.ok("GET", "/v1/account/ann/mailboxes"))["mailboxes"]
    assert [box["specialUse"] for box in boxes[:2]] == ["\\Inbox", "\\Sent"]

    await dovecot.deliver(mail_user.login, _mail("Question"))
    [hook] = await webhook_sink.wait_for(
        lambda request: request.event == "messageNew" and request.payload["data"].get("subject") == "Question"
    )
    data = hook.payload["data"]
    assert data["text"]["plain"] == "Hällo dort\n"
    assert data["from"] == {"name": "Ann Example", "address": "ann@remote.test"}
    listing = await server.ok("GET", "/v1/account/ann/messages?path=INBOX")
    assert [message["subject"] for message in listing["messages"]] == ["Question", "before"]
    assert listing["total"] == 2
    assert listing["messages"][0]["id"] == data["id"]

    message = await server.ok("GET", f"/v1/account/ann/message/{data['id']}?textType=*&markAsSeen=true")
    assert message["text"]["plain"] == "Hällo dort\n"
    assert "\\Seen" in message["flags"]
    assert message["headers"]["subject"] == ["Question"]
    await webhook_sink.wait_for_events("messageUpdated", account="ann")

    reply = {
        "reference": {"message": data["id"], "action": "reply", "inline": True},
        "to": [{"address": other.login}],
        "html": "<p>My answer</p>",
        "attachments": [
            {"filename": "año.txt", "content": base64.b64encode(b"attached").decode(), "contentType": "text/plain"}
        ],
        "bcc": [{"address": "hidden@sink.test"}],
    }
    reply.pop("bcc")
    headers = {"Idempotency-Key": "k1"}
    queued = await server.ok("POST", "/v1/account/ann/submit", reply, headers=headers)
    assert queued["response"] == "Queued for delivery"
    assert queued["idempotency"] == {"key": "k1", "status": "MISS"}
    again = await server.ok("POST", "/v1/account/ann/submit", reply, headers=headers)
    assert (again["queueId"], again["idempotency"]["status"]) == (queued["queueId"], "HIT")
    [sent] = await webhook_sink.wait_for_events("messageSent", account="ann")
    assert sent.payload["data"]["queueId"] == queued["queueId"]
    assert sent.payload["data"]["messageId"] == queued["messageId"]
    [arrived] = await webhook_sink.wait_for_events("messageNew", account="bob")
    got = arrived.payload["data"]
    assert got["subject"] == "Re: Question"
    assert got["inReplyTo"] == "<Question@remote.test>"
    assert [item["filename"] for item in got["attachments"]] == ["año.txt"]
    assert "My answer" in got["text"]["html"]
    assert "Hällo dort" in got["text"]["html"]
    status, content = await server.request("GET", f"/v1/account/bob/attachment/{got['attachments'][0]['id']}")
    assert (status, content) == (200, b"attached")
    status, source = await server.request("GET", f"/v1/account/bob/message/{got['id']}/source")
    assert status == 200
    assert b"Subject: Re: Question" in source
    target = f"/v1/account/bob/message/{got['id']}/source"
    for wanted, expected in (("100-299", source[100:300]), ("200-", source[200:]), ("-50", source[-50:])):
        status, some = await server.request("GET", target, headers={"Range": f"bytes={wanted}"})
        assert (status, some) == (206, expected)
    status, refused = await server.request("GET", target, headers={"Range": f"bytes={len(source)}-"})
    assert (status, refused["code"]) == (416, "RangeNotSatisfiable")

    copies = await webhook_sink.wait_for(
        lambda request: request.event == "messageNew" and request.payload.get("specialUse") == "\\Sent"
    )
    assert copies[0].payload["data"]["messageId"] == queued["messageId"]
    flagged = await webhook_sink.wait_for(
        lambda request: (
            request.event == "messageUpdated"
            and "\\Answered" in request.payload["data"]["changes"]["flags"].get("added", [])
        )
    )
    assert flagged[0].payload["data"]["id"] == data["id"]

    later = await server.ok(
        "POST",
        "/v1/account/ann/submit",
        {"to": {"address": other.login}, "subject": "Later", "text": "x", "sendAt": "2099-01-01T00:00:00.000Z"},
    )
    outbox = await server.ok("GET", "/v1/outbox")
    assert [entry["queueId"] for entry in outbox["messages"]] == [later["queueId"]]
    assert outbox["messages"][0]["nextAttempt"] == "2099-01-01T00:00:00.000Z"
    assert await server.ok("DELETE", f"/v1/outbox/{later['queueId']}") == {"deleted": True}
    assert await server.ok("DELETE", f"/v1/outbox/{later['queueId']}") == {"deleted": False}

    await server.ok("PUT", f"/v1/account/ann/message/{data['id']}", {"flags": {"add": ["\\Flagged"]}})
    shown = await server.ok("GET", f"/v1/account/ann/message/{data['id']}")
    assert shown["flagged"] is True
    moved = await server.ok("PUT", f"/v1/account/ann/message/{data['id']}/move", {"path": "Archive"})
    assert moved["path"] == "Archive"
    listing = await server.ok("GET", "/v1/account/ann/messages?path=Archive")
    assert [message["id"] for message in listing["messages"]] == [moved["id"]]
    status, missing = await server.request("GET", f"/v1/account/ann/message/{data['id']}")
    assert (status, missing["code"]) == (404, "MessageNotFound")
    gone = await server.ok("DELETE", f"/v1/account/ann/message/{moved['id']}")
    assert gone["deleted"] is False
    assert gone["moved"]["destination"] == "Trash"
    final = await server.ok("DELETE", f"/v1/account/ann/message/{gone['moved']['message']}")
    assert final == {"deleted": True}

    assert await server.ok("DELETE", "/v1/account/bob") == {"account": "bob", "deleted": True}
    await webhook_sink.wait_for_events("accountDeleted", account="bob")
    assert await server.stop() == 0
    log = server.log.read_text()
    for secret in (mail_user.password, other.password, server.token):
        assert secret not in log


async def test_refusals_are_told_apart(
    server: Server, dovecot: Dovecot, postfix: Postfix, webhook_sink: WebhookSink, mail_user: MailUser
) -> None:
    await server.ok(
        "POST", "/v1/settings", {"webhooks": webhook_sink.url, "webhooksEnabled": True, "webhookEvents": ["*"]}
    )
    body = account_body(dovecot, postfix, mail_user, "ann")
    await server.ok("POST", "/v1/account", body)
    await server.wait_connected("ann")
    status, answer = await server.request("POST", "/v1/account/ann/submit", {"to": "nope", "bogus": True})
    assert status == 400
    assert {field.get("key") for field in answer["fields"]} >= {"bogus"}
    wrong = account_body(dovecot, postfix, MailUser(mail_user.login, "wrong-password"), "eve")
    await server.ok("POST", "/v1/account", wrong)
    [failed] = await webhook_sink.wait_for_events("authenticationError", account="eve")
    assert failed.payload["data"]["serverResponseCode"] == "AUTHENTICATIONFAILED"
    status, answer = await server.request("GET", "/v1/account/eve/messages?path=INBOX")
    assert (status, answer["code"], answer["state"]) == (503, "AuthenticationFails", "authenticationError")
    await server.ok(
        "POST", "/v1/account/eve/submit", {"to": {"address": "x@refused.test"}, "subject": "s", "text": "t"}
    )
    [error] = await webhook_sink.wait_for_events("messageDeliveryError", account="eve")
    assert error.payload["data"]["errorCode"] == "EAUTH"
    await webhook_sink.wait_for_events("messageFailed", account="eve")
