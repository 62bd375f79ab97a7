"""Messages that are added to a mailbox."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import (
    Absent,
    Base64,
    Content,
    Given,
    MessageIdText,
    NoneHidden,
    Single,
    Text100,
    TimeMs,
)
from mailquay.api.schemas.mailboxes import MailboxPath
from mailquay.api.schemas.messages import FlagName
from mailquay.api.schemas.submit import (
    MAX_ATTACHMENTS,
    Addresses,
    FromAddress,
    HeaderMap,
    MessageReference,
    ReferenceOutcome,
    Subject,
    UploadAttachment,
)
from mailquay.api.validation import Model


class MessageUpload(Model):
    """A message, whole or in parts, and where it goes."""

    path: Annotated[MailboxPath, Field(description="Path of the mailbox, or a special-use tag such as \\Drafts.")]
    flags: Annotated[Annotated[list[FlagName], Field(max_length=1000)] | None, Single, Given] = None
    internal_date: Annotated[
        TimeMs | None, Given, Field(alias="internalDate", description="When it counts as received.")
    ] = None
    reference: Annotated[MessageReference | None, Given] = None
    raw: Annotated[Base64 | None, Given] = None
    from_: Annotated[FromAddress | None, Given, Field(alias="from")] = None
    to: Addresses = None
    cc: Addresses = None
    bcc: Addresses = None
    subject: Annotated[Subject | None, Given] = None
    text: Annotated[Content | None, Given] = None
    html: Annotated[Content | None, Given] = None
    attachments: Annotated[Annotated[list[UploadAttachment], Field(max_length=MAX_ATTACHMENTS)] | None, Given] = None
    message_id: Annotated[MessageIdText | None, Absent, Field(alias="messageId")] = None
    headers: Annotated[HeaderMap | None, Given] = None
    locale: Annotated[Text100 | None, Absent] = None
    tz: Annotated[Text100 | None, Absent] = None

    @model_validator(mode="after")
    def _raw_alone(self) -> Self:
        if self.raw is not None and (self.text is not None or self.html is not None or self.attachments):
            raise ValueError("may hold raw, or text, html and attachments, not both")
        return self


class MessageUploaded(Shown):
    """Where the message stands; id and uid where the server tells."""

    id: str | NoneHidden = None
    path: str
    uid: int | NoneHidden = None
    uid_validity: Annotated[str | NoneHidden, Field(alias="uidValidity")] = None
    seq: int | NoneHidden = None
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    reference: ReferenceOutcome | NoneHidden = None
