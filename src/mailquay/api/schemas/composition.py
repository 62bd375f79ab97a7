"""The parts of a message that is composed here, to be sent or to be put into a mailbox."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from mailquay.api.schemas.common import Shown
from mailquay.api.schemas.fields import (
    Absent,
    Base64,
    Content,
    Email,
    FalseIsNone,
    Flag,
    Given,
    Line256,
    Line1024,
    Lower,
    MessageIdText,
    NoneHidden,
    Single,
    Text100,
)
from mailquay.api.validation import Model
from mailquay.mime.header import one_line

MAX_RECIPIENTS, _MAX_ATTACHMENTS, _MAX_HEADERS, _MAX_HEADER_CHARACTERS = 10_000, 1000, 1000, 100 * 1024
_HEADER_NAME = re.compile(r"[!-9;-~]{1,256}")


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
Subject = Annotated[str, StringConstraints(max_length=10240), AfterValidator(one_line)]


class FromAddress(Model):
    """An address with a name."""

    name: Annotated[Line256 | None, Absent] = None
    address: Email


Addresses = Annotated[Annotated[list[FromAddress], Field(max_length=MAX_RECIPIENTS)] | None, Single, Given]


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


class ComposedMessage(Model):
    """A message, whole or in parts."""

    reference: Annotated[MessageReference | None, Given] = None
    from_: Annotated[FromAddress | None, Given, Field(alias="from")] = None
    to: Addresses = None
    cc: Addresses = None
    bcc: Addresses = None
    subject: Annotated[Subject | None, Given] = None
    text: Annotated[Content | None, Given] = None
    html: Annotated[Content | None, Given] = None
    raw: Annotated[Base64 | None, Given] = None
    attachments: Annotated[Annotated[list[UploadAttachment], Field(max_length=_MAX_ATTACHMENTS)] | None, Given] = None
    message_id: Annotated[MessageIdText | None, Absent, Field(alias="messageId")] = None
    headers: Annotated[HeaderMap | None, Given] = None
    locale: Annotated[Text100 | None, Absent] = None
    tz: Annotated[Text100 | None, Absent] = None

    @model_validator(mode="after")
    def _raw_alone(self) -> Self:
        if self.raw is not None and (self.text is not None or self.html is not None or self.attachments):
            raise ValueError("may hold raw, or text, html and attachments, not both")
        return self


class ReferenceOutcome(Shown):
    """What became of the reference."""

    message: str
    thread_id: Annotated[str | NoneHidden, Field(alias="threadId")] = None
    success: bool | NoneHidden = None
    error: str | NoneHidden = None
