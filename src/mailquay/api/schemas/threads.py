"""Threads: which to show, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mailquay.api.schemas.common import Paging, Shown
from mailquay.api.schemas.fields import Absent, NoneHidden
from mailquay.api.schemas.mailboxes import MailboxPath
from mailquay.api.schemas.messages import AddressShown, MessageEntry


class ThreadsQuery(Paging):
    """Which threads to list. `cursor` wins over `page`."""

    path: Annotated[
        MailboxPath | None,
        Absent,
        Field(description="Mailbox that they have messages in; without one that of all mail, else INBOX."),
    ] = None
    cursor: Annotated[Annotated[str, StringConstraints(max_length=1024)] | None, Absent] = None


class Reason(Shown):
    """Why a message is in a thread, and the message that it has to do with."""

    by: Literal["server", "inReplyTo", "answered", "copy", "references", "first"]
    message: str | NoneHidden = None


class PlacedMessage(MessageEntry):
    """A message, and the mailbox in which it stands."""

    path: str


class ThreadMessage(PlacedMessage):
    """A message of a thread."""

    because: list[Reason]


class ThreadSummary(Shown):
    """A thread in a list."""

    thread_id: Annotated[str, Field(alias="threadId")]
    subject: str | NoneHidden = None
    messages: Annotated[int, Field(description="How many, in all mailboxes.")]
    unseen: int
    first_date: Annotated[datetime | NoneHidden, Field(alias="firstDate")] = None
    last_date: Annotated[datetime | NoneHidden, Field(alias="lastDate")] = None
    participants: Annotated[list[AddressShown], Field(description="Who wrote the latest messages.")]
    paths: Annotated[list[str], Field(description="Where the latest messages are.")]
    last_message: Annotated[
        PlacedMessage, Field(alias="lastMessage", description="The newest one in the mailbox that is listed.")
    ]


class ThreadList(Shown):
    """One page of the threads of a mailbox."""

    path: str
    page: int
    next_page_cursor: Annotated[str | None, Field(alias="nextPageCursor")]
    prev_page_cursor: Annotated[str | None, Field(alias="prevPageCursor")]
    threads: list[ThreadSummary]


class ThreadDetails(Shown):
    """A thread with one page of its messages."""

    thread_id: Annotated[str, Field(alias="threadId")]
    subject: str | NoneHidden = None
    total: int
    page: int
    pages: int
    messages: list[ThreadMessage]
