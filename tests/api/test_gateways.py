"""Gateways over HTTP: kept, shown without their passwords, changed by what was given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mailquay.model.account import SmtpSettings
from mailquay.model.token import Permissions
from mailquay.services.tokens import NewToken
from tests.api.world import Reply, World

_SECRET = "gateway-secret"
_RELAY = {"gateway": "relay", "name": "Relay", "user": "u", "pass": _SECRET, "host": "relay.test", "port": 587}


async def keep(world: World, **more: Any) -> Reply:
    """POST a gateway."""
    return await world.call("POST", "/v1/gateway", {**_RELAY, **more})


async def edit(world: World, body: object) -> Reply:
    """PUT changes of it."""
    return await world.call("PUT", "/v1/gateway/edit/relay", body)


async def server(world: World) -> SmtpSettings:
    """What is stored of its server."""
    gateway = await world.store.gateways.get("relay")
    assert gateway is not None
    return gateway.server


async def test_a_gateway_is_kept_and_shown(world: World) -> None:
    reply = await keep(world, secure="Y")
    assert (reply.status, reply.json) == (200, {"gateway": "relay", "state": "new"})
    assert (await world.call("GET", "/v1/gateway/relay")).json == {
        "gateway": "relay",
        "name": "Relay",
        "deliveries": 0,
        "lastUse": None,
        "lastError": None,
        "user": "u",
        "pass": "******",
        "host": "relay.test",
        "port": 587,
        "secure": True,
    }


async def test_ids_are_made_where_none_is_given(world: World) -> None:
    ids = {(await keep(world, gateway=given)).json["gateway"] for given in (None, None, "")}
    assert len(ids) == 3 and all(len(one) == 16 for one in ids)
    odd = "a/b ü"
    assert (await keep(world, gateway=f" {odd} ")).json["gateway"] == odd
    reply = await world.call("GET", "/v1/gateway/a%2Fb%20%C3%BC")
    assert (reply.status, reply.json["gateway"]) == (200, odd)


async def test_lists_hide_host_and_user(world: World) -> None:
    for name in ("b", "a", "c"):
        await keep(world, gateway=name)
    page = (await world.call("GET", "/v1/gateways?pageSize=2")).json
    assert {key: page[key] for key in ("total", "page", "pages")} == {"total": 3, "page": 0, "pages": 2}
    shown = {"name": "Relay", "deliveries": 0, "lastUse": None, "lastError": None}
    assert page["gateways"] == [{"gateway": "a", **shown}, {"gateway": "b", **shown}]
    assert [one["gateway"] for one in (await world.call("GET", "/v1/gateways?page=1&pageSize=2")).json["gateways"]] == [
        "c"
    ]


async def test_the_same_id_replaces_the_gateway_and_keeps_its_counters(world: World) -> None:
    await keep(world, tls={"servername": "x.test"})
    await world.store.commit(
        world.store.gateways.failed("relay", {"created": "2026-11-21T00:00:00Z", "status": "error"})
    )
    reply = await world.call("POST", "/v1/gateway", {"gateway": "relay", "name": "N", "host": "n.test", "port": 25})
    assert (reply.status, reply.json) == (200, {"gateway": "relay", "state": "existing"})
    assert await server(world) == SmtpSettings("n.test", 25)
    shown = (await world.call("GET", "/v1/gateway/relay")).json
    assert (shown["name"], shown["user"], shown["lastError"]["status"]) == ("N", None, "error")
    assert "pass" not in shown


async def test_only_what_is_given_is_changed(world: World) -> None:
    await keep(world, secure=True, tls={"servername": "x.test"})
    before = await server(world)
    for nothing in ({}, {"name": "", "host": "", "user": "", "pass": ""}, None):
        assert (await edit(world, nothing)).json == {"gateway": "relay"}
        assert await server(world) == before
    assert (await edit(world, {"port": "2525", "name": "New"})).status == 200
    assert await server(world) == SmtpSettings("relay.test", 2525, True, {"servername": "x.test"}, "u", _SECRET)
    assert (await edit(world, {"user": None, "pass": None, "secure": False})).status == 200
    assert await server(world) == SmtpSettings("relay.test", 2525, False, {"servername": "x.test"})
    assert (await world.call("GET", "/v1/gateway/relay")).json["name"] == "New"


async def test_tls_is_replaced_or_merged(world: World) -> None:
    await keep(world, tls={"servername": "x.test", "minVersion": "TLSv1.2"})
    await edit(world, {"tls": {"partial": True, "rejectUnauthorized": False, "minVersion": None}})
    assert (await server(world)).tls == {"servername": "x.test", "rejectUnauthorized": False}
    assert (await world.call("GET", "/v1/gateway/relay")).json["tls"] == (await server(world)).tls
    await edit(world, {"tls": {"maxVersion": "TLSv1.3"}})
    assert (await server(world)).tls == {"maxVersion": "TLSv1.3"}
    await edit(world, {"tls": None})
    assert (await server(world)).tls == {}


async def test_a_mask_that_comes_back_keeps_the_password(world: World) -> None:
    await keep(world)
    assert (await edit(world, {"pass": "******", "port": 25})).status == 200
    assert (await server(world)).password == _SECRET
    assert (await keep(world, **{"pass": "******"})).status == 200
    assert (await server(world)).password == _SECRET
    assert (await keep(world, gateway="new", **{"pass": "******"})).status == 400
    assert (await world.call("GET", "/v1/gateway/new")).status == 404


@pytest.mark.parametrize("changes", [{"pass": None}, {"user": "u", "pass": None}])
async def test_a_user_needs_a_password(world: World, changes: dict[str, Any]) -> None:
    assert (await keep(world, **changes)).status == 400
    await keep(world)
    before = await server(world)
    reply = await edit(world, {**changes, "port": 25})
    assert (reply.status, await server(world)) == (400, before)


async def test_what_is_wrong_is_told_all_at_once(world: World) -> None:
    reply = await world.call("POST", "/v1/gateway", {"gateway": 1, "name": "", "port": 0, "tls": {"x": 1}, "y": 1})
    assert reply.status == 400
    assert {one["path"] for one in reply.json["fields"]} == {"gateway", "name", "host", "port", "tls.x", "y"}
    await keep(world)
    before = await server(world)
    reply = await edit(world, {"name": None, "host": None, "port": 70000, "secure": "perhaps", "user": "a\nb"})
    assert {one["path"] for one in reply.json["fields"]} == {"name", "host", "port", "secure", "user"}
    assert await server(world) == before


async def test_what_is_not_there(world: World) -> None:
    assert (await world.call("GET", "/v1/gateway/none")).status == 404
    assert (await world.call("PUT", "/v1/gateway/edit/none", {})).json["code"] == "NotFound"
    assert (await world.call("DELETE", "/v1/gateway/none")).json == {"gateway": "none", "deleted": False}


async def test_deleting(world: World) -> None:
    await keep(world)
    assert (await world.call("DELETE", "/v1/gateway/relay")).json == {"gateway": "relay", "deleted": True}
    assert (await world.call("GET", "/v1/gateway/relay")).status == 404


async def test_who_may(world: World) -> None:
    await world.register()
    await keep(world)
    bound = (await world.tokens.create(NewToken("bound", account="ann"))).value
    reader = (await world.tokens.create(NewToken("r", permissions=Permissions(("read",), ("gateway",))))).value
    assert (await world.call("GET", "/v1/gateways", token=reader)).status == 200
    assert (await world.call("DELETE", "/v1/gateway/relay", token=reader)).status == 403
    for method, target, body in (
        ("GET", "/v1/gateways", None),
        ("GET", "/v1/gateway/relay", None),
        ("POST", "/v1/gateway", _RELAY),
        ("PUT", "/v1/gateway/edit/relay", {}),
        ("DELETE", "/v1/gateway/relay", None),
    ):
        assert (await world.call(method, target, body, token=bound)).status == 403
        assert (await world.call(method, target, body, token=None)).status == 401


async def test_no_answer_holds_a_password(world: World) -> None:
    replies = [await keep(world), await edit(world, {"pass": _SECRET})]
    replies += [await world.call("GET", target) for target in ("/v1/gateways", "/v1/gateway/relay")]
    assert all(_SECRET not in json.dumps(reply.json) for reply in replies)
