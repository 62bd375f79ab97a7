"""Messages that are added to a mailbox."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.composition import ComposedMessage, ReferenceOutcome
from mailquay.api.schemas.fields import Given, NoneHidden, Single, TimeMs
from mailquay.api.schemas.mailboxes import MailboxPath
from mailquay.api.schemas.messages import FlagName


class MessageUpload(ComposedMessage):
    """A message, whole or in parts, and where it goes."""

    path: Annotated[MailboxPath, Field(description="Path of the mailbox, or a special-use tag such as \\Drafts.")]
    flags: Annotated[Annotated[list[FlagName], Field(max_length=1000)] | None, Single, Given] = None
    internal_date: Annotated[
        TimeMs | None, Given, Field(alias="internalDate", description="When it counts as received.")
    ] = None


class MessageUploaded(Shown):
    """Where the message stands; id and uid where the server tells."""

    id: str | NoneHidden = None
    path: str
    uid: int | NoneHidden = None
    uid_validity: Annotated[str | NoneHidden, Field(alias="uidValidity")] = None
    seq: int | NoneHidden = None
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    reference: ReferenceOutcome | NoneHidden = None
