"""Mailboxes and messages: how they are asked for, changed and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mailquay.api.schemas.common import Paging, Shown
from mailquay.api.schemas.fields import Absent, Flag, Given, Lower, NoneHidden, Single
from mailquay.api.schemas.mailboxes import MailboxPath, SpecialUse
from mailquay.api.validation import Model

TextType = Annotated[Literal["html", "plain", "*"], Lower]
MessageSpecialUse = Literal["\\Drafts", "\\Junk", "\\Sent", "\\Trash", "\\Inbox"]
_FLAG = r"^\\?[!#$&'+,\-.\/0-9:;<=>?@A-Z\[\^_`a-z|}~]+$"
FlagName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_FLAG)]
"""A system flag or a keyword (RFC 9051 §2.3.2)."""
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_MaxBytes = Annotated[
    Annotated[int, Field(ge=0, le=1_073_741_824)] | None,
    Absent,
    Field(alias="maxBytes", description="Most characters of each text."),
]


class MessagesQuery(Paging):
    """Which messages to list. `cursor` wins over `page`."""

    path: Annotated[MailboxPath, Field(description="Path of the mailbox, or a special-use tag such as \\Sent.")]
    cursor: Annotated[Annotated[str, StringConstraints(max_length=1_048_576)] | None, Absent] = None


class MessageQuery(Model):
    """What to show of a message."""

    max_bytes: _MaxBytes = None
    text_type: Annotated[
        TextType | None, Absent, Field(alias="textType", description="Which text; none unless given.")
    ] = None
    web_safe_html: Annotated[Flag, Field(alias="webSafeHtml", description="Make HTML safe to show.")] = False
    embed_attached_images: Annotated[Flag | None, Absent, Field(alias="embedAttachedImages")] = None
    pre_process_html: Annotated[Flag, Field(alias="preProcessHtml")] = False
    mark_as_seen: Annotated[Flag, Field(alias="markAsSeen")] = False


class TextQuery(Model):
    """What to show of a text."""

    max_bytes: _MaxBytes = None
    text_type: Annotated[TextType, Field(alias="textType")] = "*"
    web_safe_html: Annotated[Flag, Field(alias="webSafeHtml")] = False


class DeleteMessageQuery(Model):
    """How to delete a message."""

    force: Annotated[Flag, Field(description="Delete for good instead of moving to the trash.")] = False


_FlagNames = Annotated[Annotated[list[FlagName], Field(max_length=1000)] | None, Single, Given]


_LabelNames = Annotated[Annotated[list[LabelName], Field(max_length=1000)] | None, Single, Given]


class FlagChanges(Model):
    """Flags to add, to delete, or to have alone."""

    add: _FlagNames = None
    delete: _FlagNames = None
    set: _FlagNames = None


class LabelChanges(Model):
    """Labels to add, to delete, or to have alone."""

    add: _LabelNames = None
    delete: _LabelNames = None
    set: _LabelNames = None


class MessageUpdate(Model):
    """Changes of a message."""

    flags: Annotated[FlagChanges | None, Given] = None
    labels: Annotated[LabelChanges | None, Given] = None


class MessageMove(Model):
    """Where a message goes."""

    path: MailboxPath
    source: Annotated[MailboxPath | None, Absent, Field(description="Of Gmail accounts only.")] = None


# -- answers --------------------------------------------------------------------------------------


class AddressShown(Shown):
    """An address of a header."""

    name: str
    address: str


class AttachmentShown(Shown):
    """An attachment."""

    id: str
    content_type: Annotated[str, Field(alias="contentType")]
    encoded_size: Annotated[int, Field(alias="encodedSize", description="Bytes as transferred.")]
    embedded: bool
    inline: bool
    encoded_in_message: Annotated[bool | NoneHidden, Field(alias="encodedInMessage")] = None
    content_id: Annotated[str | NoneHidden, Field(alias="contentId")] = None
    filename: str | NoneHidden = None
    method: str | NoneHidden = None


class TextSizes(Shown):
    """Bytes of the texts as transferred."""

    plain: int | NoneHidden = None
    html: int | NoneHidden = None


class TextInfo(Shown):
    """Where the text of a message is read."""

    id: str
    encoded_size: Annotated[TextSizes, Field(alias="encodedSize")]


class BounceReply(Shown):
    """What the other mail server said."""

    message: str | NoneHidden = None
    status: Annotated[str | NoneHidden, Field(description="Enhanced status code, such as 5.1.1.")] = None


class BounceShown(Shown):
    """A recipient that a message did not reach."""

    message: Annotated[str, Field(description="The id of the message that told of it.")]
    recipient: str
    action: str
    response: BounceReply
    date: datetime


class MessageEntry(Shown):
    """A message in a list."""

    id: str
    uid: int
    email_id: Annotated[str | NoneHidden, Field(alias="emailId")] = None
    thread_id: Annotated[str | NoneHidden, Field(alias="threadId")] = None
    date: datetime | NoneHidden = None
    flags: list[str]
    draft: bool | NoneHidden = None
    unseen: bool | NoneHidden = None
    flagged: bool | NoneHidden = None
    answered: bool | NoneHidden = None
    labels: list[str] | NoneHidden = None
    size: int | NoneHidden = None
    subject: str | NoneHidden = None
    from_: Annotated[AddressShown | NoneHidden, Field(alias="from")] = None
    reply_to: Annotated[list[AddressShown] | NoneHidden, Field(alias="replyTo")] = None
    to: list[AddressShown] | NoneHidden = None
    cc: list[AddressShown] | NoneHidden = None
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    in_reply_to: Annotated[str | NoneHidden, Field(alias="inReplyTo")] = None
    attachments: list[AttachmentShown] | NoneHidden = None
    text: TextInfo | NoneHidden = None
    path: Annotated[str | NoneHidden, Field(description="Where one list shows several mailboxes.")] = None
    message_special_use: Annotated[MessageSpecialUse | NoneHidden, Field(alias="messageSpecialUse")] = None
    is_auto_reply: Annotated[bool | NoneHidden, Field(alias="isAutoReply")] = None
    bounces: Annotated[list[BounceShown] | NoneHidden, Field(description="Where this message bounced.")] = None
    status: Annotated[Literal["failed"] | NoneHidden, Field(description="The message cannot be read.")] = None
    error: Annotated[str | NoneHidden, Field(description="Why it cannot be read.")] = None


class MessageList(Shown):
    """A page of messages, newest first."""

    total: int
    page: int
    pages: int
    next_page_cursor: Annotated[str | None, Field(alias="nextPageCursor")]
    prev_page_cursor: Annotated[str | None, Field(alias="prevPageCursor")]
    messages: list[MessageEntry]


class TextContent(TextInfo):
    """The text of a message, as far as it was asked for."""

    plain: str | NoneHidden = None
    html: str | NoneHidden = None
    has_more: Annotated[bool | NoneHidden, Field(alias="hasMore")] = None
    web_safe: Annotated[bool | NoneHidden, Field(alias="webSafe")] = None


class MessageDetails(MessageEntry):
    """A message."""

    path: str
    sender: AddressShown | NoneHidden = None
    bcc: list[AddressShown] | NoneHidden = None
    headers: dict[str, list[str]] | NoneHidden = None
    special_use: Annotated[SpecialUse | NoneHidden, Field(alias="specialUse")] = None
    text: TextContent | NoneHidden = None


class TextAnswer(Shown):
    """The text of a message."""

    plain: str | NoneHidden = None
    html: str | NoneHidden = None
    has_more: Annotated[bool | NoneHidden, Field(alias="hasMore")] = None
    web_safe: Annotated[bool | NoneHidden, Field(alias="webSafe")] = None


class FlagsChanged(Shown):
    """Which kinds of change were made."""

    add: bool | list[str] | NoneHidden = None
    delete: bool | list[str] | NoneHidden = None
    set: bool | list[str] | NoneHidden = None
    result: list[str] | NoneHidden = None


class MessageUpdated(Shown):
    """What was changed."""

    flags: FlagsChanged | NoneHidden = None
    labels: FlagsChanged | NoneHidden = None


class MessageMoved(Shown):
    """Where the message is now; id and uid when the server tells."""

    path: str
    id: str | NoneHidden = None
    uid: int | NoneHidden = None


class MovedTo(Shown):
    """Where a deleted message went."""

    destination: str | NoneHidden = None
    message: str | NoneHidden = None


class MessageDeleted(Shown):
    """Whether the message is gone for good, or where it went."""

    deleted: bool
    moved: MovedTo | NoneHidden = None
