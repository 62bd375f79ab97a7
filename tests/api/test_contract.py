"""The EmailEngine API, operation by operation: which exist here, and whether they agree in names, bounds and rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from mailquay.api.openapi import build_openapi
from mailquay.api.operations import OPERATIONS
from mailquay.api.schemas.common import PATH_PARAMETERS
from tests.api.world import IMAP, SMTP, World
from tests.golden.contract_facts import FOLDER, facts

FACTS: dict[str, Any] = json.loads((FOLDER / "contract_facts.json").read_text(encoding="utf-8"))
PERMISSIONS: dict[str, Any] = json.loads((FOLDER / "permissions.json").read_text(encoding="utf-8"))
OURS = facts(build_openapi(OPERATIONS, max_content=5 * 1024 * 1024))

# Fields of answers that nothing here can fill, and why.
_ABSENT_FROM_ANSWERS = {
    "redis": "there is no Redis",
    "redisSoftware": "there is no Redis",
    "redisCluster": "there is no Redis",
    "redisPing": "there is no Redis",
    "redisWarnings": "there is no Redis",
    "imapflow": "a library that is not used",
    "bullmq": "a library that is not used",
    "build": "there is one build",
    "oauth2": "later: OAuth2",
    "app": "later: OAuth2",
    "baseScopes": "later: OAuth2",
    "outlookSubscription": "later: OAuth2",
    "redirect": "later: OAuth2",
    "delegationError": "later: OAuth2",
    "provider": "later: OAuth2",
    "registeredScopes": "later: OAuth2",
    "tokenRequest": "later: OAuth2",
    "skipped": "later: lists",
    "bounces": "later: bounces",
    "category": "later: Gmail",
    "emailIds": "only API accounts choose messages by them alone",
    "deletedMessages": "only API accounts choose messages by them alone",
    "preview": "later: API accounts",
    "useStructuredFormat": "later: API accounts",
    "suspended": "there is nothing to suspend",
    "noSelect": "such mailboxes are left out",
    "id": "only Gmail and Graph have ids of mailboxes",
}
_ABSENT_FROM_ANSWER_OF = {("getV1AccountAccountOauthtoken", "expires"): "later: OAuth2"}
# Bounds that differ on purpose.
_OTHER_BOUNDS = {
    ("postV1AccountAccountSubmit", "attachments[].reference", "maxLength"): "ids of attachments may be longer",
    ("postV1AccountAccountSubmit", "attachments[].content", "required"): "a reference may stand for it",
    ("postV1AccountAccountMessage", "attachments[].reference", "maxLength"): "ids of attachments may be longer",
    ("postV1AccountAccountMessage", "attachments[].content", "required"): "a reference may stand for it",
    ("postV1Gateway", "port", "maximum"): "there is no port 65536",
    ("putV1GatewayEditGateway", "port", "maximum"): "there is no port 65536",
    ("postV1Tokens", "scopes", "required"): "it has a default",
    ("putV1AccountAccount", "imap.auth.user", "required"): "part of it may be changed",
    ("putV1AccountAccount", "smtp.auth.user", "required"): "part of it may be changed",
}


def differences(name: str) -> Iterator[str]:
    """What of an operation is not as it should be."""
    theirs, ours = FACTS[name], OURS[name]
    for key in ("method", "path", "action", "group"):
        if theirs[key] != ours[key]:
            yield f"{key} is {ours[key]}, not {theirs[key]}"
    yield from _fields("parameter", name, theirs["parameters"], ours["parameters"])
    if theirs["body"] is not None:
        yield from _fields("field", name, theirs["body"], ours["body"] or {})
    for field in theirs["answer"]:
        parts = field.replace("[]", "").split(".")
        if parts[0] == "details" and len(parts) > 1:
            continue  # of a licence that one has to buy
        absent = (name, field) in _ABSENT_FROM_ANSWER_OF or any(part in _ABSENT_FROM_ANSWERS for part in parts)
        if field not in ours["answer"] and not absent:
            yield f"answer lacks {field}"


def _fields(what: str, name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for field, bounds in theirs.items():
        if field not in ours:
            if not _is_below_later(field):
                yield f"{what} {field} is missing"
            continue
        for bound in ("in", "enum", "minimum", "maximum", "maxLength", "required"):
            if bound not in bounds or (name, field, bound) in _OTHER_BOUNDS or _is_later(field):
                continue
            expected, actual = bounds[bound], ours[field].get(bound)
            if bound == "enum":
                expected, actual = sorted(expected), sorted(one for one in actual or () if one is not None)
            if expected != actual:
                yield f"{what} {field}: {bound} is {actual}, not {expected}"


_LATER_FIELDS = (
    "oauth2",
    "listId",
    "baseUrl",
    "trackOpens",
    "trackClicks",
)


def _is_later(field: str) -> bool:
    return field.replace("[]", "").split(".")[-1] in _LATER_FIELDS


def _is_below_later(field: str) -> bool:
    return any(part in _LATER_FIELDS for part in field.replace("[]", "").split(".")[:-1])


def test_every_operation_that_exists_agrees() -> None:
    found = {name: list(differences(name)) for name in FACTS if name in OURS}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_list_of_operations(golden: Callable[[str, str], None]) -> None:
    """Which operations exist and agree, and which are not there yet."""
    lines = [
        f"{'agrees' if name in OURS else 'later ':6} {one['method']:6} {one['path']}" for name, one in FACTS.items()
    ]
    golden("contract_status.txt", "\n".join(sorted(lines)) + "\n")


_OUR_OWN = {
    "getV1AccountAccountThreads",
    "getV1AccountAccountThreadThread",
    "postV1OutboxQueueidResolve",
    "postV1OutboxQueueidRetry",
}


def test_nothing_undocumented_is_added_to_the_contract() -> None:
    assert set(OURS) - set(FACTS) == _OUR_OWN


def test_rights_of_every_operation() -> None:
    """The table of all operations is golden; what exists here must say the same of itself."""
    assert len(PERMISSIONS) == 83
    ours = {operation.id: operation for operation in OPERATIONS}
    for name, right in PERMISSIONS.items():
        if name in ours:
            operation = ours[name]
            shown = (operation.method, operation.path, operation.action, operation.group)
            assert shown == (right["method"], right["path"], right["action"], right["group"])
            assert operation.scope == "api" and not operation.public


def test_rights_of_what_the_contract_does_not_list(golden: Callable[[str, str], None]) -> None:
    """Routes beyond the contract: aliases, pages, metrics. A new one shows up here and has to be looked at."""
    lines = [
        f"{one.method} {one.path} {'public' if one.public else f'{one.scope} {one.action} {one.group}'}"
        for one in OPERATIONS
        if one.id not in PERMISSIONS
    ]
    golden("other_routes.txt", "\n".join(sorted(lines)) + "\n")


def test_every_name_in_a_path_has_bounds() -> None:
    for operation in OPERATIONS:
        names = [part.strip("{}") for part in operation.path.split("/") if part.startswith("{")]
        assert all(name in PATH_PARAMETERS for name in names)


# -- the bounds, tried ------------------------------------------------------------------------------

_BASES: dict[str, dict[str, Any]] = {
    "postV1Account": {"account": "new", "name": "N", "imap": IMAP, "smtp": SMTP},
    "putV1AccountAccount": {"imap": {"partial": True}, "smtp": {"partial": True}},
    "postV1Verifyaccount": {"imap": IMAP, "smtp": SMTP},
    "postV1UnifiedSearch": {"search": {}},
    "postV1AccountAccountSubmit": {
        "to": [{"address": "a@example.com"}],
        "dsn": {"return": "full"},
        "reference": {"message": "AAAAAQAAAB4"},
        "attachments": [{"content": "AAAA"}],
        "render": {"params": {}},
        "from": {"address": "a@example.com"},
        "cc": [{"address": "a@example.com"}],
        "bcc": [{"address": "a@example.com"}],
        "replyTo": [{"address": "a@example.com"}],
    },
    "putV1AccountAccountMessageMessageMove": {"path": "X"},
    "postV1Tokens": {"account": "ann", "description": "d", "scopes": ["api"]},
    "postV1AccountAccountExport": {"startDate": "2026-01-01T00:00:00Z", "endDate": "2026-02-01T00:00:00Z"},
    "postV1License": {"license": "x"},
    "postV1AccountAccountMailbox": {"path": "X"},
    "putV1AccountAccountMailbox": {"path": "X"},
    "postV1AccountAccountMessage": {
        "path": "X",
        "reference": {"message": "AAAAAQAAAB4"},
        "attachments": [{"content": "AAAA"}],
        "from": {"address": "a@example.com"},
        "to": [{"address": "a@example.com"}],
        "cc": [{"address": "a@example.com"}],
        "bcc": [{"address": "a@example.com"}],
    },
    "postV1AccountAccountSearch": {"search": {}},
    "putV1AccountAccountMessages": {"search": {}},
    "putV1AccountAccountMessagesMove": {"search": {}, "path": "X"},
    "putV1AccountAccountMessagesDelete": {"search": {}},
    "postV1TemplatesTemplate": {"account": None, "name": "n", "content": {}},
    "putV1TemplatesTemplateTemplate": {"content": {}},
    "postV1AccountAccountMessageMessageSubmit": {"dsn": {"return": "full"}},
    "postV1Gateway": {"gateway": "relay", "name": "n", "pass": "p", "host": "h.test", "port": 25},
}
_PATHS = {
    "{account}": "ann",
    "{message}": "AAAAAQAAAB4",
    "{text}": "abc",
    "{attachment}": "abc",
    "{exportId}": "exp_" + "0" * 24,
    "{queueId}": "1a",
    "{queue}": "submit",
    "{token}": "0" * 64,
    "{template}": "AAABoftuz0sAAAAC",
    "{gateway}": "relay",
}
_ANYTHING = {"headers", "render.params", "mailMerge[].params"}
_NUMBER_SETS = {"search.seq", "search.uid"}
_VALID_FORMATS = {"email", "uri", "hostname", "ip", "date-time", "hex"}


def _target(name: str) -> str:
    path: str = FACTS[name]["path"]
    for placeholder, value in _PATHS.items():
        path = path.replace(placeholder, value)
    return path


def _outside(bounds: dict[str, Any]) -> Iterator[Any]:
    """Values just beyond the bounds."""
    if "maximum" in bounds:
        yield bounds["maximum"] + 1
    if "minimum" in bounds:
        yield bounds["minimum"] - 1
    if "maxLength" in bounds:
        yield "A" * (bounds["maxLength"] + 1)
    if "enum" in bounds:
        yield "nothing-of-these"
    if bounds.get("format") in _VALID_FORMATS:
        yield "\x01 no :// such @ thing"
    if bounds.get("type") == "integer":
        yield "many"
    if bounds.get("type") == "boolean":
        yield "perhaps"


def _inside(bounds: dict[str, Any]) -> Iterator[Any]:
    """Values just within the bounds."""
    yield from (bounds[bound] for bound in ("minimum", "maximum") if bound in bounds)
    yield from bounds.get("enum", ())
    if "maxLength" in bounds and "format" not in bounds:
        yield "1" * bounds["maxLength"]
    if bounds.get("type") == "boolean":
        yield from (True, False, "Y", "true", "1", "N", "false", "0")


def _with(body: dict[str, Any], field: str, value: Any) -> dict[str, Any] | None:
    """A copy of a body with one field set; None when what it stands in is not there."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = field.split(".")
    node: Any = copy
    for parent in parents:
        key = parent.removesuffix("[]")
        if key not in node:
            node[key] = [{}] if parent.endswith("[]") else {}
        node = node[key][0] if parent.endswith("[]") else node[key]
    if last.endswith("[]"):
        node[last.removesuffix("[]")] = [value]
    else:
        node[last] = value
    return copy


