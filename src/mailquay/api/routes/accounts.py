"""Accounts: register, show, change, delete, list, try out; reconnect, sync, flush."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mailquay.api.errors import account_missing
from mailquay.api.operation import Call, Operation, always
from mailquay.api.paging import paged
from mailquay.api.schemas.accounts import (
    AccountDeleted,
    AccountInfo,
    AccountList,
    AccountQuery,
    AccountRegistered,
    AccountSignatures,
    AccountsQuery,
    AccountToken,
    AccountUpdated,
    CreateAccount,
    DeleteAccountQuery,
    Flush,
    Reconnect,
    ServerOptions,
    Sync,
    UpdateAccount,
    VerifyAccount,
    VerifyResult,
)
from mailquay.model.account import CustomHeader, ImapSettings, SmtpSettings
from mailquay.services.account_changes import AccountChanges, ServerChanges
from mailquay.services.verify import VerifyRoute

_TAG = "Account"
_RENAMED = {"copy_sent": "copy", "notify_from": "notify_from_ms", "sync_from": "sync_from_ms"}
_NOT_OF_THE_PROFILE = frozenset({"account", "imap", "smtp", "oauth2"})
_SERVER_RENAMED = {"resync_delay": "resync_delay_seconds"}
_NOT_OF_THE_SERVER = frozenset({"auth", "partial", "tls"})


async def _register(call: Call) -> Mapping[str, Any]:
    body = call.payload(CreateAccount)
    registered = await call.services.accounts.register(body.account, profile_changes(body, body.imap, body.smtp))
    if not registered.created:
        await call.reconnect(registered.account)
    return {"account": registered.account.id, "state": "new" if registered.created else "existing"}


async def _show(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    info = await call.services.accounts.info(account)
    if call.parameters(AccountQuery).quota:
        info["quota"] = await call.services.accounts.quota(account, timeout_seconds=call.timeout_seconds)
    return info


async def _show_needs_owner(call: Call) -> bool:
    return call.parameters(AccountQuery).quota and (await call.account()).status.state.operational


async def _update(call: Call) -> Mapping[str, Any]:
    body = call.payload(UpdateAccount)
    changes = profile_changes(body, body.imap, body.smtp)
    account = await call.services.accounts.update(call.path["account"], changes)
    if account is None:
        raise account_missing()
    return {"account": account.id}


async def _delete(call: Call) -> Mapping[str, Any]:
    if not await call.services.accounts.delete(call.path["account"]):
        raise account_missing()
    return {"account": call.path["account"], "deleted": True}


async def _list(call: Call) -> Mapping[str, Any]:
    query = call.parameters(AccountsQuery)
    total, accounts = await call.services.accounts.page(
        state=query.state or "", query=query.query or "", page=query.page, page_size=query.page_size
    )
    shown = paged(total, query.page, query.page_size)
    return {**shown, "query": query.query or False, "state": query.state or "*", "accounts": accounts}


async def _reconnect(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    wanted = call.payload(Reconnect).reconnect
    if wanted:
        call.services.accounts.reconnect(account)
    return {"reconnect": wanted}


async def _sync(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    wanted = call.payload(Sync).sync
    if wanted:
        call.services.accounts.sync(account)
    return {"sync": wanted}


async def _flush(call: Call) -> Mapping[str, Any]:
    account = await call.account()
    body = call.payload(Flush)
    if body.flush:
        notify_from = body.notify_from if "notify_from" in body.model_fields_set else call.services.clock.now_ms()
        await call.services.accounts.flush(account, notify_from_ms=notify_from, imap_indexer=body.imap_indexer)
    return {"flush": body.flush}


async def _token(call: Call) -> Mapping[str, Any]:
    return await call.services.oauth_tokens.current(await call.account())


async def _signatures(call: Call) -> Mapping[str, Any]:
    await call.account()
    return {"signatures": [], "signaturesSupported": False}


async def _verify(call: Call) -> Mapping[str, Any]:
    body = call.payload(VerifyAccount)
    imap = None if body.imap is None else ImapSettings(**server_values(body.imap))
    smtp = None if body.smtp is None else SmtpSettings(**server_values(body.smtp))
    route = VerifyRoute(body.proxy, body.smtp_ehlo_name)
    return await call.services.verify.verify(
        imap, smtp, route, mailboxes=body.mailboxes, timeout_seconds=call.timeout_seconds
    )


# -- from public names to those of the model ------------------------------------------------------


def profile_changes(body: BaseModel, imap: ServerOptions | None, smtp: ServerOptions | None) -> AccountChanges:
    """What a body says about a profile."""
    values: dict[str, Any] = {}
    for name in body.model_fields_set - _NOT_OF_THE_PROFILE:
        value = getattr(body, name)
        if name == "imap_indexer" and value is None:
            continue
        if name == "path":
            value = () if value is None or value == ["*"] else tuple(value)
        elif name == "subconnections":
            value = tuple(value)
        elif name == "webhooks_custom_headers":
            value = tuple(CustomHeader(header.key, header.value) for header in value)
        values[_RENAMED.get(name, name)] = value
    given = body.model_fields_set
    return AccountChanges(
        values,
        imap=_server_changes(imap) if "imap" in given else None,
        smtp=_server_changes(smtp) if "smtp" in given else None,
    )


def _server_changes(options: ServerOptions | None) -> ServerChanges:
    if options is None:
        return ServerChanges(remove=True)
    return ServerChanges(server_values(options), partial=getattr(options, "partial", False))


def server_values(options: ServerOptions) -> dict[str, Any]:
    """What was given about a server, by the field names of the model."""
    given = options.model_fields_set
    values = {_SERVER_RENAMED.get(name, name): getattr(options, name) for name in given - _NOT_OF_THE_SERVER}
    if "tls" in given:
        tls = options.tls
        values["tls"] = None if tls is None else tls.model_dump(by_alias=True, exclude_unset=True)
    auth = options.auth
    if "auth" in given and auth is None:
        values.update(user=None, password=None, access_token=None)
    elif auth is not None:
        values.update({name: getattr(auth, name) for name in auth.model_fields_set})
    return values


OPERATIONS = (
    Operation(
        "postV1Account",
        "POST",
        "/v1/account",
        _TAG,
        "Register an account",
        _register,
        "write",
        "admin",
        body=CreateAccount,
        answer=AccountRegistered,
        description="An account with the given id is changed instead, and connected anew. Credentials are not tried.",
    ),
    Operation(
        "getV1AccountAccount",
        "GET",
        "/v1/account/{account}",
        _TAG,
        "Show an account",
        _show,
        "read",
        "account",
        query=AccountQuery,
        answer=AccountInfo,
        needs_owner=_show_needs_owner,
    ),
    Operation(
        "putV1AccountAccount",
        "PUT",
        "/v1/account/{account}",
        _TAG,
        "Change an account",
        _update,
        "write",
        "admin",
        body=UpdateAccount,
        answer=AccountUpdated,
    ),
    Operation(
        "deleteV1AccountAccount",
        "DELETE",
        "/v1/account/{account}",
        _TAG,
        "Delete an account",
        _delete,
        "destructive",
        "account",
        query=DeleteAccountQuery,
        answer=AccountDeleted,
        description="Its tokens, index, logs and unsent messages go with it. The mailbox itself is not touched.",
    ),
    Operation(
        "getV1Accounts",
        "GET",
        "/v1/accounts",
        _TAG,
        "List accounts",
        _list,
        "read",
        "account",
        query=AccountsQuery,
        answer=AccountList,
    ),
    Operation(
        "postV1Verifyaccount",
        "POST",
        "/v1/verifyAccount",
        _TAG,
        "Try out server settings",
        _verify,
        "read",
        "admin",
        body=VerifyAccount,
        answer=VerifyResult,
        description="Connects and logs in on the given sides, both at once, and says how far each got. Keeps nothing.",
    ),
    Operation(
        "getV1AccountAccountOauthtoken",
        "GET",
        "/v1/account/{account}/oauth-token",
        _TAG,
        "Show the access token of an account",
        _token,
        "read",
        "admin",
        answer=AccountToken,
        description="For accounts with useAuthServer whose authentication server gives tokens. "
        "Refused unless the option enable_oauth_tokens_api allows it.",
    ),
    Operation(
        "getV1AccountAccountServersignatures",
        "GET",
        "/v1/account/{account}/server-signatures",
        _TAG,
        "List signatures that the provider keeps",
        _signatures,
        "read",
        "account",
        answer=AccountSignatures,
        description="IMAP servers keep none.",
    ),
    Operation(
        "putV1AccountAccountReconnect",
        "PUT",
        "/v1/account/{account}/reconnect",
        _TAG,
        "Connect anew",
        _reconnect,
        "write",
        "account",
        body=Reconnect,
        answer=Reconnect,
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountSync",
        "PUT",
        "/v1/account/{account}/sync",
        _TAG,
        "Sync every mailbox now",
        _sync,
        "write",
        "account",
        body=Sync,
        answer=Sync,
        needs_owner=always,
    ),
    Operation(
        "putV1AccountAccountFlush",
        "PUT",
        "/v1/account/{account}/flush",
        _TAG,
        "Forget the index and build it anew",
        _flush,
        "destructive",
        "account",
        body=Flush,
        answer=Flush,
        needs_owner=always,
    ),
)
