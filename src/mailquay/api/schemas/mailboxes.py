"""Mailboxes: how they are asked for and shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Flag, Given, NoneHidden, Single
from mailquay.api.validation import Model

SpecialUse = Literal["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Inbox"]


class MailboxesQuery(Model):
    """What to show of mailboxes."""

    counters: Annotated[Flag, Field(description="Whether to ask the server for messages and unseen of each.")] = False


MailboxPath = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00\r\n]+$")]
_LevelName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Levels = Annotated[list[_LevelName], Field(min_length=1, max_length=100)]


class NewMailbox(Model):
    """Where to make a mailbox."""

    path: Annotated[_Levels, Single, Field(description="A path, or the names of its levels.")]


class MailboxChange(Model):
    """What is to become of a mailbox."""

    path: MailboxPath
    new_path: Annotated[
        _Levels | None, Single, Given, Field(alias="newPath", description="A path, or the names of its levels.")
    ] = None
    subscribed: Annotated[Flag | None, Given] = None


class MailboxPathQuery(Model):
    """The mailbox that is meant."""

    path: Annotated[MailboxPath, Field(description="Path of the mailbox, or a special-use tag such as \\Sent.")]


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


class MailboxCreated(Shown):
    """The mailbox, and whether it was made or there before."""

    path: str
    created: bool
    mailbox_id: Annotated[str | NoneHidden, Field(alias="mailboxId")] = None


class MailboxChanged(Shown):
    """What became of the mailbox."""

    path: str
    new_path: Annotated[str | NoneHidden, Field(alias="newPath")] = None
    renamed: bool | NoneHidden = None
    subscribed: bool | NoneHidden = None
    mailbox_id: Annotated[str | NoneHidden, Field(alias="mailboxId")] = None


class MailboxDeleted(Shown):
    """Whether there was something to delete."""

    path: str
    deleted: bool
    mailbox_id: Annotated[str | NoneHidden, Field(alias="mailboxId")] = None
