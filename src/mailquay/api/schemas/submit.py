"""Submissions: a message to send, and what became of it; the outbox."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from mailquay.api.schemas.accounts import Later
from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import (
    Absent,
    Base64,
    Content,
    Email,
    FalseIsNone,
    Flag,
    Given,
    IpAddress,
    Line256,
    Line1024,
    Lower,
    MessageIdText,
    NoneHidden,
    ProxyUri,
    Single,
    Text100,
    TimeMs,
    read_address,
)
from mailquay.api.validation import Model

_MAX_RECIPIENTS, MAX_ATTACHMENTS, _MAX_HEADERS, _MAX_HEADER_CHARACTERS = 10_000, 1000, 1000, 100 * 1024
_HEADER_NAME = re.compile(r"[!-9;-~]{1,256}")
_LINE_END = re.compile(r"[\r\n]+\s*")


def _one_line(value: str) -> str:
    """A line end in a subject is meant as a space; nothing else would reach the header."""
    return _LINE_END.sub(" ", value).replace("\x00", "")


def _headers(value: object) -> object:
    """Header names to lists of values, none with a line end; ValueError otherwise."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    if len(value) > _MAX_HEADERS:
        raise ValueError(f"must hold at most {_MAX_HEADERS} headers")
    headers: dict[str, list[str]] = {}
    for name, given in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"holds {name[:100]!r}, which is no header name")
        values = given if isinstance(given, list) else [given]
        texts = [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in values]
        if not all(isinstance(one, str) and len(one) <= _MAX_HEADER_CHARACTERS for one in texts):
            raise ValueError(f"must hold texts of at most {_MAX_HEADER_CHARACTERS} characters; {name!r} does not")
        if any("\r" in one or "\n" in one or "\x00" in one for one in texts):
            raise ValueError(f"must hold single lines; {name!r} does not")
        headers[name] = texts
    return headers


HeaderMap = Annotated[
    dict[str, list[str]], BeforeValidator(_headers), WithJsonSchema({"type": "object", "additionalProperties": True})
]
Subject = Annotated[str, StringConstraints(max_length=10240), AfterValidator(_one_line)]


class FromAddress(Model):
    """An address with a name."""

    name: Annotated[Line256 | None, Absent] = None
    address: Email


Addresses = Annotated[Annotated[list[FromAddress], Field(max_length=_MAX_RECIPIENTS)] | None, Single, Given]


class MessageReference(Model):
    """The message that is answered or forwarded."""

    message: Annotated[Line256, StringConstraints(min_length=1)]
    action: Annotated[Literal["forward", "reply", "reply-all"], Lower] = "reply"
    inline: Annotated[Flag, Field(description="Whether it is quoted below the new text.")] = False
    forward_attachments: Annotated[Flag, Field(alias="forwardAttachments")] = False
    ignore_missing: Annotated[Flag, Field(alias="ignoreMissing", description="Whether to send when it is gone.")] = (
        False
    )
    message_id: Annotated[
        MessageIdText | None, Absent, Field(alias="messageId", description="What its Message-ID must be.")
    ] = None
    thread_id: Annotated[Line1024 | None, Absent, Field(alias="threadId")] = None
    document_store: Annotated[Flag, Field(alias="documentStore", deprecated=True)] = False


def _null_sender(value: str) -> str:
    return value if value == "" else read_address(value)


class Envelope(Model):
    """The SMTP envelope; an empty `from` is the null sender."""

    from_: Annotated[
        Annotated[str, AfterValidator(_null_sender), WithJsonSchema({"type": "string", "format": "email"})] | None,
        Given,
        Field(alias="from"),
    ] = None
    to: Annotated[Annotated[list[Email], Field(min_length=1, max_length=_MAX_RECIPIENTS)] | None, Single, Given] = None


class UploadAttachment(Model):
    """An attachment: its content, or the id of one that the account has."""

    filename: Annotated[Line256 | None, Absent] = None
    content: Annotated[Base64 | None, Given] = None
    content_type: Annotated[
        Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")] | None,
        Lower,
        Absent,
        Field(alias="contentType"),
    ] = None
    content_disposition: Annotated[
        Literal["inline", "attachment"] | None, Lower, Absent, Field(alias="contentDisposition")
    ] = None
    cid: Annotated[Line256 | None, Absent] = None
    encoding: Literal["base64"] = "base64"
    reference: Annotated[Annotated[str, StringConstraints(max_length=2048)] | None, FalseIsNone] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.reference is None and self.content is None:
            raise ValueError("needs content")
        if self.reference is not None and self.content is not None:
            raise ValueError("may hold content or reference, not both")
        return self


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


