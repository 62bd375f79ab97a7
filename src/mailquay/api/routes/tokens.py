"""Access tokens: make, list, show, remove, and what was done with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mailquay.api.errors import Fault, HttpError, invalid_input
from mailquay.api.operation import SEVERAL_TEXTS_BYTES, Call, Operation
from mailquay.api.paging import paged
from mailquay.api.schemas.common import Deleted, NoQuery
from mailquay.api.schemas.tokens import (
    CreateToken,
    TokenCreated,
    TokenList,
    TokenLog,
    TokenLogQuery,
    TokenRestrictions,
    TokenShown,
    TokensQuery,
)
from mailquay.errors import Forbidden
from mailquay.model.token import AuditEntry, Permissions, RateLimit, Restrictions
from mailquay.services.presentation import iso
from mailquay.services.token_export import public_record
from mailquay.services.tokens import NewToken
from mailquay.storage.repositories.tokens import StoredToken

_TAG = "Access Tokens"
_ALIAS_LIMIT = 1000


async def _create(call: Call) -> Mapping[str, Any]:
    body = call.payload(CreateToken)
    if call.principal.token_id is None:
        raise Forbidden("tokens are only made by who has one")
    if body.expires is not None and body.expires <= call.services.clock.now_ms():
        raise invalid_input([Fault("expires", '"expires" must lie in the future')])
    wanted = NewToken(
        description=body.description,
        account=body.account,
        scopes=tuple(dict.fromkeys(body.scopes)),
        restrictions=None if body.restrictions is None else _restrictions(body.restrictions),
        permissions=None
        if body.permissions is None
        else Permissions(_axis(body.permissions.actions), _axis(body.permissions.groups)),
        metadata=body.metadata,
        ip=body.ip,
        remote_address=call.principal.address,
        expires_ms=body.expires,
    )
    issued = await call.services.tokens.create(wanted)
    return {"token": issued.value, "id": issued.id}


def _axis(values: list[Any] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(dict.fromkeys(values))


def _restrictions(given: TokenRestrictions) -> Restrictions:
    limit = given.rate_limit
    return Restrictions(
        addresses=None if given.addresses is None else tuple(given.addresses),
        referrers=None if given.referrers is None else tuple(given.referrers),
        rate_limit=None if limit is None else RateLimit(limit.max_requests, limit.time_window),
    )


async def _list(call: Call) -> Mapping[str, Any]:
    query = call.parameters(TokensQuery)
    total, tokens = await call.services.tokens.page(
        account=query.account or "",
        query=query.query or "",
        limit=query.page_size,
        offset=query.page * query.page_size,
    )
    shown = [_shown(stored) for stored in tokens]
    return {"account": query.account, **paged(total, query.page, query.page_size), "tokens": shown}


async def _list_of_account(call: Call) -> Mapping[str, Any]:
    _, tokens = await call.services.tokens.page(account=call.path["account"], limit=_ALIAS_LIMIT, offset=0)
    return {"tokens": [_shown(stored) for stored in tokens]}


async def _get(call: Call) -> Mapping[str, Any]:
    stored = await call.services.tokens.get(call.path["token"])
    if stored is None:
        raise HttpError(404, "there is no token with this id")
    return _shown(stored)


def _shown(stored: StoredToken) -> dict[str, Any]:
    token, use = stored
    access = {"time": None if use.time_ms is None else iso(use.time_ms), "ip": use.ip}
    return {**public_record(token), "access": access}


async def _delete(call: Call) -> Mapping[str, Any]:
    return {"deleted": await call.services.tokens.revoke(call.path["token"])}


async def _log(call: Call) -> Mapping[str, Any]:
    query = call.parameters(TokenLogQuery)
    token_id = call.path["token"].lower()
    if await call.services.tokens.get(token_id) is None:
        raise HttpError(404, "there is no token with this id")
    total, entries = await call.services.tokens.log_page(
        token_id, limit=query.page_size, offset=query.page * query.page_size
    )
    shown = [_log_entry(entry) for entry in entries]
    return {"token": token_id, **paged(total, query.page, query.page_size), "entries": shown}


def _log_entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "time": iso(entry.time_ms),
        "ip": entry.ip,
        "method": entry.method,
        "path": entry.path,
        "action": entry.action,
        "group": entry.group,
        "account": entry.account,
        "status": "allowed" if entry.allowed else "denied",
        "reason": entry.reason,
    }


_CREATE = Operation(
    "postV1Tokens",
    "POST",
    "/v1/tokens",
    _TAG,
    "Make a token",
    _create,
    "write",
    "admin",
    body=CreateToken,
    answer=TokenCreated,
    body_bytes=SEVERAL_TEXTS_BYTES,
    description="It is bound to an account, or has permissions, or both. Its value is shown here and never again.",
)
_DELETE = Operation(
    "deleteV1TokensToken",
    "DELETE",
    "/v1/tokens/{token}",
    _TAG,
    "Remove a token",
    _delete,
    "destructive",
    "admin",
    answer=Deleted,
    description="By its id or by its value.",
)

OPERATIONS = (
    _CREATE,
    Operation(
        "getV1Tokens",
        "GET",
        "/v1/tokens",
        _TAG,
        "List tokens",
        _list,
        "read",
        "admin",
        query=TokensQuery,
        answer=TokenList,
        account_in_query=True,
    ),
    Operation(
        "getV1TokensToken",
        "GET",
        "/v1/tokens/{token}",
        _TAG,
        "Show a token",
        _get,
        "read",
        "admin",
        answer=TokenShown,
    ),
    _DELETE,
    Operation(
        "getV1TokensTokenLog",
        "GET",
        "/v1/tokens/{token}/log",
        _TAG,
        "Show what was done with a token",
        _log,
        "read",
        "admin",
        query=TokenLogQuery,
        answer=TokenLog,
        description="Kept while the setting tokenAuditLog is on.",
    ),
    dataclasses.replace(_CREATE, id="postV1Token", path="/v1/token", documented=False),
    dataclasses.replace(_DELETE, id="deleteV1TokenToken", path="/v1/token/{token}", documented=False),
    Operation(
        "getV1TokensAccountAccount",
        "GET",
        "/v1/tokens/account/{account}",
        _TAG,
        "List the tokens of an account",
        _list_of_account,
        "read",
        "admin",
        query=NoQuery,
        documented=False,
    ),
)
