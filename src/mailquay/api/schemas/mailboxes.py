"""Mailboxes: how they are asked for and shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Flag, NoneHidden
from mailquay.api.validation import Model

SpecialUse = Literal["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Inbox"]


class MailboxesQuery(Model):
    """What to show of mailboxes."""

    counters: Annotated[Flag, Field(description="Whether to ask the server for messages and unseen of each.")] = False


class MailboxStatus(Shown):
    """What the server says of a mailbox now."""

    messages: int | NoneHidden = None
    unseen: int | NoneHidden = None
    error: str | NoneHidden = None


class MailboxListed(Shown):
    """A mailbox as the server lists it."""

    path: str
    delimiter: str | None = None
    parent_path: Annotated[str | NoneHidden, Field(alias="parentPath")] = None
    name: str
    listed: bool
    subscribed: bool
    special_use: Annotated[SpecialUse | NoneHidden, Field(alias="specialUse")] = None
    special_use_source: Annotated[
        Literal["user", "extension", "name"] | NoneHidden, Field(alias="specialUseSource")
    ] = None
    no_inferiors: Annotated[bool, Field(alias="noInferiors")]


class MailboxEntry(MailboxListed):
    """A mailbox, with what the last sync found in it."""

    messages: int | Literal[False]
    uid_next: Annotated[int | Literal[False], Field(alias="uidNext")]
    status: MailboxStatus | NoneHidden = None


class MailboxList(Shown):
    """The mailboxes of an account."""

    mailboxes: list[MailboxEntry]