class SubmitMessage(Model):
    """A message to send."""

    reference: Annotated[MessageReference | None, Given] = None
    from_: Annotated[FromAddress | None, Given, Field(alias="from")] = None
    reply_to: Annotated[Addresses, Field(alias="replyTo")] = None
    subject: Annotated[Subject | None, Given] = None
    text: Annotated[Content | None, Given] = None
    html: Annotated[Content | None, Given] = None
    preview_text: Annotated[
        Annotated[str, StringConstraints(max_length=1024)] | None, Absent, Field(alias="previewText")
    ] = None
    template: Annotated[str | None, Later("templates")] = None
    mail_merge: Annotated[list[Any] | None, Later("mail merge"), Field(alias="mailMerge")] = None
    envelope: Annotated[Envelope | None, Given] = None
    raw: Annotated[Base64 | None, Given] = None
    to: Addresses = None
    cc: Addresses = None
    bcc: Addresses = None
    render: Annotated[dict[str, Any] | None, Later("templates")] = None
    attachments: Annotated[Annotated[list[UploadAttachment], Field(max_length=MAX_ATTACHMENTS)] | None, Given] = None
    message_id: Annotated[MessageIdText | None, Absent, Field(alias="messageId")] = None
    headers: Annotated[HeaderMap | None, Given] = None
    track_opens: Annotated[bool | None, Later("tracking"), Field(alias="trackOpens")] = None
    track_clicks: Annotated[bool | None, Later("tracking"), Field(alias="trackClicks")] = None
    tracking_enabled: Annotated[bool | None, Later("tracking"), Field(alias="trackingEnabled", deprecated=True)] = None
    copy_sent: Annotated[
        Flag | None,
        Field(alias="copy", description="Whether a copy goes to the sent mailbox; null: as the account says."),
    ] = None
    sent_mail_path: Annotated[Line1024 | None, Absent, Field(alias="sentMailPath")] = None
    locale: Annotated[Text100 | None, Absent] = None
    tz: Annotated[Text100 | None, Absent] = None
    send_at: Annotated[TimeMs | None, Given, Field(alias="sendAt", description="Not to be sent before.")] = None
    delivery_attempts: Annotated[
        Annotated[int, Field(ge=0, le=1000)] | None, Given, Field(alias="deliveryAttempts")
    ] = None
    gateway: Annotated[str | None, Later("gateways")] = None
    list_id: Annotated[str | None, Later("lists"), Field(alias="listId")] = None
    dsn: Annotated[DsnOptions | None, Given] = None
    base_url: Annotated[str | None, Later("tracking"), Field(alias="baseUrl")] = None
    proxy: Annotated[ProxyUri | None, Absent] = None
    local_address: Annotated[IpAddress | None, Absent, Field(alias="localAddress")] = None
    dry_run: Annotated[Flag, Field(alias="dryRun", description="Build the message and show it; send nothing.")] = False

    @model_validator(mode="after")
    def _raw_alone(self) -> Self:
        if self.raw is not None and (self.text is not None or self.html is not None or self.attachments):
            raise ValueError("may hold raw, or text, html and attachments, not both")
        return self


# -- answers --------------------------------------------------------------------------------------


class ReferenceOutcome(Shown):
    """What became of the reference."""

    message: str
    thread_id: Annotated[str | NoneHidden, Field(alias="threadId")] = None
    success: bool | NoneHidden = None
    error: str | NoneHidden = None


class Idempotency(Shown):
    """Whether the key was known."""

    key: str
    status: Literal["MISS", "HIT"]


class Submitted(Shown):
    """A queued message, or its preview."""

    response: str
    message_id: Annotated[str, Field(alias="messageId")]
    queue_id: Annotated[str | NoneHidden, Field(alias="queueId")] = None
    send_at: Annotated[datetime | NoneHidden, Field(alias="sendAt")] = None
    reference: ReferenceOutcome | NoneHidden = None
    preview: Annotated[str | NoneHidden, Field(description="The message in base64, of a dry run.")] = None
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
