"""Tokens: what makes them, how they are shown."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mailquay.api.schemas.common import Paging, Shown
from mailquay.api.schemas.fields import Absent, Given, IpAddress, Line256, Network, NoneHidden, Single, TimeMs
from mailquay.api.validation import Model

_Action = Literal["read", "write", "send", "destructive"]
_Scope = Literal["api", "smtp", "imap-proxy", "mcp"]
_Group = Literal[
    "account",
    "mailbox",
    "message",
    "submit",
    "outbox",
    "export",
    "template",
    "blocklist",
    "webhook",
    "gateway",
    "events",
    "diagnostics",
    "logs",
]


def _json_text(value: str) -> str:
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("must be a JSON text") from None
    return value


def _api_only() -> list[_Scope]:
    return ["api"]


class RateLimitOptions(Model):
    """At most so many requests in each window of so many seconds."""

    max_requests: Annotated[int, Field(ge=1, le=2**31 - 1, alias="maxRequests")]
    time_window: Annotated[int, Field(ge=1, le=2**31 - 1, alias="timeWindow")]


class TokenRestrictions(Model):
    """Where a token may be used from, and how often."""

    referrers: Annotated[
        Annotated[list[Annotated[str, StringConstraints(max_length=2048)]], Field(max_length=1000)] | None, Single
    ] = None
    addresses: Annotated[Annotated[list[Network], Field(max_length=1000)] | None, Single] = None
    rate_limit: Annotated[RateLimitOptions | None, Field(alias="rateLimit")] = None


class TokenPermissions(Model):
    """What a token may do; an axis that is not given is not restricted."""

    actions: Annotated[Annotated[list[_Action], Field(min_length=1)] | None, Single, Given] = None
    groups: Annotated[Annotated[list[_Group], Field(min_length=1)] | None, Single, Given] = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.actions is None and self.groups is None:
            raise ValueError("must hold actions or groups")
        return self


class CreateToken(Model):
    """A token to make."""

    account: Annotated[Line256 | None, Absent] = None
    description: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    scopes: Annotated[Annotated[list[_Scope], Field(min_length=1)], Single] = Field(default_factory=_api_only)
    metadata: Annotated[
        Annotated[str, StringConstraints(max_length=1_048_576), AfterValidator(_json_text)] | None, Absent
    ] = None
    restrictions: TokenRestrictions | None = None
    permissions: TokenPermissions | None = None
    expires: Annotated[TimeMs | None, Given] = None
    ip: Annotated[IpAddress | None, Absent] = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.account is None and self.permissions is None:
            raise ValueError("needs account or permissions")
        return self


class TokensQuery(Paging):
    """Which tokens to list."""

    query: Annotated[
        Annotated[str, StringConstraints(max_length=1024)] | None,
        Absent,
        Field(description="Part of the id, the description or the account."),
    ] = None
    account: Annotated[Line256 | None, Absent] = None


class TokenLogQuery(Model):
    """Which part of an audit log to show."""

    page: Annotated[int, Field(ge=0, le=1_048_576)] = 0
    page_size: Annotated[int, Field(ge=1, le=200, alias="pageSize")] = 20


# -- answers --------------------------------------------------------------------------------------


class TokenCreated(Shown):
    """A fresh token; its value is never shown again."""

    token: str
    id: str


class TokenAccess(Shown):
    """When and from where a token was last used."""

    time: datetime | None
    ip: str | None


class TokenShown(Shown):
    """A token, without its value."""

    id: str
    account: str | None
    created: datetime
    remote_address: Annotated[str | NoneHidden, Field(alias="remoteAddress")] = None
    scopes: list[str] | NoneHidden = None
    description: str
    restrictions: TokenRestrictions | NoneHidden = None
    permissions: TokenPermissions | NoneHidden = None
    metadata: str | NoneHidden = None
    ip: str | NoneHidden = None
    expires: datetime | NoneHidden = None
    access: TokenAccess


class TokenList(Shown):
    """A page of tokens."""

    account: str | None
    total: int
    page: int
    pages: int
    tokens: list[TokenShown]


class TokenLogEntry(Shown):
    """A request that was made with a token."""

    time: datetime
    ip: str | None
    method: str | None
    path: str | None
    action: str | None
    group: str | None
    account: str | None
    status: Literal["allowed", "denied"]
    reason: str | None


class TokenLog(Shown):
    """A page of an audit log, newest first."""

    token: str
    total: int
    page: int
    pages: int
    entries: list[TokenLogEntry]
