"""Blocklists: list, show, add, remove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.errors import account_missing
from mailquay.api.operation import Call, Operation
from mailquay.api.paging import paged
from mailquay.api.schemas.blocklists import Blocklist, Blocklists, BlockRecipient, RecipientBlocked, UnblockQuery
from mailquay.api.schemas.common import Deleted, Paging

_TAG = "Blocklists"


async def _lists(call: Call) -> Mapping[str, Any]:
    query = call.parameters(Paging)
    total, lists = await call.services.blocklists.lists(page=query.page, page_size=query.page_size)
    return {**paged(total, query.page, query.page_size), "blocklists": lists}


async def _entries(call: Call) -> Mapping[str, Any]:
    query, list_id = call.parameters(Paging), call.path["listId"]
    total, found = await call.services.blocklists.entries(list_id, page=query.page, page_size=query.page_size)
    return {"listId": list_id, **paged(total, query.page, query.page_size), "addresses": found}


async def _add(call: Call) -> Mapping[str, Any]:
    body = call.payload(BlockRecipient)
    account = await call.services.accounts.get(body.account)
    if account is None:
        raise account_missing()
    added = await call.services.blocklists.add(call.path["listId"], account, body.recipient, body.reason)
    return {"success": True, "added": added}


async def _remove(call: Call) -> Mapping[str, Any]:
    recipient = call.parameters(UnblockQuery).recipient
    return {"deleted": await call.services.blocklists.remove(call.path["listId"], recipient)}


OPERATIONS = (
    Operation(
        "getV1Blocklists",
        "GET",
        "/v1/blocklists",
        _TAG,
        "List blocklists",
        _lists,
        "read",
        "blocklist",
        query=Paging,
        answer=Blocklists,
    ),
    Operation(
        "getV1BlocklistListid",
        "GET",
        "/v1/blocklist/{listId}",
        _TAG,
        "List the addresses that a list is not sent to",
        _entries,
        "read",
        "blocklist",
        query=Paging,
        answer=Blocklist,
    ),
    Operation(
        "postV1BlocklistListid",
        "POST",
        "/v1/blocklist/{listId}",
        _TAG,
        "Have a list not sent to an address",
        _add,
        "write",
        "blocklist",
        body=BlockRecipient,
        answer=RecipientBlocked,
    ),
    Operation(
        "deleteV1BlocklistListid",
        "DELETE",
        "/v1/blocklist/{listId}",
        _TAG,
        "Have a list sent to an address again",
        _remove,
        "destructive",
        "blocklist",
        query=UnblockQuery,
        answer=Deleted,
    ),
)