def _keys(answer: Any) -> set[str]:
    return {field["key"] for field in answer.get("fields", ())}


_QUERY_CASES = [
    (name, parameter, bounds)
    for name, one in FACTS.items()
    if name in OURS
    for parameter, bounds in one["parameters"].items()
    if bounds["in"] == "query" and parameter != "cursor"
]


@pytest.mark.parametrize("name", sorted({name for name, _, _ in _QUERY_CASES}))
async def test_bounds_of_queries(world: World, name: str) -> None:
    await world.register()
    required = "path=INBOX&" if "path" in FACTS[name]["parameters"] else ""
    base = _BASES.get(name)
    for _, parameter, bounds in (case for case in _QUERY_CASES if case[0] == name):
        for value in _outside(bounds):
            reply = await world.call(
                FACTS[name]["method"], f"{_target(name)}?{required}{parameter}={quote(str(value))}", base
            )
            assert reply.status == 400 and parameter in _keys(reply.json), (parameter, value)
        for value in _inside(bounds):
            value = str(value).lower() if isinstance(value, bool) else str(value).replace("\\", "%5C")
            reply = await world.call(FACTS[name]["method"], f"{_target(name)}?{required}{parameter}={value}", base)
            assert reply.status < 500 and "fields" not in reply.json, (parameter, value)


