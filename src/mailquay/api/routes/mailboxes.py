"""Mailboxes: list, make, rename, subscribe, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailquay.api.operation import Call, Operation, always
from mailquay.api.schemas.mailboxes import (
    MailboxChange,
    MailboxChanged,
    MailboxCreated,
    MailboxDeleted,
    MailboxesQuery,
    MailboxList,
    MailboxPathQuery,
    NewMailbox,
)


async def _list_needs_owner(call: Call) -> bool:
    return call.parameters(MailboxesQuery).counters


async def _list(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    counters = call.parameters(MailboxesQuery).counters
    listed = await call.services.mailboxes.list(account, counters=counters, timeout_seconds=call.timeout_seconds)
    return {"mailboxes": listed}


async def _create(call: Call) -> Mapping[str, Any]:
    account, body = await call.account(), call.payload(NewMailbox)
    return await call.services.mailboxes.create(account, body.path, timeout_seconds=call.timeout_seconds)


async def _change(call: Call) -> Mapping[str, Any]:
    account, body = await call.account(), call.payload(MailboxChange)
    return await call.services.mailboxes.change(
        account,
        body.path,
        new_names=body.new_path,
        subscribed=body.subscribed,
        timeout_seconds=call.timeout_seconds,
    )


async def _delete(call: Call) -> Mapping[str, Any]:
    account, path = await call.account(), call.parameters(MailboxPathQuery).path
    return await call.services.mailboxes.delete(account, path, timeout_seconds=call.timeout_seconds)


OPERATIONS = (
    Operation(
        "getV1AccountAccountMailboxes",
        "GET",
        "/v1/account/{account}/mailboxes",
        "Mailbox",
        "List mailboxes",
        _list,
        "read",
        "mailbox",
        query=MailboxesQuery,
        answer=MailboxList,
        needs_owner=_list_needs_owner,
    ),
    Operation(
        "postV1AccountAccountMailbox",
        "POST",
        "/v1/account/{account}/mailbox",
        "Mailbox",
        "Create a mailbox",
        _create,
        "write",
        "mailbox",
        body=NewMailbox,
        answer=MailboxCreated,
        needs_owner=always,
        description="A path, or the names of its levels in an array. One that is there already is no error.",
    ),
    Operation(
        "putV1AccountAccountMailbox",
        "PUT",
        "/v1/account/{account}/mailbox",
        "Mailbox",
        "Rename a mailbox, subscribe to it or unsubscribe",
        _change,
        "write",
        "mailbox",
        body=MailboxChange,
        answer=MailboxChanged,
        needs_owner=always,
        description="Ids of messages stay valid. What is renamed is subscribed to unless `subscribed` is false.",
    ),
    Operation(
        "deleteV1AccountAccountMailbox",
        "DELETE",
        "/v1/account/{account}/mailbox",
        "Mailbox",
        "Delete a mailbox with all its messages",
        _delete,
        "destructive",
        "mailbox",
        query=MailboxPathQuery,
        answer=MailboxDeleted,
        needs_owner=always,
    ),
)
