"""Submissions: a message to send, and what became of it; the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from mailquay.api.schemas.accounts import Later
from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.composition import (
    MAX_RECIPIENTS,
    Addresses,
    ComposedMessage,
    FromAddress,
    ReferenceOutcome,
)
from mailquay.api.schemas.fields import (
    Absent,
    Email,
    FalseIsNone,
    Flag,
    Given,
    Hostname,
    IpAddress,
    Line256,
    Line1024,
    Lower,
    MessageIdText,
    NoneHidden,
    ProxyUri,
    Single,
    TimeMs,
    WebUri,
    read_address,
)
from mailquay.api.schemas.templates import Format
from mailquay.api.validation import Model

_MAX_ENTRIES = 10_000
_NOT_MERGED = ("to", "cc", "bcc", "raw", "envelope", "render")


def _null_sender(value: str) -> str:
    return value if value == "" else read_address(value)


class Envelope(Model):
    """The SMTP envelope; an empty `from` is the null sender."""

    from_: Annotated[
        Annotated[str, AfterValidator(_null_sender), WithJsonSchema({"type": "string", "format": "email"})] | None,
        Given,
        Field(alias="from"),
    ] = None
    to: Annotated[Annotated[list[Email], Field(min_length=1, max_length=MAX_RECIPIENTS)] | None, Single, Given] = None


class DsnOptions(Model):
    """Which delivery reports to ask for."""

    id: Annotated[Line256 | None, Absent] = None
    return_: Annotated[Literal["headers", "full"], Lower, Field(alias="return")]
    notify: Annotated[list[Annotated[Literal["never", "success", "failure", "delay"], Lower]] | None, Single, Given] = (
        None
    )
    recipient: Annotated[Email | None, Absent] = None

    @model_validator(mode="after")
    def _never_alone(self) -> Self:
        if self.notify is not None and "never" in self.notify and len(set(self.notify)) > 1:
            raise ValueError('may hold "never" in notify only alone')
        return self


class SubmitQuery(Model):
    """Accepted for compatibility; neither changes anything for IMAP accounts."""

    document_store: Annotated[Flag, Field(alias="documentStore", deprecated=True)] = False
    use_structured_format: Annotated[Flag, Field(alias="useStructuredFormat")] = False


class RenderOptions(Model):
    """How to fill in the placeholders of subject, text, HTML and preview text."""

    format: Format = "html"
    params: Annotated[dict[str, Any], Field(description="What {{params.…}} stands for.")] = Field(default_factory=dict)


class MergeEntry(Model):
    """One message of a mail merge."""

    to: FromAddress
    message_id: Annotated[MessageIdText | None, Absent, Field(alias="messageId")] = None
    params: Annotated[dict[str, Any], Field(description="What {{params.…}} stands for.")] = Field(default_factory=dict)
    send_at: Annotated[TimeMs | None, Given, Field(alias="sendAt", description="Not to be sent before.")] = None


class SubmitOptions(Model):
    """How to send a message, whatever it is."""

    envelope: Annotated[Envelope | None, Given] = None
    copy_sent: Annotated[
        Flag | None,
        Field(alias="copy", description="Whether a copy goes to the sent mailbox; null: as the account says."),
    ] = None
    sent_mail_path: Annotated[Line1024 | None, Absent, Field(alias="sentMailPath")] = None
    send_at: Annotated[TimeMs | None, Given, Field(alias="sendAt", description="Not to be sent before.")] = None
    delivery_attempts: Annotated[
        Annotated[int, Field(ge=0, le=1000)] | None, Given, Field(alias="deliveryAttempts")
    ] = None
    gateway: Annotated[
        Line256 | None,
        Absent,
        Field(description="The gateway to send through; where there is none of that id the account's own server."),
    ] = None
    dsn: Annotated[DsnOptions | None, Given] = None
    proxy: Annotated[ProxyUri | None, Absent] = None
    local_address: Annotated[IpAddress | None, Absent, Field(alias="localAddress")] = None


class SubmitDraft(SubmitOptions):
    """How to send a draft."""


class SubmitMessage(ComposedMessage, SubmitOptions):
    """A message to send."""

    reply_to: Annotated[Addresses, Field(alias="replyTo")] = None
    preview_text: Annotated[
        Annotated[str, StringConstraints(max_length=1024)] | None, Absent, Field(alias="previewText")
    ] = None
    template: Annotated[
        Line256 | None, Absent, Field(description="A kept template, whose texts take the place of those given here.")
    ] = None
    render: Annotated[
        RenderOptions | None, FalseIsNone, Field(description="Fill in the placeholders of the texts.")
    ] = None
    track_opens: Annotated[bool | None, Later("tracking"), Field(alias="trackOpens")] = None
    track_clicks: Annotated[bool | None, Later("tracking"), Field(alias="trackClicks")] = None
    tracking_enabled: Annotated[bool | None, Later("tracking"), Field(alias="trackingEnabled", deprecated=True)] = None
    base_url: Annotated[
        WebUri | None,
        Absent,
        Field(alias="baseUrl", description="Where links of the message lead, instead of serviceUrl."),
    ] = None
    dry_run: Annotated[Flag, Field(alias="dryRun", description="Build the message and show it; send nothing.")] = False
    mail_merge: Annotated[
        Annotated[list[MergeEntry], Field(min_length=1, max_length=_MAX_ENTRIES)] | None,
        Given,
        Field(alias="mailMerge", description="A message for each entry, with its own values for the placeholders."),
    ] = None

    list_id: Annotated[
        Hostname | None,
        Absent,
        Field(alias="listId", description="The list that a mail merge goes to: who has left it gets nothing."),
    ] = None

    @field_validator("template")
    @classmethod
    def _instead_of_texts(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("raw") is not None:
            raise ValueError("may not stand beside raw")
        return value

    @field_validator("list_id")
    @classmethod
    def _of_a_merge(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "mail_merge" in info.data and info.data["mail_merge"] is None:
            raise ValueError("may only stand beside mailMerge")
        return value

    @field_validator("mail_merge")
    @classmethod
    def _alone(cls, value: list[MergeEntry] | None, info: ValidationInfo) -> list[MergeEntry] | None:
        besides = [name for name in _NOT_MERGED if info.data.get(name) is not None]
        if value is not None and besides:
            raise ValueError(f"may not stand beside {', '.join(besides)}")
        return value


class ResolveOutcome(Model):
    """What became of a message of which nobody knew whether it was sent."""

    outcome: Annotated[Literal["sent", "failed", "retry"], Lower]


# -- answers --------------------------------------------------------------------------------------


class Idempotency(Shown):
    """Whether the key was known."""

    key: str
    status: Literal["MISS", "HIT"]


class Skipped(Shown):
    """Why an entry was left out: its address has left the list."""

    reason: str
    list_id: Annotated[str, Field(alias="listId")]


class MergeResult(Shown):
    """What became of an entry of a mail merge."""

    success: bool
    to: FromAddress
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    queue_id: Annotated[str | NoneHidden, Field(alias="queueId")] = None
    send_at: Annotated[datetime | NoneHidden, Field(alias="sendAt")] = None
    skipped: Skipped | NoneHidden = None
    error: Annotated[str | NoneHidden, Field(description="Why it was not queued.")] = None
    code: str | NoneHidden = None
    status_code: Annotated[int | NoneHidden, Field(alias="statusCode")] = None


class DraftSubmitted(Shown):
    """A queued draft."""

    response: str
    message_id: Annotated[str, Field(alias="messageId")]
    queue_id: Annotated[str, Field(alias="queueId")]
    send_at: Annotated[datetime | NoneHidden, Field(alias="sendAt")] = None
    idempotency: Idempotency | NoneHidden = None


class Submitted(Shown):
    """A queued message, or its preview; of a mail merge, what became of each entry."""

    response: str | NoneHidden = None
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    queue_id: Annotated[str | NoneHidden, Field(alias="queueId")] = None
    send_at: Annotated[datetime | NoneHidden, Field(alias="sendAt")] = None
    reference: ReferenceOutcome | NoneHidden = None
    preview: Annotated[str | NoneHidden, Field(description="The message in base64, of a dry run.")] = None
    mail_merge: Annotated[list[MergeResult] | NoneHidden, Field(alias="mailMerge")] = None
    idempotency: Idempotency | NoneHidden = None


class OutboxEnvelope(Shown):
    """The SMTP envelope."""

    from_: Annotated[str, Field(alias="from")]
    to: list[str]


class ProgressError(Shown):
    """Why the last attempt failed."""

    message: str
    code: str | NoneHidden = None
    status_code: Annotated[int | NoneHidden, Field(alias="statusCode")] = None
    network_routing: Annotated[dict[str, Any] | None, Field(alias="networkRouting")] = None


class Progress(Shown):
    """How far a submission got."""

    status: str
    response: str | NoneHidden = None
    message_id: Annotated[str | NoneHidden, Field(alias="messageId")] = None
    original_message_id: Annotated[str | NoneHidden, Field(alias="originalMessageId")] = None
    error: ProgressError | NoneHidden = None


class OutboxEntry(Shown):
    """A submission that is not settled."""

    queue_id: Annotated[str, Field(alias="queueId")]
    account: str
    source: Literal["smtp", "api", "test", "ui"]
    message_id: Annotated[str, Field(alias="messageId")]
    envelope: OutboxEnvelope
    subject: str | None = None
    gateway: str | None = None
    proxy: str | None = None
    local_address: Annotated[str | None, Field(alias="localAddress")] = None
    idempotency_key: Annotated[str | None, Field(alias="idempotencyKey")] = None
    created: datetime
    scheduled: datetime
    next_attempt: Annotated[datetime | Literal[False], Field(alias="nextAttempt")]
    attempts_made: Annotated[int, Field(alias="attemptsMade")]
    attempts: int
    progress: Progress


class OutboxList(Shown):
    """A page of the outbox."""

    total: int
    page: int
    pages: int
    messages: list[OutboxEntry]


class Resolved(Shown):
    """What a message counts as now."""

    queue_id: Annotated[str, Field(alias="queueId")]
    resolved: Literal["sent", "failed", "retry"]


class Retried(Shown):
    """Whether there was a message that waited."""

    queue_id: Annotated[str, Field(alias="queueId")]
    retried: bool