_BODY_NAMES = sorted(name for name in FACTS if name in OURS and FACTS[name]["body"] and name != "postV1Settings")


@pytest.mark.parametrize("name", _BODY_NAMES)
async def test_bounds_of_bodies(world: World, name: str) -> None:
    await world.register()
    base, target = _BASES.get(name, {}), _target(name)
    if "path" in FACTS[name]["parameters"]:
        target += "?path=INBOX"
    for field, bounds in FACTS[name]["body"].items():
        if _is_later(field) or _is_below_later(field):
            continue
        last = field.split(".")[-1].removesuffix("[]")
        for value in _outside(bounds):
            if (name, field, "maxLength") in _OTHER_BOUNDS and isinstance(value, str) and len(value) > 200:
                continue
            body = _with(base, field, value)
            reply = await world.call(FACTS[name]["method"], target, body)
            assert reply.status == 400, (field, value)
            assert last in _keys(reply.json), (field, reply.json)
        for value in _inside(bounds):
            if value == bounds.get("maximum") and (name, field, "maximum") in _OTHER_BOUNDS:
                continue
            if field == "metadata":
                value = f'"{value[2:]}"'  # it has to be JSON
            if field in _NUMBER_SETS:
                value = ("7,8:9," * len(value))[: len(value)].rstrip(",:")
            reply = await world.call(FACTS[name]["method"], target, _with(base, field, value))
            assert reply.status < 500 and last not in _keys(reply.json), (field, str(value)[:50], reply.json)


