"""Lists of recipients who do not want to get what is sent to a list any more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockedRecipient:
    """An address that a list is not sent to, in lower case; `source` is how it got there: api, one-click or form.

    `account` is the public id that the list was sent by; the entry outlives it.
    """

    recipient: str
    account: str
    source: str
    reason: str
    created_ms: int
    message_id: str | None = None
    remote_address: str | None = None
    user_agent: str | None = None


def blocked_form(address: str) -> str:
    """How addresses, and the names of lists, are compared."""
    return address.strip().lower()
