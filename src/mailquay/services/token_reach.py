"""How far a token reaches: the checks that every door of ours makes of it, with the words of the audit log."""

from __future__ import annotations

import ipaddress

from mailquay.model.token import Permissions, RateLimit, Restrictions, Token
from mailquay.net.names import in_networks

WINDOWS_BEGIN_SECONDS = 946_684_800
"""2000-01-01T00:00:00Z: rate windows are counted from here."""


def has_scope(token: Token, scope: str) -> bool:
    """Whether a token is good for a door; one without scopes is good for all."""
    return token.scopes is None or scope in token.scopes or "*" in token.scopes


def permission_fault(permissions: Permissions | None, action: str | None, group: str | None) -> str | None:
    """Why a token's permissions forbid an action on a group; None when they do not."""
    if permissions is None:
        return None
    if action is None or group is None:
        return "unclassified"
    if group == "admin":
        return "restricted"
    if permissions.actions is None and permissions.groups is None:
        # Stored as an empty object: made to allow something, and naming nothing.
        return "malformed"
    if permissions.actions is not None and action not in permissions.actions:
        return "action"
    if permissions.groups is not None and group not in permissions.groups:
        return "group"
    return None


def allows_address(restrictions: Restrictions, address: str) -> bool:
    """Whether a token may be used from an address."""
    if restrictions.addresses is None:
        return True
    return in_networks(address, [ipaddress.ip_network(text, strict=False) for text in restrictions.addresses])


def rate_window(limit: RateLimit, now_ms: int) -> tuple[int, int]:
    """The number of the present window, and how many seconds are left of it (at least 1)."""
    elapsed = now_ms // 1000 - WINDOWS_BEGIN_SECONDS
    window = elapsed // limit.time_window_seconds
    return window, (window + 1) * limit.time_window_seconds - elapsed
