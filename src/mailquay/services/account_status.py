"""How an account's state changes, and which events follow: each is told once, not at every retry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mailquay.errors import AuthenticationFailed, CommandRejected, MailquayError, NotOperational
from mailquay.model.account import AccountNumber, AccountState, AccountStatus
from mailquay.model.event import EventName, NewEvent

_ERROR_STATES = (AccountState.AUTHENTICATION_ERROR, AccountState.CONNECT_ERROR)
Change = tuple[AccountStatus, list[NewEvent]]


def entered(status: AccountStatus, state: AccountState) -> Change:
    """A step without news for anybody (connecting, syncing, disconnected, paused, unset)."""
    return dataclasses.replace(status, state=state), []


def logged_in(account: AccountNumber, status: AccountStatus, user: str, now_ms: int) -> Change:
    """The server accepted the credentials: told the first time, and after an error."""
    news = not status.ever_connected or status.last_error is not None
    events = [NewEvent(account, EventName.AUTHENTICATION_SUCCESS, now_ms, {"user": user})] if news else []
    changed = dataclasses.replace(status, state=AccountState.SYNCING, last_error=None, error_since_ms=None)
    return changed, events


def in_sync(account: AccountNumber, status: AccountStatus, now_ms: int) -> Change:
    """Every mailbox is indexed: told once in the life of an account, and again after a flush."""
    events = []
    if not status.ever_connected:
        events.append(NewEvent(account, EventName.ACCOUNT_INITIALIZED, now_ms, {"initialized": True}))
    changed = dataclasses.replace(
        status,
        state=AccountState.CONNECTED,
        last_error=None,
        error_since_ms=None,
        ever_connected=True,
        sync_time_ms=now_ms,
    )
    return changed, events


def failed(account: AccountNumber, status: AccountStatus, error: MailquayError, now_ms: int) -> Change:
    """Logging in or connecting failed: told at the first occurrence of the same error."""
    wrong_credentials = isinstance(error, AuthenticationFailed)
    state = AccountState.AUTHENTICATION_ERROR if wrong_credentials else AccountState.CONNECT_ERROR
    data = error_data(error)
    repeated = status.state in _ERROR_STATES or status.last_error is not None
    same = status.last_error is not None and (
        status.last_error == data or status.last_error.get("serverResponseCode") == data.get("serverResponseCode")
    )
    name = EventName.AUTHENTICATION_ERROR if wrong_credentials else EventName.CONNECT_ERROR
    events = [] if repeated and same else [NewEvent(account, name, now_ms, data)]
    since = status.error_since_ms if same and status.error_since_ms is not None else now_ms
    return dataclasses.replace(status, state=state, last_error=data, error_since_ms=since), events


def error_data(error: MailquayError) -> Mapping[str, Any]:
    """The public form of a failure: what the server said, and a code."""
    code = error.code
    if isinstance(error, AuthenticationFailed | CommandRejected) and error.response_code:
        code = error.response_code
    if isinstance(error, AuthenticationFailed) and not error.response_code:
        code = "AUTHENTICATIONFAILED"
    return {"response": error.message, "serverResponseCode": code}


def not_operational(state: AccountState) -> NotOperational:
    """Why an account cannot be used now, in the terms of the API."""
    codes = {
        AccountState.INIT: "NotYetConnected",
        AccountState.CONNECTING: "NotYetConnected",
        AccountState.SYNCING: "NotYetConnected",
        AccountState.CONNECTED: "NotYetConnected",
        AccountState.AUTHENTICATION_ERROR: "AuthenticationFails",
        AccountState.CONNECT_ERROR: "ConnectionError",
        AccountState.DISCONNECTED: "ConnectionError",
        AccountState.UNSET: "NotSyncing",
        AccountState.PAUSED: "NoAvailable",
    }
    return NotOperational(
        f"the account cannot be used now, its state is {state.value}",
        code=codes[state],
        state=state.value,
    )
