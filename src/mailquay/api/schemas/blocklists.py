"""Blocklists: who is not to get the messages of a list."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Email, Line1024, NoneHidden
from mailquay.api.validation import Model


class BlockRecipient(Model):
    """An address that a list is not to be sent to."""

    account: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
    recipient: Email
    reason: Line1024 = "block"


class UnblockQuery(Model):
    """Which address is taken off the list."""

    recipient: Email


class BlocklistEntry(Shown):
    """How many addresses a list is not sent to."""

    list_id: Annotated[str, Field(alias="listId")]
    count: int


class Blocklists(Shown):
    """A page of the lists that have such addresses."""

    total: int
    page: int
    pages: int
    blocklists: list[BlocklistEntry]


class BlockedAddress(Shown):
    """An address that a list is not sent to, and how it got there."""

    recipient: str
    account: str
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    source: str
    reason: str
    remote_address: Annotated[str | NoneHidden, Field(alias="remoteAddress")] = None
    user_agent: Annotated[str | NoneHidden, Field(alias="userAgent")] = None
    created: datetime


class Blocklist(Shown):
    """A page of the addresses that a list is not sent to."""

    list_id: Annotated[str, Field(alias="listId")]
    total: int
    page: int
    pages: int
    addresses: list[BlockedAddress]


class RecipientBlocked(Shown):
    """Whether the address is new on the list."""

    success: bool
    added: bool