@pytest.mark.parametrize("name", _BODY_NAMES)
async def test_one_value_stands_for_an_array(world: World, name: str) -> None:
    await world.register()
    singles = [field for field, bounds in FACTS[name]["body"].items() if bounds.get("single") and not _is_later(field)]
    for field in singles:
        item = FACTS[name]["body"][f"{field}[]"]
        value: Any = (
            {"address": "a@example.com"} if item.get("type") == "object" else (item.get("enum") or ["a@b.test"])[0]
        )
        if item.get("format") == "ip":
            value = "192.0.2.1"
        reply = await world.call(FACTS[name]["method"], _target(name), _with(_BASES.get(name, {}), field, value))
        assert field.split(".")[-1] not in _keys(reply.json), (field, reply.json)


@pytest.mark.parametrize("name", _BODY_NAMES)
async def test_unknown_fields_are_refused_at_every_depth(world: World, name: str) -> None:
    await world.register()
    objects = [field for field, bounds in FACTS[name]["body"].items() if bounds.get("type") == "object"]
    for parent in ("", *objects):
        if _is_later(parent) or _is_below_later(parent) or parent in _ANYTHING:
            continue
        body = _with(_BASES.get(name, {}), f"{parent}.unheardOf" if parent else "unheardOf", 1)
        reply = await world.call(FACTS[name]["method"], _target(name), body)
        assert "unheardOf" in _keys(reply.json), (parent, reply.json)


