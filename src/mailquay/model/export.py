"""Exports: what is to be written, how far that is, and where its file lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber


class ExportStatus(Enum):
    """What becomes of an export; the values are the public names."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether it is still to be worked on."""
        return self in (ExportStatus.QUEUED, ExportStatus.PROCESSING)


class ExportPhase(Enum):
    """How far the work is: finding the messages, writing them, all written."""

    INDEXING = "indexing"
    EXPORTING = "exporting"
    COMPLETE = "complete"


class ExportFormat(Enum):
    """The kinds of file: one JSON object a line (gzip), mbox (mboxrd), or a zip of message files."""

    NDJSON = "ndjson"
    MBOX = "mbox"
    EML_ZIP = "eml-zip"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is to be exported: messages received from `start_ms` on and before `end_ms`.

    `folders` holds paths and special-use tags as the caller gave them; none stands for the default. `max_characters`
    cuts each text, None does not. Text type, attachments and that limit concern the format NDJSON alone.
    """

    folders: tuple[str, ...]
    start_ms: int
    end_ms: int
    text_type: str
    max_characters: int | None
    include_attachments: bool
    format: ExportFormat


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message that is to be exported; exports go by received date, and by place where that is the same."""

    date_ms: int
    mailbox: MailboxNumber
    uid: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PlannedFolder:
    """A mailbox of an export. Number and UIDVALIDITY are those of the time when it was looked through."""

    n: int
    path: str
    mailbox: MailboxNumber
    uidvalidity: int | None
    scanned: bool


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """What is done, and on disk. `after_…` is the place of the last message that was dealt with.

    `content_bytes` and `directory_bytes` are the sizes of the segments together, as they are downloaded.
    """

    folders_total: int = 0
    folders_scanned: int = 0
    queued: int = 0
    exported: int = 0
    skipped: int = 0
    segments: int = 0
    content_bytes: int = 0
    directory_bytes: int = 0
    truncated: bool = False
    after_date_ms: int = -(2**63)
    after_mailbox: int = 0
    after_uid: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an export's file. `name` is that of its files; sizes are as downloaded.

    `directory_bytes` is what belongs to it in the directory at the end of a zip.
    """

    n: int
    name: str
    messages: int
    content_bytes: int
    directory_bytes: int


@dataclass(frozen=True, slots=True)
class Export:
    """An export. `place` names the folder that its segments lie in, `node` the node that wrote the last one.

    `key` encrypts the segments. `away_since_ms`: since then its mail server has not been reached.
    """

    number: int
    id: str
    account: AccountNumber
    request: ExportRequest
    status: ExportStatus
    phase: ExportPhase
    key: bytes = field(repr=False)
    progress: ExportProgress
    created_ms: int
    place: str | None = None
    node: str | None = None
    error: str | None = None
    error_code: str | None = None
    away_since_ms: int | None = None
    ended_ms: int | None = None
    expires_ms: int | None = None
