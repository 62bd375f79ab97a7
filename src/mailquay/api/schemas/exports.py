"""Exports: how they are asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import Flag, Given, Lower, NoneHidden, Single, TimeMs
from mailquay.api.schemas.messages import TextType
from mailquay.api.validation import Model

_MAX_FOLDERS = 1000
_LAST_MS = 253_402_300_799_999
_Folder = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00\r\n]+$")]
Status = Literal["queued", "processing", "completed", "failed", "cancelled"]
Format = Literal["ndjson", "mbox", "eml-zip"]


def _from_the_epoch(value: int) -> int:
    if not 0 <= value <= _LAST_MS:
        raise ValueError("must be a date from 1970 to 9999")
    return value


_Date = Annotated[TimeMs, AfterValidator(_from_the_epoch)]


class ExportRequestBody(Model):
    """Which messages to export, and how."""

    folders: Annotated[
        Annotated[list[_Folder], Field(max_length=_MAX_FOLDERS)] | None,
        Single,
        Given,
        Field(description="Paths and special-use tags; without any \\All, or all mailboxes but \\Junk and \\Trash."),
    ] = None
    start_date: Annotated[_Date, Field(alias="startDate", description="Received at this time or later.")]
    end_date: Annotated[_Date, Field(alias="endDate", description="Received before this time.")]
    text_type: Annotated[TextType, Field(alias="textType")] = "*"
    max_bytes: Annotated[
        int, Field(ge=0, alias="maxBytes", description="Most characters of each text; 0: no such limit.")
    ] = 5 * 1024 * 1024
    include_attachments: Annotated[Flag, Field(alias="includeAttachments")] = False
    format: Annotated[
        Format,
        Lower,
        Field(
            description="ndjson: a line of JSON for each message, in gzip. mbox and eml-zip: messages as they are, "
            "for which textType, maxBytes and includeAttachments mean nothing."
        ),
    ] = "ndjson"

    @field_validator("end_date")
    @classmethod
    def _after_start(cls, value: int, info: ValidationInfo) -> int:
        start: int | None = info.data.get("start_date")
        if start is not None and value <= start:
            raise ValueError("must be later than startDate")
        return value


class ExportCreated(Shown):
    """An export that was queued."""

    export_id: Annotated[str, Field(alias="exportId")]
    status: Status
    created: datetime


class ExportEntryShown(ExportCreated):
    """An export in a list."""

    expires_at: Annotated[datetime | NoneHidden, Field(alias="expiresAt", description="When its file goes.")] = None


class ExportList(Shown):
    """A page of exports, newest first."""

    total: int
    page: int
    pages: int
    exports: list[ExportEntryShown]


class ExportProgressShown(Shown):
    """How far an export is. What counts as exported is on disk."""

    folders_scanned: Annotated[int, Field(alias="foldersScanned")]
    folders_total: Annotated[int, Field(alias="foldersTotal")]
    messages_queued: Annotated[int, Field(alias="messagesQueued")]
    messages_exported: Annotated[int, Field(alias="messagesExported")]
    messages_skipped: Annotated[int, Field(alias="messagesSkipped", description="Gone meanwhile, or not to be had.")]
    bytes_written: Annotated[int, Field(alias="bytesWritten")]
    percent: int


class ExportShown(ExportEntryShown):
    """An export."""

    phase: Literal["indexing", "exporting", "complete"]
    folders: list[str]
    start_date: Annotated[datetime, Field(alias="startDate")]
    end_date: Annotated[datetime, Field(alias="endDate")]
    format: Format
    is_encrypted: Annotated[bool, Field(alias="isEncrypted", description="Whether the file is encrypted at rest.")]
    progress: ExportProgressShown
    truncated: Annotated[bool | NoneHidden, Field(description="A limit was reached; messages are missing.")] = None
    error: str | None
