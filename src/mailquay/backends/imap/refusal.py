"""What a server means when it answers NO, BAD or BYE: one table from response codes and texts to our errors.

Wrong credentials stop an account until a person acts; everything else is tried again. So a refusal is taken for wrong
credentials only when nothing says otherwise: session limits, throttling and outages hide behind the same NO.
"""

from __future__ import annotations

import re
from typing import Final

from mailquay.errors import (
    AuthenticationFailed,
    BackendError,
    CommandRejected,
    MailboxNotFound,
    PartUnavailable,
    RateLimited,
    Unavailable,
)
from mailquay.wire.imap.command import Authenticate, Command, Login
from mailquay.wire.imap.response import Status, TaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import ResponseCode, code_name

SESSION_LIMIT_RETRY_SECONDS: Final = 60.0
"""How long to wait after "too many connections" when the server names no time."""
SESSION_TROUBLE_RETRY_SECONDS: Final = 300.0
"""The same after Exchange's "authenticated but not connected", which lasts for minutes."""
PART_UNAVAILABLE_RETRY_SECONDS: Final = 60.0
"""The same when something that a command needs is down (UNAVAILABLE, RFC 5530 §3)."""
MAX_RETRY_AFTER_SECONDS: Final = 24 * 3600.0
"""A server may not silence an account for longer than this."""

_LIMITING_CODES: Final = frozenset({"LIMIT", "THROTTLED"})
_BACKOFF = re.compile(r"Suggested Backoff Time:?\s*(\d{1,12})\s*(milliseconds|ms|seconds|s)?\b", re.IGNORECASE)
_TOO_MANY = re.compile(
    r"too many (?:simultaneous |concurrent |active )?(?:connections|logins|sessions)"
    r"|maximum (?:number of )?(?:connections|logins|sessions)"
    r"|exceeded (?:the .{0,20}(?:connections|bandwidth|command)|(?:command or )?bandwidth)"
    r"|connection limit|rate limit|throttled"
    r"|too many (?:failed )?(?:login )?attempts",
    re.IGNORECASE,
)
_NOT_CONNECTED = re.compile(r"authenticated but not connected", re.IGNORECASE)
_NO_MAILBOX = re.compile(
    r"(?:mailbox|folder)\b.{0,200}\b(?:(?:doesn't|does not) exist|not found|unknown)"
    r"|(?:no such|unknown|non-?existent|invalid) (?:mailbox|folder)",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(
    r"temporar|try again|unavailable|internal (?:server )?error|server error|timed? ?out", re.IGNORECASE
)
_TEMPORARY_CODES: Final = frozenset({"UNAVAILABLE", "INUSE", "SERVERBUG", "CONTACTADMIN"})
_CREDENTIAL_CODES: Final = frozenset({"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED"})


def backoff_seconds(text: str) -> float | None:
    """The pause that Exchange asks for, in an OK as well as in a BAD; milliseconds unless it says otherwise."""
    match = _BACKOFF.search(text)
    if match is None:
        return None
    unit = (match.group(2) or "ms").lower()
    seconds = int(match.group(1)) / (1.0 if unit.startswith("s") else 1000.0)
    return min(seconds, MAX_RETRY_AFTER_SECONDS)


def _limited(text: str, name: str | None) -> RateLimited | None:
    pause = backoff_seconds(text)
    if pause is not None:
        return RateLimited(text, retry_after_seconds=pause)
    if _NOT_CONNECTED.search(text):
        return RateLimited(text, retry_after_seconds=SESSION_TROUBLE_RETRY_SECONDS)
    if _TOO_MANY.search(text) or name in _LIMITING_CODES:
        return RateLimited(text, retry_after_seconds=SESSION_LIMIT_RETRY_SECONDS)
    return None


def refusal(command: Command, response: TaggedResponse) -> BackendError:
    """The error for a tagged NO or BAD."""
    name = code_name(response.code)
    text = response.text or f"{command.wire_name} was refused"
    limited = _limited(text, name)
    if limited is not None:
        return limited
    if isinstance(command, Login | Authenticate):
        return _login_refusal(response.status, name, text)
    if name == "UNAVAILABLE":
        return PartUnavailable(text, retry_after_seconds=PART_UNAVAILABLE_RETRY_SECONDS)
    if name in ("NONEXISTENT", "TRYCREATE"):
        return MailboxNotFound(text)
    if name is None and hasattr(command, "mailbox") and _NO_MAILBOX.search(text):
        return MailboxNotFound(text)
    return CommandRejected(text, response_code=name)


def _login_refusal(status: Status, name: str | None, text: str) -> BackendError:
    if name in _CREDENTIAL_CODES:
        return AuthenticationFailed(text, response_code=name)
    if name in _TEMPORARY_CODES or (name is None and _TEMPORARY.search(text)):
        return Unavailable(text, code=name)
    if status is Status.BAD and name is None:
        # The server did not understand the command: that says nothing about the password.
        return CommandRejected(text)
    return AuthenticationFailed(text, response_code=name)


def farewell(status: UntaggedStatus | None) -> Unavailable:
    """The error for a connection that the server has ended, perhaps with a BYE."""
    if status is None:
        return Unavailable("the server closed the connection", code="ECONNRESET")
    return closed_by_server(status.code, status.text)


def closed_by_server(code: ResponseCode | None, text: str) -> Unavailable:
    """The error for a BYE, at the greeting or later."""
    name = code_name(code)
    return _limited(text, name) or Unavailable(f"the server closed the connection: {text or 'BYE'}", code=name)
