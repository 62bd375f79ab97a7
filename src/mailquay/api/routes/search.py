"""Searching a mailbox, and changing all messages that a search finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation, always
from mailquay.api.routes.messages import changes_asked, page_of_cursor
from mailquay.api.schemas.common import Paging
from mailquay.api.schemas.messages import MessageList, MessageUpdate, MessageUpdated
from mailquay.api.schemas.search import (
    ChosenPath,
    DeletedPath,
    MessagesDeleted,
    MessagesMove,
    MessagesMoved,
    MessagesUpdate,
    Search,
    SearchPage,
    UnifiedSearchAnswer,
    UnifiedSearchQuery,
)
from mailquay.services.unified_search import UnifiedRequest


async def _search_needs_owner(call: Call) -> bool:
    account, terms = await call.account(), call.payload(Search).search.terms()
    return await call.services.messages.search_needs_owner(account, call.parameters(SearchPage).path, terms)


async def _search(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    query = call.parameters(SearchPage)
    return await call.services.messages.search(
        account,
        path=query.path,
        terms=call.payload(Search).search.terms(),
        page=query.page if query.cursor is None else page_of_cursor(query.cursor),
        page_size=query.page_size,
        timeout_seconds=call.timeout_seconds,
    )


async def _search_everywhere(call: Call) -> Mapping[str, Any]:
    query, body = call.parameters(Paging), call.payload(UnifiedSearchQuery)
    request = UnifiedRequest(
        body.search.terms(),
        accounts=tuple(body.accounts or ()),
        paths=tuple(body.paths or ()),
        only=call.principal.account,
        page=query.page,
        page_size=query.page_size,
    )
    return await call.services.searches.search(request, timeout_seconds=call.timeout_seconds)


async def _update(call: Call) -> Mapping[str, Any]:
    account, body = await call.account(), call.payload(MessagesUpdate)
    return await call.services.messages.update_all(
        account,
        call.parameters(ChosenPath).path,
        body.search.terms(),
        changes_asked(body.update or MessageUpdate()),
        timeout_seconds=call.timeout_seconds,
    )


async def _move(call: Call) -> Mapping[str, Any]:
    account, body = await call.account(), call.payload(MessagesMove)
    return await call.services.messages.move_all(
        account,
        call.parameters(ChosenPath).path,
        body.search.terms(),
        body.path,
        timeout_seconds=call.timeout_seconds,
    )


async def _delete(call: Call) -> Mapping[str, Any]:
    account, query = await call.account(), call.parameters(DeletedPath)
    return await call.services.messages.delete_all(
        account,
        query.path,
        call.payload(Search).search.terms(),
        force=query.force,
        timeout_seconds=call.timeout_seconds,
    )


OPERATIONS = (
    Operation(
        "postV1AccountAccountSearch",
        "POST",
        "/v1/account/{account}/search",
        "Message",
        "Search messages of a mailbox",
        _search,
        "read",
        "message",
        query=SearchPage,
        body=Search,
        answer=MessageList,
        needs_owner=_search_needs_owner,
        description="All terms apply. Flags, sizes, subjects and senders are looked up in a current index, texts and "
        "recipients in that of an account that keeps texts; the rest is asked of the mail server.",
    ),
    Operation(
        "postV1UnifiedSearch",
        "POST",
        "/v1/unified/search",
        "Message",
        "Search messages of many accounts",
        _search_everywhere,
        "read",
        "admin",
        query=Paging,
        body=UnifiedSearchQuery,
        answer=UnifiedSearchAnswer,
        within_account=True,
        description="Answered by what is kept of the accounts, newest first. Terms that only a mail server knows are "
        "refused; accounts that do not keep what is asked for are named.",
    ),
    Operation(
        "putV1AccountAccountMessages",
        "PUT",
        "/v1/account/{account}/messages",
        "Message",
        "Change flags and labels of all messages that are found",
        _update,
        "write",
        "message",
        query=ChosenPath,
        body=MessagesUpdate,
        answer=MessageUpdated,
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountMessagesMove",
        "PUT",
        "/v1/account/{account}/messages/move",
        "Message",
        "Move all messages that are found",
        _move,
        "write",
        "message",
        query=ChosenPath,
        body=MessagesMove,
        answer=MessagesMoved,
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountMessagesDelete",
        "PUT",
        "/v1/account/{account}/messages/delete",
        "Message",
        "Delete all messages that are found",
        _delete,
        "destructive",
        "message",
        query=DeletedPath,
        body=Search,
        answer=MessagesDeleted,
        needs_owner=always,
        description="They go to the trash. What is in the trash or the junk mailbox already is deleted for good.",
    ),
)
