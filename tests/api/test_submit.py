"""Submissions over HTTP: every field arrives as the service wants it, and what cannot be done is refused."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.errors import TemplateError
from mailquay.model.message import Address
from mailquay.model.submission import DsnRequest
from mailquay.model.template import TemplateFormat
from mailquay.model.token import Permissions
from mailquay.services.submit_request import (
    MergeEntry,
    ReferenceAction,
    RenderWish,
    SubmitAttachment,
    SubmitEnvelope,
    SubmitReference,
    SubmitRequest,
)
from mailquay.services.tokens import NewToken
from tests.api.world import Reply, World

_TO = {"to": {"address": "a@example.com"}}


@pytest.fixture
def config() -> Config:
    """Small contents."""
    return replace(Config(), max_attachment_bytes=1000)


@pytest.fixture
async def ann(world: World) -> World:
    """A world with an account."""
    await world.register()
    return world


async def submit(world: World, body: dict[str, Any], **options: Any) -> Reply:
    """POST it."""
    return await world.call("POST", "/v1/account/ann/submit", body, **options)


def submitted(world: World) -> SubmitRequest:
    """What the service was asked last."""
    name, (request, _key) = world.recorder.calls[-1]
    assert name == "submit"
    assert isinstance(request, SubmitRequest)
    return request


async def test_every_field_arrives(ann: World) -> None:
    body = {
        "reference": {
            "message": "AAAAAQAAAB4",
            "action": "Reply-All",
            "inline": True,
            "forwardAttachments": False,
            "ignoreMissing": "Y",
            "messageId": "<x@y>",
            "threadId": "t",
        },
        "envelope": {"from": "", "to": "b@example.com"},
        "from": {"name": "Ann", "address": "ann@example.com"},
        "replyTo": {"address": "r@example.com"},
        "to": [{"name": "", "address": "a@example.com"}, {"address": "ü@exämple.com"}],
        "cc": [],
        "bcc": {"name": "B", "address": "b@example.com"},
        "subject": " Hello\r\n there ",
        "text": " kept as it is ",
        "html": "<p>x</p>",
        "previewText": "look",
        "attachments": [
            {"filename": "a.txt", "content": base64.b64encode(b"data").decode(), "contentType": "Text/Plain"},
            {"reference": "AAAAAQAAAB4x", "contentDisposition": "inline", "cid": "c@x"},
        ],
        "messageId": "<own@example.com>",
        "headers": {"X-A": "1", "X-B": ["2", "3"], "X-N": 5},
        "copy": None,
        "sentMailPath": "Sent",
        "locale": "et",
        "tz": "Europe/Tallinn",
        "sendAt": "2027-01-01T00:00:00Z",
        "deliveryAttempts": 3,
        "gateway": " relay ",
        "dsn": {"id": "e", "return": "Headers", "notify": ["success", "failure"], "recipient": "o@example.com"},
        "proxy": "socks5://p.example.com:1",
        "localAddress": "192.0.2.1",
        "dryRun": True,
        "template": "",
        "trackOpens": False,
        "render": False,
    }
    reply = await submit(ann, body, headers={"Idempotency-Key": '"key 1"'})
    assert reply.status == 200
    assert ann.recorder.calls[-1][1][1] == "key 1"
    assert submitted(ann) == SubmitRequest(
        reference=SubmitReference(
            "AAAAAQAAAB4",
            ReferenceAction.REPLY_ALL,
            inline=True,
            ignore_missing=True,
            message_id="<x@y>",
            thread_id="t",
        ),
        envelope=SubmitEnvelope("", ("b@example.com",)),
        from_=Address("Ann", "ann@example.com"),
        reply_to=(Address("", "r@example.com"),),
        to=(Address("", "a@example.com"), Address("", "ü@exämple.com")),
        cc=(),
        bcc=(Address("B", "b@example.com"),),
        subject="Hello there",
        text=" kept as it is ",
        html="<p>x</p>",
        preview_text="look",
        attachments=(
            SubmitAttachment("a.txt", b"data", "text/plain"),
            SubmitAttachment(content_disposition="inline", cid="c@x", reference="AAAAAQAAAB4x"),
        ),
        message_id="<own@example.com>",
        headers={"X-A": ("1",), "X-B": ("2", "3"), "X-N": ("5",)},
        sent_mail_path="Sent",
        locale="et",
        tz="Europe/Tallinn",
        send_at_ms=1_798_761_600_000,
        delivery_attempts=3,
        gateway="relay",
        dsn=DsnRequest("headers", ("success", "failure"), "e", "o@example.com"),
        proxy="socks5://p.example.com:1",
        local_address="192.0.2.1",
        dry_run=True,
    )


async def test_raw_arrives_decoded(ann: World) -> None:
    raw = base64.urlsafe_b64encode(b"Subject: \xfb\xff\r\n\r\n").decode().rstrip("=")
    assert (await submit(ann, {"raw": raw, "copy": "true"})).status == 200
    assert submitted(ann) == SubmitRequest(raw=b"Subject: \xfb\xff\r\n\r\n", copy=True)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"to": "nope", "bogus": True}, {"to.0", "bogus"}),
        ({"to": {"address": "a@b\r\nRCPT TO:<x@y>"}}, {"to.0.address"}),
        ({"to": {"name": "x\r\nBcc: y", "address": "a@b.c"}}, {"to.0.name"}),
        ({"from": {"address": "a@b.c", "extra": 1}}, {"from.extra"}),
        ({"to": {"address": "no at"}, "subject": "x" * 10241, "sendAt": "soon"}, {"to.0.address", "subject", "sendAt"}),
        ({"text": "x" * 1001, "html": "x" * 1001, "raw": "A" * 1001}, {"text", "html", "raw"}),
        ({"raw": "***"}, {"raw"}),
        ({"raw": "AAAA", "html": "x"}, {"value"}),
        ({"attachments": [{"filename": "x"}]}, {"attachments.0"}),
        ({"attachments": [{"content": "AAAA", "encoding": "hex"}]}, {"attachments.0.encoding"}),
        ({"headers": {"Bad Name": "x"}}, {"headers"}),
        ({"headers": {"X": "a\nb"}}, {"headers"}),
        ({"headers": []}, {"headers"}),
        ({"dsn": {"notify": ["never", "success"], "return": "full"}}, {"dsn"}),
        ({"dsn": {}}, {"dsn.return"}),
        ({"reference": {"action": "bounce"}}, {"reference.message", "reference.action"}),
        ({"proxy": "gopher://x"}, {"proxy"}),
        ({"localAddress": "300.1.1.1"}, {"localAddress"}),
        ({"subject": None}, {"subject"}),
        ({"deliveryAttempts": -1}, {"deliveryAttempts"}),
    ],
)
async def test_what_is_wrong_is_told_all_at_once(ann: World, body: dict[str, Any], paths: set[str]) -> None:
    reply = await submit(ann, body)
    assert reply.status == 400
    shown = {field["path"] or "value" for field in reply.json["fields"]}
    assert shown == paths
    assert "submit" not in ann.recorder.names


@pytest.mark.parametrize(
    "body",
    [
        {"trackOpens": True},
        {"trackClicks": "true"},
    ],
)
async def test_what_comes_later_is_refused_not_ignored(ann: World, body: dict[str, Any]) -> None:
    reply = await submit(ann, {**_TO, **body})
    assert reply.status == 400
    [field] = reply.json["fields"]
    assert field["key"] == next(iter(body)) and "not available in this release" in field["message"]


async def test_a_narrowed_token_may_not_choose_a_proxy(ann: World) -> None:
    wanted = NewToken("narrow", account="ann", permissions=Permissions(("send",), None))
    token = (await ann.tokens.create(wanted)).value
    assert (await submit(ann, _TO, token=token)).status == 200
    assert (await submit(ann, {**_TO, "proxy": "http://p.example.com"}, token=token)).status == 403


async def test_idempotency_keys(ann: World) -> None:
    for header, key in (("", None), ("abc", "abc"), ('"a b"', "a b"), ('"', '"'), ("k" * 1024, "k" * 1024)):
        assert (await submit(ann, _TO, headers={"Idempotency-Key": header})).status == 200
        assert ann.recorder.calls[-1][1][1] == key
    assert (await submit(ann, _TO, headers={"Idempotency-Key": "k" * 1025})).status == 400


async def test_hidden_queries_are_accepted(ann: World) -> None:
    target = "/v1/account/ann/submit?documentStore=true&useStructuredFormat=false"
    assert (await ann.call("POST", target, _TO)).status == 200


async def test_the_outbox(ann: World) -> None:
    queue_id = "1a2ce8bd400cbc98f10"
    assert (await ann.call("GET", "/v1/outbox?pageSize=1")).json["total"] == 1
    assert (await ann.call("GET", f"/v1/outbox/{queue_id}")).json == {"queueId": queue_id}
    assert (await ann.call("DELETE", f"/v1/outbox/{queue_id}")).json == {"deleted": True}
    assert (await ann.call("DELETE", f"/v1/outbox/{queue_id}")).json == {"deleted": False}
    assert (await ann.call("GET", f"/v1/outbox/{queue_id}")).status == 404
    assert (await ann.call("GET", "/v1/outbox/" + "x" * 101)).status == 400


async def test_what_is_to_be_rendered_arrives(ann: World) -> None:
    params = {"a": [1, {"b": None}], "__proto__": 1}
    assert (
        await submit(ann, {**_TO, "template": "t", "render": {"format": "Markdown", "params": params}})
    ).status == 200
    assert submitted(ann).template == "t"
    assert submitted(ann).render == RenderWish(TemplateFormat.MARKDOWN, params)
    for render, wish in (({}, RenderWish()), (False, None), ({"params": {}}, RenderWish())):
        assert (await submit(ann, {**_TO, "render": render})).status == 200
        assert submitted(ann).render == wish


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"template": "t", "raw": "AAAA"}, "template"),
        ({"template": "t" * 257}, "template"),
        ({"template": None}, "template"),
        ({"render": {"format": "mjml"}}, "render.format"),
        ({"render": {"params": []}}, "render.params"),
        ({"render": {"more": 1}}, "render.more"),
        ({"render": True}, "render"),
    ],
)
async def test_what_cannot_be_rendered_is_refused(ann: World, body: dict[str, Any], path: str) -> None:
    reply = await submit(ann, {**_TO, **body})
    assert reply.status == 400
    assert [field["path"] for field in reply.json["fields"]] == [path]


async def test_mistakes_in_templates_are_told_with_their_place(ann: World) -> None:
    ann.recorder.error = TemplateError("html of the template, line 3: wrong", part="html", line=3)
    reply = await submit(ann, {**_TO, "render": {}})
    assert reply.status == 422
    assert (reply.json["code"], reply.json["info"]) == ("TemplateError", {"part": "html", "line": 3})


async def test_a_mail_merge_arrives(ann: World) -> None:
    body = {
        "subject": "{{params.n}}",
        "mailMerge": [
            {"to": {"name": "A", "address": "a@b.test"}, "messageId": "<x@y>", "params": {"n": 1}},
            {"to": {"address": "c@d.test"}, "sendAt": "2027-01-01T00:00:00Z"},
        ],
    }
    assert (await submit(ann, body)).status == 200
    assert submitted(ann).merge == (
        MergeEntry(Address("A", "a@b.test"), "<x@y>", {"n": 1}),
        MergeEntry(Address("", "c@d.test"), None, {}, 1_798_761_600_000),
    )


_ENTRY = {"to": {"address": "a@b.test"}}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"mailMerge": []}, ["mailMerge"]),
        ({"mailMerge": None}, ["mailMerge"]),
        ({"mailMerge": [{}, {"to": {"address": "x"}, "more": 1}]}, ["0.to", "1.more", "1.to.address"]),
        ({"mailMerge": [{**_ENTRY, "params": []}]}, ["0.params"]),
        ({"mailMerge": [_ENTRY], "to": _ENTRY["to"]}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY], "cc": []}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY], "bcc": []}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY], "raw": "AAAA"}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY], "envelope": {}}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY], "render": {}}, ["mailMerge"]),
        ({"mailMerge": [_ENTRY] * 10_001}, ["mailMerge"]),
        ({"listId": "l.example.com"}, ["listId"]),
        ({"mailMerge": [_ENTRY], "listId": "no host"}, ["listId"]),
        ({"mailMerge": [_ENTRY], "baseUrl": "ftp://x.example"}, ["baseUrl"]),
    ],
)
async def test_a_mail_merge_that_cannot_be_is_refused(ann: World, body: dict[str, Any], paths: list[str]) -> None:
    reply = await submit(ann, body)
    assert reply.status == 400
    assert sorted(field["path"].removeprefix("mailMerge.") for field in reply.json["fields"]) == paths
    assert "submit" not in ann.recorder.names


async def test_what_became_of_an_uncertain_message_is_said(world: World) -> None:
    path = "/v1/outbox/1a2ce8bd400cbc98f10"
    reply = await world.call("POST", f"{path}/resolve", {"outcome": "Sent"})
    assert reply.json == {"queueId": "1a2ce8bd400cbc98f10", "resolved": "sent"}
    assert world.outbox.resolved == [("1a2ce8bd400cbc98f10", "sent")]
    for body in ({}, {"outcome": "lost"}, {"outcome": "sent", "more": 1}):
        assert (await world.call("POST", f"{path}/resolve", body)).status == 400
    assert (await world.call("POST", "/v1/outbox/1a2ce8bd400cbc98f11/resolve", {"outcome": "failed"})).status == 404
    assert len(world.outbox.resolved) == 1


async def test_a_waiting_message_is_sent_now(world: World) -> None:
    for queue_id, retried in (("1a2ce8bd400cbc98f10", True), ("1a2ce8bd400cbc98f11", False)):
        reply = await world.call("POST", f"/v1/outbox/{queue_id}/retry")
        assert reply.json == {"queueId": queue_id, "retried": retried}


async def test_a_draft_arrives(ann: World) -> None:
    body = {
        "envelope": {"from": "", "to": "b@example.com"},
        "copy": "N",
        "sentMailPath": "Sent",
        "sendAt": "2027-01-01T00:00:00Z",
        "deliveryAttempts": 3,
        "gateway": "relay",
        "dsn": {"return": "full"},
        "proxy": "socks5://p.example.com:1",
        "localAddress": "192.0.2.1",
    }
    target = "/v1/account/ann/message/AAAAAQAAAB4/submit"
    reply = await ann.call("POST", target, body, headers={"Idempotency-Key": "k"})
    assert reply.status == 200
    wanted = SubmitRequest(
        envelope=SubmitEnvelope("", ("b@example.com",)),
        copy=False,
        sent_mail_path="Sent",
        send_at_ms=1_798_761_600_000,
        delivery_attempts=3,
        gateway="relay",
        dsn=DsnRequest("full"),
        proxy="socks5://p.example.com:1",
        local_address="192.0.2.1",
    )
    assert ann.recorder.calls[-1] == ("submit_draft", ("AAAAAQAAAB4", wanted, "k"))


_JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("data", [b"", b"{}", b"null"])
async def test_a_draft_needs_no_body(ann: World, data: bytes) -> None:
    reply = await ann.call("POST", "/v1/account/ann/message/AAAAAQAAAB4/submit", data=data, headers=_JSON)
    assert reply.status == 200
    assert ann.recorder.calls[-1] == ("submit_draft", ("AAAAAQAAAB4", SubmitRequest(), None))


async def test_a_draft_brings_its_own_contents(ann: World) -> None:
    reply = await ann.call("POST", "/v1/account/ann/message/AAAAAQAAAB4/submit", {"subject": "x", "gateway": "a\nb"})
    assert reply.status == 400
    assert {field["key"] for field in reply.json["fields"]} == {"subject", "gateway"}


async def test_a_narrowed_token_may_not_choose_a_proxy_for_drafts(ann: World) -> None:
    wanted = NewToken("narrow", account="ann", permissions=Permissions(("send",), None))
    token = (await ann.tokens.create(wanted)).value
    target = "/v1/account/ann/message/AAAAAQAAAB4/submit"
    assert (await ann.call("POST", target, {}, token=token)).status == 200
    assert (await ann.call("POST", target, {"proxy": "http://p.example.com"}, token=token)).status == 403
