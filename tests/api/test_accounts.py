"""Accounts over HTTP: what is stored, what is shown, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mailquay.errors import AuthenticationFailed, NotOperational, Unavailable
from mailquay.model.account import AccountNumber, AccountState, AccountStatus
from tests.api.world import IMAP, SMTP, START_MS, World


async def test_registering_shows_what_was_given_with_secrets_masked(world: World) -> None:
    reply = await world.register(webhooks="http://user:key@hooks.example.com/x", logs=True)
    assert reply.json == {"account": "ann", "state": "new"}
    shown = (await world.call("GET", "/v1/account/ann")).json
    assert shown == {
        "account": "ann",
        "name": "Ann Example",
        "email": "ann@example.com",
        "logs": True,
        "notifyFrom": "2026-11-21T00:00:00.000Z",
        "syncFrom": None,
        "path": "*",
        "webhooks": "http://******:******@hooks.example.com/x",
        "imapIndexer": "full",
        "index": "envelopes",
        "whenUncertain": "hold",
        "imap": {
            "auth": {"user": "ann", "pass": "******"},
            "host": "imap.example.com",
            "port": 993,
            "secure": True,
            "resyncDelay": 900,
        },
        "smtp": {
            "auth": {"user": "ann", "pass": "******"},
            "host": "smtp.example.com",
            "port": 465,
            "secure": True,
        },
        "state": "init",
        "connections": 2,
        "lastError": None,
        "smtpStatus": None,
        "type": "imap",
        "counters": {"events": {"accountAdded": 1}},
    }


async def test_without_an_id_one_is_made(world: World) -> None:
    reply = await world.call("POST", "/v1/account", {"account": None, "name": "X", "imap": IMAP})
    made = reply.json["account"]
    assert len(made) == 16 and made.isalnum() and made.lower() == made
    assert (await world.call("GET", f"/v1/account/{made}")).status == 200


async def test_registering_a_known_id_changes_it_and_reconnects(world: World) -> None:
    await world.register()
    reply = await world.call("POST", "/v1/account", {"account": "ann", "name": "Other"})
    assert reply.json == {"account": "ann", "state": "existing"}
    assert world.recorder.names == ["reconnect"]
    shown = (await world.call("GET", "/v1/account/ann")).json
    assert shown["name"] == "Other" and shown["imap"]["host"] == "imap.example.com"
    assert shown["notifyFrom"] == "2026-11-21T00:00:00.000Z"


async def test_a_body_with_three_mistakes_reports_three(world: World) -> None:
    body = {"name": "x" * 257, "email": "nope", "imap": {**IMAP, "port": 0}, "bogus": 1}
    reply = await world.call("POST", "/v1/account", body)
    assert reply.status == 400
    assert reply.json["message"] == "Invalid input"
    faults = {field["path"]: (field["key"], field["message"]) for field in reply.json["fields"]}
    assert set(faults) == {"account", "name", "email", "imap.port", "bogus"}
    assert faults["imap.port"] == ("port", '"imap.port" must be at least 1')
    assert faults["bogus"] == ("bogus", '"bogus" is not allowed')
    assert faults["account"] == ("account", '"account" is required')


@pytest.mark.parametrize("indexer", ["full", "fast"])
async def test_the_indexer_is_chosen_for_an_account_or_by_the_setting(world: World, indexer: str) -> None:
    assert (await world.call("POST", "/v1/settings", {"imapIndexer": indexer})).status == 200
    for account, more in (("own", {"imapIndexer": "fast"}), ("usual", {})):
        body = {"account": account, "name": account, "imap": IMAP, **more}
        assert (await world.call("POST", "/v1/account", body)).status == 200
        shown = (await world.call("GET", f"/v1/account/{account}")).json
        assert shown["imapIndexer"] == more.get("imapIndexer", indexer)


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"imap": {"host": "h.example.com", "port": 1}}, "imap"),
        ({"imap": {**IMAP, "auth": {"user": "x"}}}, "imap"),
        ({"imap": {**IMAP, "auth": {"user": "x", "pass": "p", "accessToken": "t"}}}, "imap"),
        ({"smtp": {"host": "h.example.com"}}, "smtp.port"),
        ({"smtp": {**SMTP, "auth": {"user": "x"}}}, "smtp"),
        ({"oauth2": {"auth": {"user": "x"}}}, "oauth2"),
        ({"imapIndexer": "slow"}, "imapIndexer"),
        ({"index": "everything"}, "index"),
        ({"index": None}, "index"),
        ({"imap": {**IMAP, "useAuthServer": "perhaps"}}, "imap.useAuthServer"),
        ({"imap": {**IMAP, "tls": {"nonsense": 1}}}, "imap.tls.nonsense"),
        ({"imap": {**IMAP, "host": "no host"}}, "imap.host"),
        ({"webhooks": "ftp://example.com"}, "webhooks"),
        ({"webhooksCustomHeaders": [{"key": "A", "value": "b\r\nX: y"}]}, "webhooksCustomHeaders.0.value"),
        ({"name": "two\nlines"}, "name"),
    ],
)
async def test_what_cannot_work_is_refused(world: World, more: dict[str, Any], path: str) -> None:
    reply = await world.call("POST", "/v1/account", {"account": "a", "name": "A", **more})
    assert reply.status == 400
    assert [field["path"] for field in reply.json["fields"]] == [path]


async def test_credentials_may_be_left_to_the_authentication_server(world: World) -> None:
    imap = {"host": "imap.example.com", "port": 993, "secure": True, "useAuthServer": True}
    smtp = {**imap, "port": 465, "auth": {"user": "ann"}}
    await world.register(imap=imap, smtp=smtp)
    shown = (await world.call("GET", "/v1/account/ann")).json
    assert shown["imap"]["useAuthServer"] is True and "auth" not in shown["imap"]
    assert shown["smtp"]["auth"] == {"user": "ann"}
    for side in ("imap", "smtp"):
        body: dict[str, Any] = {side: {"partial": True, "useAuthServer": False}}
        assert (await world.call("PUT", "/v1/account/ann", body)).status == 400
    body = {"imap": {"partial": True, "useAuthServer": False, "auth": {"user": "ann", "pass": "p"}}}
    assert (await world.call("PUT", "/v1/account/ann", body)).status == 200
    shown = (await world.call("GET", "/v1/account/ann")).json
    assert "useAuthServer" not in shown["imap"] and shown["imap"]["auth"] == {"user": "ann", "pass": "******"}


async def test_false_is_not_set_and_empty_is_absent(world: World) -> None:
    body = {"account": "a", "name": "A", "email": "", "webhooks": "", "imap": False, "smtp": SMTP, "oauth2": False}
    assert (await world.call("POST", "/v1/account", body)).status == 200
    shown = (await world.call("GET", "/v1/account/a")).json
    assert "imap" not in shown and "email" not in shown and "webhooks" not in shown
    assert (shown["type"], shown["state"], shown["sendOnly"]) == ("sending", "unset", True)


async def test_coercions(world: World) -> None:
    body = {
        "account": "  a  ",
        "name": " A ",
        "logs": "Y",
        "copy": "0",
        "path": "INBOX",
        "subconnections": "\\Sent",
        "notifyFrom": "2026-01-01T01:00:00+01:00",
        "syncFrom": 1_700_000_000_000,
        "imap": {**IMAP, "port": "143", "secure": "false"},
    }
    assert (await world.call("POST", "/v1/account", body)).status == 200
    shown = (await world.call("GET", "/v1/account/a")).json
    assert (shown["name"], shown["logs"], shown["copy"]) == ("A", True, False)
    assert (shown["path"], shown["subconnections"]) == (["INBOX"], ["\\Sent"])
    assert shown["notifyFrom"] == "2026-01-01T00:00:00.000Z"
    assert shown["syncFrom"] == "2023-11-14T22:13:20.000Z"
    assert (shown["imap"]["port"], shown["imap"]["secure"]) == (143, False)


async def test_update_changes_only_what_is_given(world: World) -> None:
    await world.register()
    headers = [{"key": "X-Acc", "value": "1"}]
    reply = await world.call("PUT", "/v1/account/ann", {"name": "New", "webhooksCustomHeaders": headers})
    assert reply.json == {"account": "ann"}
    shown = (await world.call("GET", "/v1/account/ann")).json
    assert shown["name"] == "New" and shown["email"] == "ann@example.com"
    assert shown["webhooksCustomHeaders"] == [{"key": "X-Acc", "value": "******"}]


async def test_a_partial_update_merges_deeply_and_null_removes(world: World) -> None:
    await world.register(imap={**IMAP, "tls": {"rejectUnauthorized": False, "minVersion": "TLSv1.1"}})
    change = {"imap": {"partial": True, "port": 144, "sentMailPath": "Gone", "tls": {"minVersion": None}}}
    assert (await world.call("PUT", "/v1/account/ann", change)).status == 200
    stored = await world.store.accounts.get("ann")
    assert stored is not None and stored.profile.imap is not None
    imap = stored.profile.imap
    assert (imap.host, imap.port, imap.password) == ("imap.example.com", 144, "imap-secret")
    assert (imap.tls, imap.sent_mail_path) == ({"rejectUnauthorized": False}, "Gone")
    change = {"imap": {"partial": True, "sentMailPath": None, "auth": {"accessToken": "t"}}}
    assert (await world.call("PUT", "/v1/account/ann", change)).status == 200
    stored = await world.store.accounts.get("ann")
    assert stored is not None and stored.profile.imap is not None
    imap = stored.profile.imap
    assert (imap.sent_mail_path, imap.user, imap.password, imap.access_token) == (None, "ann", None, "t")


async def test_a_whole_update_replaces_and_must_be_complete(world: World) -> None:
    await world.register(imap={**IMAP, "tls": {"rejectUnauthorized": False}})
    reply = await world.call("PUT", "/v1/account/ann", {"imap": {"host": "other.example.com"}})
    assert reply.status == 400 and reply.json["message"] == '"imap.port" is required'
    assert (await world.call("PUT", "/v1/account/ann", {"imap": IMAP})).status == 200
    assert "tls" not in (await world.call("GET", "/v1/account/ann")).json["imap"]
    assert (await world.call("PUT", "/v1/account/ann", {"smtp": False})).status == 200
    assert "smtp" not in (await world.call("GET", "/v1/account/ann")).json


async def test_masks_that_come_back_change_nothing(world: World) -> None:
    headers = [{"key": "X-Acc", "value": "v"}]
    await world.register(
        webhooks="http://u:p@h.example.com/", proxy="socks5://u:p@p.example.com:1080", webhooksCustomHeaders=headers
    )
    before = await world.store.accounts.get("ann")
    shown = (await world.call("GET", "/v1/account/ann")).json
    keys = ("name", "imap", "smtp", "webhooks", "proxy", "webhooksCustomHeaders")
    assert (await world.call("PUT", "/v1/account/ann", {key: shown[key] for key in keys})).status == 200
    after = await world.store.accounts.get("ann")
    assert before is not None and after is not None and after.profile == before.profile


@pytest.mark.parametrize(
    "change",
    [
        {"webhooks": "http://******:******@elsewhere.example.com/"},
        {"webhooksCustomHeaders": [{"key": "X-New", "value": "******"}]},
        {"proxy": "http://******:******@p.example.com"},
    ],
)
async def test_a_mask_without_a_secret_behind_it_is_refused(world: World, change: dict[str, Any]) -> None:
    await world.register()
    reply = await world.call("PUT", "/v1/account/ann", change)
    assert reply.status == 400 and "mask" in reply.json["message"]
    body = {"account": "b", "name": "B", "imap": {**IMAP, "auth": {"user": "u", "pass": "******"}}}
    assert (await world.call("POST", "/v1/account", body)).status == 400
    assert await world.store.accounts.get("b") is None


async def test_deleting_takes_the_tokens_along(world: World) -> None:
    await world.register()
    made = await world.call("POST", "/v1/tokens", {"account": "ann", "description": "d", "scopes": ["api"]})
    token = made.json["token"]
    assert (await world.call("GET", "/v1/account/ann", token=token)).status == 200
    assert (await world.call("DELETE", "/v1/account/ann?revoke=true")).json == {"account": "ann", "deleted": True}
    assert (await world.call("GET", "/v1/account/ann", token=token)).status == 401
    missing = await world.call("DELETE", "/v1/account/ann")
    assert (missing.status, "code" in missing.json) == (404, False)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_unknown_account_is_not_found(world: World, method: str) -> None:
    reply = await world.call(method, "/v1/account/nobody", None if method == "GET" else {})
    assert (reply.status, "code" in reply.json) == (404, False)


async def test_the_list_pages_filters_and_searches(world: World) -> None:
    for name in ("anna", "bob", "hanna"):
        await world.register(name)
    page = (await world.call("GET", "/v1/accounts?page=1&pageSize=2")).json
    assert (page["total"], page["page"], page["pages"], page["query"], page["state"]) == (3, 1, 2, False, "*")
    assert [entry["account"] for entry in page["accounts"]] == ["hanna"]
    assert page["accounts"][0]["counters"] == {"events": {"accountAdded": 1}}
    found = (await world.call("GET", "/v1/accounts?query=ANNA")).json
    assert [entry["account"] for entry in found["accounts"]] == ["anna", "hanna"]
    assert (await world.call("GET", "/v1/accounts?state=connected")).json["accounts"] == []
    assert (await world.call("GET", "/v1/accounts?page=9")).json["accounts"] == []


async def test_the_last_error_shows_until_the_account_is_connected(world: World) -> None:
    await world.register()
    account = await world.store.accounts.get("ann")
    assert account is not None
    error = {"response": "no", "serverResponseCode": "AUTHENTICATIONFAILED"}
    for state, shown in ((AccountState.AUTHENTICATION_ERROR, error), (AccountState.CONNECTED, None)):
        status = AccountStatus(state=state, last_error=error, sync_time_ms=START_MS)
        await world.store.commit(world.store.accounts.update_status(account.number, status, None))
        info = (await world.call("GET", "/v1/account/ann?quota=true")).json
        assert (info["state"], info["lastError"], info["quota"]) == (state.value, shown, False)
        assert info["syncTime"] == "2026-11-21T00:00:00.000Z"


async def test_reconnect_and_sync_ask_the_owner(world: World) -> None:
    await world.register()
    assert (await world.call("PUT", "/v1/account/ann/reconnect", {"reconnect": True})).json == {"reconnect": True}
    assert (await world.call("PUT", "/v1/account/ann/sync", {"sync": "true"})).json == {"sync": True}
    assert (await world.call("PUT", "/v1/account/ann/sync", {})).json == {"sync": False}
    assert world.recorder.names == ["reconnect", "sync"]


async def test_flush_forgets_the_index_and_only_one_runs(world: World) -> None:
    await world.register()
    world.recorder.delay = asyncio.Event()
    first = asyncio.create_task(world.call("PUT", "/v1/account/ann/flush", {"flush": True, "notifyFrom": None}))
    async with asyncio.timeout(10):
        await world.recorder.paused.wait()
    second = await world.call("PUT", "/v1/account/ann/flush", {"flush": True})
    assert (second.status, second.json["code"]) == (429, "LockFail")
    world.recorder.delay.set()
    assert (await first).json == {"flush": True}
    assert world.recorder.calls[-1] == ("resume", (AccountNumber(1), 5.0))
    assert world.recorder.names == ["pause", "resume"]
    third = await world.call("PUT", "/v1/account/ann/flush", {"flush": True})
    assert (third.status, third.json["code"]) == (429, "LockFail"), "the pause belongs to the flush"
    stored = await world.store.accounts.get("ann")
    assert stored is not None
    assert (stored.profile.notify_from_ms, stored.status.ever_connected) == (None, False)
    assert stored.status.state is AccountState.PAUSED


async def test_a_flush_that_fails_lets_go(world: World) -> None:
    await world.register()
    world.recorder.error = NotOperational("no node serves the account", code="WorkerNotAvailable")
    assert (await world.call("PUT", "/v1/account/ann/flush", {"flush": True})).status == 503
    assert world.recorder.calls[-1] == ("resume", (AccountNumber(1), 0))
    world.recorder.error = None
    assert (await world.call("PUT", "/v1/account/ann/flush", {"flush": True})).json == {"flush": True}


async def test_verify_tells_how_far_each_side_got(world: World) -> None:
    body = {"mailboxes": True, "imap": IMAP, "smtp": SMTP, "proxy": "socks5://p.example.com:1080"}
    good = (await world.call("POST", "/v1/verifyAccount", body)).json
    assert good["imap"] == {"success": True} and good["smtp"] == {"success": True}
    assert [box["path"] for box in good["mailboxes"]] == ["INBOX", "Work"]
    assert "messages" not in good["mailboxes"][0]
    assert {args[1].proxy for _, args in world.recorder.calls} == {"socks5://p.example.com:1080"}
    world.recorder.error = AuthenticationFailed("wrong password")
    bad = (await world.call("POST", "/v1/verifyAccount", body)).json
    assert bad["imap"]["code"] == "AUTHENTICATIONFAILED" and bad["smtp"]["code"] == "EAUTH"
    assert not bad["imap"]["success"] and "mailboxes" not in bad
    world.recorder.error = Unavailable("refused", code="ECONNREFUSED")
    only = (await world.call("POST", "/v1/verifyAccount", {"smtp": SMTP})).json
    assert set(only) == {"smtp"}
    assert (only["smtp"]["code"], only["smtp"]["phase"]) == ("ECONNREFUSED", "connect")
