"""Tokens over HTTP: the order of the checks, what each of them refuses, and the routes that manage tokens."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from mailquay.api.auth import matches
from mailquay.model.token import Permissions, RateLimit, Restrictions
from mailquay.services.token_reach import rate_window
from mailquay.services.tokens import NewToken
from tests.api.world import Reply, World

_MANY = ("/v1/account/ann", "/v1/accounts", "/v1/settings", "/v1/outbox", "/v1/stats")


async def issue(world: World, **wanted: Any) -> str:
    """A token as wanted; its value."""
    return (await world.tokens.create(NewToken("made by a test", **wanted))).value


async def get(world: World, target: str, token: str | None, **headers: str) -> Reply:
    """A GET with a token."""
    return await world.call("GET", target, token=token, headers=headers)


async def test_without_a_token_and_with_a_bad_one(world: World) -> None:
    missing = await get(world, "/v1/stats", None)
    assert (missing.status, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert missing.json == {"statusCode": 401, "error": "Unauthorized", "message": "Missing authentication"}
    for bad in ("x", "0" * 64, "0" * 63, "ü" * 64, "g" * 64):
        reply = await world.call("GET", "/v1/stats", token=None, headers={"Authorization": f"Bearer {bad}"})
        assert (reply.status, reply.json["message"]) == (401, "Bad token")


async def test_the_token_may_come_in_the_query_or_with_any_spelling_of_bearer(world: World) -> None:
    assert (await get(world, f"/v1/accounts?access_token={world.token}", None)).status == 200
    assert (await get(world, f"/v1/accounts?access_token={world.token}&page=x", None)).status == 400
    for scheme in ("bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {world.token}"}
        assert (await world.call("GET", "/v1/accounts", token=None, headers=headers)).status == 200


async def test_the_id_is_the_hash_of_the_raw_bytes(world: World) -> None:
    await world.register()
    made = (await world.call("POST", "/v1/tokens", {"account": "ann", "description": "d"})).json
    assert made["id"] == hashlib.sha256(bytes.fromhex(made["token"])).hexdigest()
    stored = await world.store.tokens.get(made["id"])
    assert stored is not None and stored[0].scopes == ("api",)
    assert made["token"] not in repr(stored)


async def test_an_expired_token_is_a_bad_one(world: World) -> None:
    token = await issue(world, scopes=("*",), expires_ms=world.clock.ms + 1000)
    assert (await get(world, "/v1/accounts", token)).status == 200
    world.clock.ms += 1000
    assert (await get(world, "/v1/accounts", token)).status == 401


@pytest.mark.parametrize(
    ("scopes", "api", "metrics"),
    [(None, 200, 200), (("*",), 200, 200), (("api",), 200, 403), (("metrics",), 403, 200), (("smtp", "mcp"), 403, 403)],
)
async def test_scopes(world: World, scopes: tuple[str, ...] | None, api: int, metrics: int) -> None:
    token = await issue(world, scopes=scopes)
    first, second = await get(world, "/v1/accounts", token), await get(world, "/metrics", token)
    assert (first.status, second.status) == (api, metrics)
    if api == 403:
        assert first.json["message"] == "Unauthorized scope" and first.json["requestedScope"] == "api"


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (Permissions(("read",), None), {"/v1/account/ann", "/v1/accounts", "/v1/outbox", "/v1/stats"}),
        (Permissions(None, ("outbox",)), {"/v1/outbox"}),
        (Permissions(("write",), ("outbox",)), set()),
        (Permissions(("read",), ("account", "diagnostics")), {"/v1/account/ann", "/v1/accounts", "/v1/stats"}),
        (Permissions((), None), set()),
        (Permissions(None, None), set()),
    ],
)
async def test_permissions_only_subtract(world: World, permissions: Permissions, allowed: set[str]) -> None:
    await world.register()
    token = await issue(world, scopes=("*",), permissions=permissions)
    for target in _MANY:
        reply = await get(world, target, token)
        assert reply.status == (200 if target in allowed else 403), target
        if reply.status == 403:
            assert reply.json["message"] == "Unauthorized permission"
            assert set(reply.json["requiredPermission"]) == {"action", "group"}


async def test_a_token_with_permissions_never_reaches_the_admin_group(world: World) -> None:
    token = await issue(world, scopes=("*",), permissions=Permissions(("read", "write"), None))
    reply = await get(world, "/v1/settings", token)
    assert reply.json["requiredPermission"] == {"action": "read", "group": "admin"}


async def test_a_token_of_an_account_reaches_that_account_alone(world: World) -> None:
    await world.register("ann")
    await world.register("bob")
    token = await issue(world, account="ann", scopes=("api",))
    answers = {
        "/v1/account/ann": 200,
        "/v1/account/bob": 403,
        "/v1/account/ann%20": 403,
        "/v1/account/ann/mailboxes": 200,
        "/v1/logs/ann": 200,
        "/v1/accounts": 403,
        "/v1/outbox": 403,
        "/v1/settings": 403,
        "/v1/tokens": 403,
        "/v1/tokens?account=ann": 200,
        "/v1/tokens?account=bob": 403,
        "/v1/tokens?account=ann&account=bob": 403,
        "/v1/tokens/account/ann": 200,
        "/v1/tokens/account/bob": 403,
    }
    for target, status in answers.items():
        reply = await get(world, target, token)
        assert reply.status == status, target
        if status == 403:
            assert reply.json == {"statusCode": 403, "error": "Forbidden", "message": "Unauthorized account"}


async def test_addresses_and_referrers(world: World) -> None:
    here = await issue(world, restrictions=Restrictions(addresses=("127.0.0.0/8", "::1")))
    there = await issue(world, restrictions=Restrictions(addresses=("10.0.0.1",)))
    assert (await get(world, "/v1/accounts", here)).status == 200
    refused = await get(world, "/v1/accounts", there)
    assert (refused.json["message"], refused.json["remoteAddress"]) == ("Unauthorized address", "127.0.0.1")
    page = await issue(world, restrictions=Restrictions(referrers=("https://*.example.com/*", "https://one.test/")))
    assert (await get(world, "/v1/accounts", page, Referer="https://a.example.com/x?y")).status == 200
    for referrer in ("https://example.com/", "http://a.example.com/x", "https://one.test/more", ""):
        assert (await get(world, "/v1/accounts", page, Referer=referrer)).json["message"] == "Unauthorized referrer"


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*b*b*", "abcb", True),
        ("*b*b*", "abc", False),
        ("a.c", "abc", False),
        ("a**c", "abc", True),
        ("*a" * 30 + "b", "a" * 5000, False),
    ],
)
def test_wildcards(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


async def test_rate_limits_count_in_fixed_windows(world: World) -> None:
    limit = RateLimit(max_requests=2, time_window_seconds=60)
    token = await issue(world, restrictions=Restrictions(rate_limit=limit))
    replies = [await get(world, "/v1/accounts", token) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    left = [(reply.headers.get("x-ratelimit-remaining"), reply.headers["x-ratelimit-limit"]) for reply in replies]
    assert left == [("1", "2"), ("0", "2"), (None, "2")]
    assert replies[2].json["message"] == "Rate limit exceeded"
    assert replies[2].json["ttl"] == int(replies[2].headers["x-ratelimit-reset"]) == 60
    world.clock.ms += 60_000
    assert (await get(world, "/v1/accounts", token)).status == 200


def test_windows_begin_with_the_year_2000() -> None:
    begin_ms = 946_684_800_000
    limit = RateLimit(1, 7)
    assert rate_window(limit, begin_ms) == (0, 7)
    assert rate_window(limit, begin_ms + 6_999) == (0, 1)
    assert rate_window(limit, begin_ms + 7_000) == (1, 7)


async def test_the_checks_come_in_their_order(world: World) -> None:
    """One token that everything is wrong with loses one fault after the other."""
    await world.register()
    limit = RateLimit(1, 60)
    wanted: dict[str, Any] = {
        "scopes": ("smtp",),
        "permissions": Permissions(("send",), None),
        "account": "ann",
        "restrictions": Restrictions(("10.0.0.1",), ("https://x",), limit),
    }
    seen = []
    repairs: list[dict[str, Any]] = [
        {},
        {"scopes": ("api",)},
        {"permissions": Permissions(("read",), None)},
        {"account": None},
        {"restrictions": Restrictions(("127.0.0.1",), ("https://x",), limit)},
        {"restrictions": Restrictions(("127.0.0.1",), None, RateLimit(1, 60))},
    ]
    token = ""
    for repair in repairs:
        wanted |= repair
        token = await issue(world, **wanted)
        seen.append((await get(world, "/v1/accounts", token)).status)
        if seen[-1] != 200:
            seen[-1] = (await get(world, "/v1/accounts", token)).json["message"]
    seen.append((await get(world, "/v1/accounts", token)).json["message"])
    assert seen == [
        "Unauthorized scope",
        "Unauthorized permission",
        "Unauthorized account",
        "Unauthorized address",
        "Unauthorized referrer",
        200,
        "Rate limit exceeded",
    ]


async def test_revoking_counts_at_once(world: World) -> None:
    token = await issue(world, scopes=("*",))
    assert (await get(world, "/v1/accounts", token)).status == 200
    assert (await world.call("DELETE", f"/v1/token/{token}")).json == {"deleted": True}
    assert (await get(world, "/v1/accounts", token)).status == 401
    assert (await world.call("DELETE", f"/v1/tokens/{token}")).json == {"deleted": False}


async def test_disable_tokens_lets_pass_who_has_none(world: World) -> None:
    await world.settings.write({"disableTokens": True})
    assert (await get(world, "/v1/accounts", None)).status == 200
    assert (await get(world, "/v1/accounts", "0" * 64)).status == 401
    await world.register()
    refused = await world.call("POST", "/v1/tokens", {"account": "ann", "description": "d"}, token=None)
    assert refused.status == 403


async def test_making_tokens_over_the_api(world: World) -> None:
    await world.register()
    body = {
        "account": "ann",
        "description": "all of it",
        "scopes": "imap-proxy",
        "metadata": '{"a": 1}',
        "permissions": {"actions": "read"},
        "restrictions": {"addresses": "10.0.0.0/8", "rateLimit": {"maxRequests": 3, "timeWindow": 60}},
        "expires": "2030-01-01T00:00:00Z",
        "ip": "192.0.2.1",
    }
    made = (await world.call("POST", "/v1/token", body)).json
    shown = (await world.call("GET", f"/v1/tokens/{made['id']}")).json
    assert shown == {
        "id": made["id"],
        "account": "ann",
        "created": "2026-11-21T00:00:00.000Z",
        "remoteAddress": "127.0.0.1",
        "scopes": ["imap-proxy"],
        "description": "all of it",
        "restrictions": {
            "referrers": None,
            "addresses": ["10.0.0.0/8"],
            "rateLimit": {"maxRequests": 3, "timeWindow": 60},
        },
        "permissions": {"actions": ["read"]},
        "metadata": '{"a": 1}',
        "ip": "192.0.2.1",
        "expires": "2030-01-01T00:00:00.000Z",
        "access": {"time": None, "ip": None},
    }
    assert (await world.call("GET", f"/v1/tokens/{made['token']}")).status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"description": "neither account nor permissions"}, 400),
        ({"account": "nobody", "description": "d"}, 404),
        ({"account": "ann", "description": "d", "expires": "2020-01-01"}, 400),
        ({"account": "ann", "description": "d", "scopes": ["metrics"]}, 400),
        ({"account": "ann", "description": "d", "scopes": ["*"]}, 400),
        ({"account": "ann", "description": "d", "metadata": "no json"}, 400),
        ({"account": "ann", "description": "d", "permissions": {}}, 400),
        ({"account": "ann", "description": "d", "permissions": {"actions": []}}, 400),
        ({"account": "ann", "description": "d", "permissions": {"groups": ["admin"]}}, 400),
        (
            {"account": "ann", "description": "d", "restrictions": {"rateLimit": {"maxRequests": 0, "timeWindow": 1}}},
            400,
        ),
        ({"permissions": {"groups": ["outbox"]}, "description": "d"}, 200),
    ],
)
async def test_tokens_that_may_not_be_made(world: World, body: dict[str, Any], status: int) -> None:
    await world.register()
    assert (await world.call("POST", "/v1/tokens", body)).status == status


async def test_the_list_of_tokens(world: World) -> None:
    await world.register()
    await issue(world, account="ann", scopes=("api",))
    await issue(world, scopes=("api",), expires_ms=world.clock.ms + 10)
    listed = (await world.call("GET", "/v1/tokens")).json
    ids = [entry["id"] for entry in listed["tokens"]]
    assert ids == sorted(ids, reverse=True) and listed["total"] == 3 and listed["account"] is None
    used = next(entry for entry in listed["tokens"] if entry["description"] == "test")
    assert used["access"] == {"time": "2026-11-21T00:00:00.000Z", "ip": "127.0.0.1"} and used["account"] is None
    world.clock.ms += 10
    assert (await world.call("GET", "/v1/tokens")).json["total"] == 2
    found = (await world.call("GET", "/v1/tokens?query=MADE%20by&account=ann")).json
    assert (found["total"], found["account"]) == (1, "ann")
    assert len((await world.call("GET", "/v1/tokens/account/ann")).json["tokens"]) == 1


async def test_the_audit_log_tells_what_was_tried(world: World) -> None:
    await world.register()
    await world.settings.write({"tokenAuditLog": True})
    token = await issue(world, account="ann", scopes=("api",), permissions=Permissions(("read",), None))
    await get(world, "/v1/account/ann", token)
    await get(world, "/v1/accounts", token)
    await world.call("DELETE", "/v1/account/ann", token=token)
    token_id = hashlib.sha256(bytes.fromhex(token)).hexdigest()
    log = (await world.call("GET", f"/v1/tokens/{token_id}/log?pageSize=2")).json
    assert (log["token"], log["total"], log["pages"]) == (token_id, 3, 2)
    assert [(entry["method"], entry["path"], entry["status"], entry["reason"]) for entry in log["entries"]] == [
        ("DELETE", "/v1/account/{account}", "denied", "action"),
        ("GET", "/v1/accounts", "denied", "account"),
    ]
    older = (await world.call("GET", f"/v1/tokens/{token_id}/log?pageSize=2&page=1")).json["entries"]
    assert older == [
        {
            "time": "2026-11-21T00:00:00.000Z",
            "ip": "127.0.0.1",
            "method": "GET",
            "path": "/v1/account/{account}",
            "action": "read",
            "group": "account",
            "account": "ann",
            "status": "allowed",
            "reason": None,
        }
    ]
    assert (await world.call("GET", f"/v1/tokens/{'0' * 64}/log")).status == 404
