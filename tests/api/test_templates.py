"""Templates over HTTP: kept, shown, changed and removed, each by whom it belongs to."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from mailquay.config import Config
from mailquay.model.token import Permissions
from mailquay.services.tokens import NewToken
from tests.api.world import START_MS, Reply, World

_TEXTS = {"subject": "Hi {{params.name}}", "text": "Hi", "html": "<p>Hi</p>\n", "previewText": "pre"}
_UNKNOWN = "AAABoftuzz8AAAABY2FwMQ"


@pytest.fixture
def config() -> Config:
    """Small contents."""
    return replace(Config(), max_attachment_bytes=1000)


@pytest.fixture
async def ann(world: World) -> World:
    """A world with two accounts."""
    await world.register()
    await world.register("bob")
    return world


async def keep(world: World, account: str | None = "ann", **more: Any) -> Reply:
    """POST a template."""
    body = {"account": account, "name": "Welcome", "content": _TEXTS, **more}
    return await world.call("POST", "/v1/templates/template", body)


async def kept_id(world: World, account: str | None = "ann", **more: Any) -> str:
    """The id of a new template."""
    reply = await keep(world, account, **more)
    assert reply.status == 200, reply.json
    template_id: str = reply.json["id"]
    return template_id


async def test_a_template_is_kept_and_shown(ann: World) -> None:
    reply = await keep(ann, description=" d ", format="Markdown")
    template_id = reply.json["id"]
    assert reply.json == {"created": True, "account": "ann", "id": template_id}
    raw = base64.urlsafe_b64decode(template_id + "==")
    assert (int.from_bytes(raw[:8], "big"), raw[12:]) == (START_MS, b"ann")
    shown = (await ann.call("GET", f"/v1/templates/template/{template_id}")).json
    assert shown == {
        "account": "ann",
        "id": template_id,
        "name": "Welcome",
        "description": "d",
        "format": "markdown",
        "created": "2026-11-21T00:00:00.000Z",
        "content": _TEXTS,
    }


async def test_ids_count_up_and_say_whose_they_are(ann: World) -> None:
    ids = [await kept_id(ann, account) for account in (None, None, "ann")]
    raws = [base64.urlsafe_b64decode(one + "==") for one in ids]
    counts = [int.from_bytes(raw[8:12], "big") for raw in raws]
    assert counts == [counts[0], counts[0] + 1, counts[0] + 2]
    assert [len(raw) for raw in raws] == [12, 12, 15]


async def test_ids_of_long_account_names_stay_within_their_bounds(ann: World) -> None:
    long = "ü" * 256
    await ann.register(long, email="long@example.com")
    template_id = await kept_id(ann, long)
    assert len(template_id) <= 256
    token = (await ann.tokens.create(NewToken("bound", account=long))).value
    reply = await ann.call("GET", f"/v1/templates/template/{template_id}", token=token)
    assert reply.status == 200 and reply.json["account"] == long
    assert (await ann.call("GET", f"/v1/templates/template/{await kept_id(ann)}", token=token)).status == 403


async def test_lists(ann: World) -> None:
    own = [await kept_id(ann, name=f"n{n}") for n in range(3)]
    shared = await kept_id(ann, None, name="all")
    page = (await ann.call("GET", "/v1/templates?account=ann&pageSize=2")).json
    assert {key: page[key] for key in ("account", "total", "page", "pages")} == {
        "account": "ann",
        "total": 3,
        "page": 0,
        "pages": 2,
    }
    created = "2026-11-21T00:00:00.000Z"
    assert page["templates"] == [
        {"id": one, "name": name, "format": "html", "created": created}
        for one, name in ((own[2], "n2"), (own[1], "n1"))
    ]
    page = (await ann.call("GET", "/v1/templates")).json
    assert (page["account"], [one["id"] for one in page["templates"]]) == (None, [shared])
    assert (await ann.call("GET", "/v1/templates?account=bob")).json["templates"] == []
    assert (await ann.call("GET", "/v1/templates?account=nobody")).status == 404


async def test_changes_are_partial_and_content_is_replaced_as_a_whole(ann: World) -> None:
    template_id = await kept_id(ann, description="d", format="markdown")
    target = f"/v1/templates/template/{template_id}"
    ann.clock.ms += 1000
    reply = await ann.call("PUT", target, {"name": "New"})
    assert reply.json == {"updated": True, "account": "ann", "id": template_id}
    shown = (await ann.call("GET", target)).json
    assert (shown["name"], shown["description"], shown["format"], shown["content"]) == ("New", "d", "markdown", _TEXTS)
    assert (shown["created"], shown["updated"]) == ("2026-11-21T00:00:00.000Z", "2026-11-21T00:00:01.000Z")
    body = {"format": "html", "description": "", "content": {"html": " kept as it is "}}
    assert (await ann.call("PUT", target, body)).status == 200
    shown = (await ann.call("GET", target)).json
    assert (shown["name"], shown["format"], shown["content"]) == ("New", "html", {"html": " kept as it is "})
    assert "description" not in shown
    assert (await ann.call("PUT", target, {})).status == 200


async def test_deleting(ann: World) -> None:
    template_id = await kept_id(ann)
    target = f"/v1/templates/template/{template_id}"
    assert (await ann.call("DELETE", target)).json == {"deleted": True, "account": "ann", "id": template_id}
    assert (await ann.call("DELETE", target)).json == {"deleted": False, "account": None, "id": template_id}
    for method, body in (("GET", None), ("PUT", {})):
        reply = await ann.call(method, target, body)
        assert (reply.status, reply.json["code"]) == (404, "TemplateNotFound")


async def test_deleting_all_of_an_account_has_to_be_meant(ann: World) -> None:
    own, other, shared = await kept_id(ann), await kept_id(ann, "bob"), await kept_id(ann, None)
    for query in ("", "?force=false"):
        reply = await ann.call("DELETE", f"/v1/templates/account/ann{query}")
        assert (reply.status, reply.json["code"]) == (400, "ForceRequired")
    assert (await ann.call("GET", f"/v1/templates/template/{own}")).status == 200
    assert (await ann.call("DELETE", "/v1/templates/account/ann?force=true")).json == {
        "flushed": True,
        "account": "ann",
    }
    assert (await ann.call("GET", f"/v1/templates/template/{own}")).status == 404
    for template_id in (other, shared):
        assert (await ann.call("GET", f"/v1/templates/template/{template_id}")).status == 200
    assert (await ann.call("DELETE", "/v1/templates/account/nobody?force=true")).status == 404


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, {"account", "name", "content"}),
        ({"account": None, "name": "", "content": {}}, {"name"}),
        ({"account": None, "name": "x" * 257, "description": "x" * 1025, "content": {}}, {"name", "description"}),
        ({"account": None, "name": "x", "format": "mjml", "content": {"more": 1}}, {"format", "content.more"}),
        (
            {"account": None, "name": "x", "content": {"subject": "x" * 10241, "previewText": "x" * 1025}},
            {"content.subject", "content.previewText"},
        ),
        ({"account": None, "name": "x", "content": {"text": "x" * 1001, "html": 5}}, {"content.text", "content.html"}),
        ({"account": None, "name": "x", "content": "text"}, {"content"}),
        ({"account": "", "name": "x", "content": {"text": None}}, {"content.text"}),
    ],
)
async def test_what_is_wrong_is_told_all_at_once(ann: World, body: dict[str, Any], paths: set[str]) -> None:
    reply = await ann.call("POST", "/v1/templates/template", body)
    assert reply.status == 400
    assert {field["path"] for field in reply.json["fields"]} == paths
    assert (await ann.call("GET", "/v1/templates")).json["total"] == 0


async def test_an_account_has_to_exist(ann: World) -> None:
    assert (await keep(ann, "nobody")).status == 404
    assert (await keep(ann, "")).status == 404


async def test_what_a_template_holds_is_not_checked_when_it_is_kept(ann: World) -> None:
    assert (await keep(ann, content={"html": "{{#if}}"})).status == 200


async def test_a_bound_token_reaches_its_own_templates_only(ann: World) -> None:
    own, other, shared = await kept_id(ann), await kept_id(ann, "bob"), await kept_id(ann, None)
    token = (await ann.tokens.create(NewToken("bound", account="ann"))).value

    async def status(method: str, target: str, body: object = None) -> int:
        return (await ann.call(method, target, body, token=token)).status

    for template_id in (other, shared, _UNKNOWN, "x", "%C3%A9"):
        assert await status("GET", f"/v1/templates/template/{template_id}") == 403
        assert await status("PUT", f"/v1/templates/template/{template_id}", {"name": "x"}) == 403
        assert await status("DELETE", f"/v1/templates/template/{template_id}") == 403
    assert await status("GET", f"/v1/templates/template/{own}") == 200
    assert await status("PUT", f"/v1/templates/template/{own}", {"name": "x"}) == 200
    assert await status("GET", "/v1/templates") == 403
    assert await status("GET", "/v1/templates?account=bob") == 403
    assert await status("GET", "/v1/templates?account=ann") == 200
    assert await status("DELETE", "/v1/templates/account/bob?force=true") == 403
    body = {"account": "bob", "name": "mine", "content": {}}
    reply = await ann.call("POST", "/v1/templates/template", body, token=token)
    assert reply.json["account"] == "ann"
    assert await status("GET", f"/v1/templates/template/{reply.json['id']}") == 200
    assert await status("DELETE", f"/v1/templates/template/{own}") == 200
    assert await status("GET", f"/v1/templates/template/{own}") == 404
    assert await status("DELETE", "/v1/templates/account/ann?force=true") == 200
    assert (await ann.call("GET", f"/v1/templates/template/{other}")).json["name"] == "Welcome"


async def test_permissions(ann: World) -> None:
    wanted = NewToken("narrow", permissions=Permissions(("read",), ("template",)))
    token = (await ann.tokens.create(wanted)).value
    assert (await ann.call("GET", "/v1/templates", token=token)).status == 200
    body: dict[str, Any] = {"account": None, "name": "x", "content": {}}
    assert (await ann.call("POST", "/v1/templates/template", body, token=token)).status == 403
    assert (await ann.call("DELETE", "/v1/templates/account/ann?force=true", token=token)).status == 403
