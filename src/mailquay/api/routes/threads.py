"""Threads across mailboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation
from mailquay.api.routes.messages import page_of_cursor
from mailquay.api.schemas.common import Paging
from mailquay.api.schemas.threads import ThreadDetails, ThreadList, ThreadsQuery


async def _list(call: Call) -> Mapping[str, Any]:
    account, query = await call.account(), call.parameters(ThreadsQuery)
    page = query.page if query.cursor is None else page_of_cursor(query.cursor)
    return await call.services.threads.page(account, path=query.path, page=page, page_size=query.page_size)


async def _get(call: Call) -> Mapping[str, Any]:
    account, query = await call.account(), call.parameters(Paging)
    return await call.services.threads.get(account, call.path["thread"], page=query.page, page_size=query.page_size)


OPERATIONS = (
    Operation(
        "getV1AccountAccountThreads",
        "GET",
        "/v1/account/{account}/threads",
        "Thread",
        "List threads",
        _list,
        "read",
        "message",
        query=ThreadsQuery,
        answer=ThreadList,
        description="Those with messages in a mailbox, the one with the newest first; answered from the index.",
    ),
    Operation(
        "getV1AccountAccountThreadThread",
        "GET",
        "/v1/account/{account}/thread/{thread}",
        "Thread",
        "Show a thread",
        _get,
        "read",
        "message",
        query=Paging,
        answer=ThreadDetails,
        description="Its messages in all mailboxes, the first received first, and why each is in it.",
    ),
)