async def test_answers_are_as_described(world: World) -> None:
    """Answers made by the API itself hold what their description says, and nothing else."""
    await world.register(webhooks="http://u:p@h.test/", webhooksCustomHeaders=[{"key": "a", "value": "b"}], copy=True)
    permissions = {"actions": ["read"]}
    restrictions = {"addresses": ["127.0.0.1"], "rateLimit": {"maxRequests": 9, "timeWindow": 9}}
    token = {"account": "ann", "description": "d", "permissions": permissions, "restrictions": restrictions}
    made = (await world.call("POST", "/v1/tokens", token)).json
    texts = {"subject": "s", "text": "t", "html": "h", "previewText": "p"}
    template = {"account": "ann", "name": "n", "description": "d", "format": "markdown", "content": texts}
    kept = (await world.call("POST", "/v1/templates/template", template)).json["id"]
    gateway: dict[str, Any] = {"gateway": "relay", "name": "n", "user": "u", "pass": "p", "host": "h.test", "port": 25}
    gateway["tls"] = {"rejectUnauthorized": False, "minVersion": "TLSv1.2"}
    calls = {
        "postV1TemplatesTemplate": ("/v1/templates/template", template),
        "putV1TemplatesTemplateTemplate": (f"/v1/templates/template/{kept}", {"name": "m"}),
        "getV1Templates": ("/v1/templates?account=ann", None),
        "getV1TemplatesTemplateTemplate": (f"/v1/templates/template/{kept}", None),
        "deleteV1TemplatesTemplateTemplate": (f"/v1/templates/template/{kept}", None),
        "deleteV1TemplatesAccountAccount": ("/v1/templates/account/ann?force=true", None),
        "postV1Gateway": ("/v1/gateway", gateway),
        "putV1GatewayEditGateway": ("/v1/gateway/edit/relay", {"name": "m"}),
        "getV1Gateways": ("/v1/gateways", None),
        "getV1GatewayGateway": ("/v1/gateway/relay", None),
        "deleteV1GatewayGateway": ("/v1/gateway/relay", None),
        "getV1AccountAccount": ("/v1/account/ann?quota=true", None),
        "getV1Accounts": ("/v1/accounts", None),
        "getV1Tokens": ("/v1/tokens", None),
        "getV1TokensToken": (f"/v1/tokens/{made['id']}", None),
        "getV1TokensTokenLog": (f"/v1/tokens/{made['id']}/log", None),
        "getV1SettingsQueueQueue": ("/v1/settings/queue/notify", None),
        "getV1Stats": ("/v1/stats", None),
        "getV1License": ("/v1/license", None),
        "postV1Verifyaccount": ("/v1/verifyAccount", {"imap": IMAP, "mailboxes": True}),
        "getV1Autoconfig": ("/v1/autoconfig?email=ann@example.com", None),
        "putV1AccountAccountSync": ("/v1/account/ann/sync", {"sync": True}),
        "postV1Account": ("/v1/account", {"account": "ann", "name": "n"}),
        "putV1AccountAccount": ("/v1/account/ann", {}),
        "postV1Settings": ("/v1/settings", {"inboxNewOnly": True}),
        "deleteV1AccountAccount": ("/v1/account/ann", None),
    }
    operations = {operation.id: operation for operation in OPERATIONS}
    for name, (target, body) in calls.items():
        reply = await world.call(FACTS[name]["method"], target, body)
        assert reply.status == 200, name
        kind = operations[name].answer
        assert kind is not None
        shown = kind.model_validate(reply.json)
        assert _extra(shown) == [], name


def _extra(value: object) -> list[str]:
    """Fields that no description has."""
    if isinstance(value, list):
        return [name for item in value for name in _extra(item)]
    if not isinstance(value, BaseModel):
        return []
    inner = [name for key in type(value).model_fields for name in _extra(getattr(value, key))]
    return [*(value.model_extra or {}), *inner]
