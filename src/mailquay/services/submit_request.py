"""What a caller wants to be sent, in our own types. None means that the caller did not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailquay.mime.references import ReferenceAction as ReferenceAction
from mailquay.model.message import Address
from mailquay.model.submission import DsnRequest
from mailquay.model.template import TemplateFormat


@dataclass(frozen=True, slots=True)
class SubmitReference:
    """The message that is answered or forwarded, by its public id.

    `inline` quotes it below the new text, `forward_attachments` attaches its attachments again, `ignore_missing` sends
    also when it is gone. `message_id` must be its Message-ID if given. `thread_id` is returned to the caller.
    """

    message: str
    action: ReferenceAction = ReferenceAction.REPLY
    inline: bool = False
    forward_attachments: bool = False
    ignore_missing: bool = False
    message_id: str | None = None
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitAttachment:
    """An attachment: decoded `content`, or `reference`, the id of an attachment of the same account.

    `content_disposition` is "inline" or "attachment", `encoding` what the content was given in (always decoded here).
    `encoded` is the content as messages have it, made once for many.
    """

    filename: str | None = None
    content: bytes | None = None
    content_type: str | None = None
    content_disposition: str | None = None
    cid: str | None = None
    encoding: str = "base64"
    reference: str | None = None
    encoded: bytes | None = None


@dataclass(frozen=True, slots=True)
class SubmitEnvelope:
    """The SMTP envelope as the caller gave it; None takes what the headers say.

    `from_` "" is the null sender (RFC 5321 §4.5.5).
    """

    from_: str | None = None
    to: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RenderWish:
    """That the texts of a message are templates: what its HTML text is written in, and the values to fill in."""

    format: TemplateFormat = TemplateFormat.HTML
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MergeEntry:
    """One message of a mail merge: who gets it, and what is its own. `send_at_ms` None: as the request says."""

    to: Address
    message_id: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    send_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A message to send, built from fields or from `raw`, the message itself, over which the fields then win.

    An empty tuple of recipients is not the same as None: it removes what `raw` or `reference` brings. `headers` maps
    names to values in their order. `send_at_ms` is milliseconds since the epoch. `template` is the id of a kept
    template, whose texts take the place of those given; with it or with `render` the placeholders in all texts are
    filled in. `preview_markup` is a preview text in HTML. With `merge` it is a message for each entry, to a list where
    `list_id` names one. `base_url` takes the place of the setting serviceUrl. `source` says
    where the request came from: "api" or "smtp".
    """

    reference: SubmitReference | None = None
    envelope: SubmitEnvelope | None = None
    raw: bytes | None = None
    from_: Address | None = None
    reply_to: tuple[Address, ...] | None = None
    to: tuple[Address, ...] | None = None
    cc: tuple[Address, ...] | None = None
    bcc: tuple[Address, ...] | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    preview_text: str | None = None
    preview_markup: str | None = None
    template: str | None = None
    render: RenderWish | None = None
    merge: tuple[MergeEntry, ...] = ()
    attachments: tuple[SubmitAttachment, ...] = ()
    message_id: str | None = None
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    copy: bool | None = None
    sent_mail_path: str | None = None
    locale: str | None = None
    tz: str | None = None
    send_at_ms: int | None = None
    delivery_attempts: int | None = None
    gateway: str | None = None
    list_id: str | None = None
    base_url: str | None = None
    dsn: DsnRequest | None = None
    proxy: str | None = None
    local_address: str | None = None
    dry_run: bool = False
    source: str = "api"
