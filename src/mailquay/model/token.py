"""Access tokens: what a bearer may do."""

from __future__ import annotations

from dataclasses import dataclass

SCOPES = ("api", "smtp", "imap-proxy", "mcp", "metrics", "*")
ACTIONS = ("read", "write", "send", "destructive")
GRANTABLE_GROUPS = (
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
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `max_requests` in each fixed window of `time_window_seconds`."""

    max_requests: int
    time_window_seconds: int


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Where a token may be used from. `addresses` are IP addresses or CIDR blocks, `referrers` patterns with "*"."""

    addresses: tuple[str, ...] | None = None
    referrers: tuple[str, ...] | None = None
    rate_limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a token may do: both axes only subtract; None leaves an axis unrestricted, empty denies everything."""

    actions: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as stored: `id` is the SHA-256 (hex) of its 32 raw bytes; the value itself is never stored.

    `scopes` None means unrestricted. `account` is the public account id that it is bound to.
    """

    id: str
    description: str
    created_ms: int
    account: str | None = None
    scopes: tuple[str, ...] | None = None
    restrictions: Restrictions | None = None
    permissions: Permissions | None = None
    metadata: str | None = None
    ip: str | None = None
    remote_address: str | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TokenUse:
    """When and from where a token was last used."""

    time_ms: int | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request made with a token; `reason` says why it was denied."""

    time_ms: int
    ip: str
    method: str
    path: str
    action: str | None
    group: str | None
    account: str | None
    allowed: bool
    reason: str | None = None
