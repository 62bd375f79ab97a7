"""Wire values to our model: envelopes decoded, body structures read as texts and attachments."""

from __future__ import annotations

import calendar
import email.utils
from collections.abc import Iterable, Sequence

from mailquay.mime.encoded_word import decode_header_bytes, decode_words
from mailquay.mime.parameter import parse_parameterized
from mailquay.model.mailbox import MailboxEvidence
from mailquay.model.message import Address, Attachment, Envelope, IndexEntry, Structure, TextPart, Uid
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure
from mailquay.wire.imap.envelope import Address as WireAddress
from mailquay.wire.imap.envelope import Envelope as WireEnvelope
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.status import StatusResponse

_MAX_PARTS = 2000
_MAX_DEPTH = 50


def index_entry(response: FetchResponse, uid: int) -> IndexEntry:
    """A FETCH response as an index entry; what it does not mention stays None."""
    email_id = response.email_id
    if email_id is None and response.gmail_message_id is not None:
        email_id = str(response.gmail_message_id)
    thread_id = response.thread_id
    if thread_id is None and response.gmail_thread_id is not None:
        thread_id = str(response.gmail_thread_id)
    return IndexEntry(
        uid=Uid(uid),
        flags=shown_flags(response.flags or ()),
        modseq=response.modseq,
        internal_date_ms=int(response.internal_date.timestamp() * 1000) if response.internal_date else None,
        size_bytes=response.size_bytes,
        envelope=envelope(response.envelope) if response.envelope is not None else None,
        structure=structure(response.body_structure) if response.body_structure is not None else None,
        email_id=email_id,
        thread_id=thread_id,
        labels=tuple(sorted(response.gmail_labels)) if response.gmail_labels is not None else None,
        error=response.error,
    )


def shown_flags(flags: Iterable[str]) -> tuple[str, ...]:
    """Flags sorted, without \\Recent, which belongs to a session and not to the message."""
    return tuple(sorted(flag for flag in flags if flag.lower() != "\\recent"))


def envelope(wire: WireEnvelope) -> Envelope:
    """An envelope with its texts decoded (RFC 2047) and its date as a time."""
    return Envelope(
        date_ms=header_date_ms(wire.date),
        subject=decode_header_bytes(wire.subject) if wire.subject is not None else None,
        from_=addresses(wire.from_),
        sender=addresses(wire.sender),
        reply_to=addresses(wire.reply_to),
        to=addresses(wire.to),
        cc=addresses(wire.cc),
        bcc=addresses(wire.bcc),
        in_reply_to=_text(wire.in_reply_to),
        message_id=_text(wire.message_id),
    )


def addresses(wire: Sequence[WireAddress]) -> tuple[Address, ...]:
    """The members of an address list; the marks of groups (no host) are left out."""
    found = []
    for item in wire:
        if item.host is None or item.mailbox is None:
            continue
        name = decode_header_bytes(item.name) if item.name else ""
        host = item.host.decode("utf-8", "replace")
        mailbox = item.mailbox.decode("utf-8", "replace")
        # Servers put such a word into the host of an address that they could not read.
        address = mailbox if host.upper() in ("", ".MISSING-HOST-NAME.", ".SYNTAX-ERROR.") else f"{mailbox}@{host}"
        found.append(Address(" ".join(name.split()), address))
    return tuple(found)


def header_date_ms(raw: bytes | None) -> int | None:
    """A Date header as milliseconds since the epoch; None when it is no date (RFC 5322 §3.3)."""
    if raw is None:
        return None
    parsed = email.utils.parsedate_tz(raw.decode("ascii", "replace"))
    if parsed is None or not 1900 <= parsed[0] <= 9999:
        return None
    try:
        seconds = calendar.timegm((*parsed[:6], 0, 1, 0)) - (parsed[9] or 0)
    except (ValueError, OverflowError):
        return None
    return seconds * 1000


def structure(root: BodyStructure) -> Structure:
    """The texts and attachments of a body structure. A multipart without parts cannot be relied on."""
    reader = _StructureReader()
    if isinstance(root, BodyMultipart):
        reader.multipart(root, "", related=False, embedded_message=False, depth=0)
    else:
        reader.leaf(root, "1", related=False, embedded_message=False, depth=0)
    return Structure(
        plain=tuple(reader.texts["plain"]),
        html=tuple(reader.texts["html"]),
        other=tuple(reader.texts["other"]),
        attachments=tuple(reader.attachments),
        reliable=reader.reliable,
    )


class _StructureReader:
    def __init__(self) -> None:
        self.texts: dict[str, list[TextPart]] = {"plain": [], "html": [], "other": []}
        self.attachments: list[Attachment] = []
        self.reliable = True
        self._parts = 0

    def multipart(self, body: BodyMultipart, number: str, *, related: bool, embedded_message: bool, depth: int) -> None:
        if not body.parts or depth > _MAX_DEPTH:
            self.reliable = False
            return
        related = related or body.subtype == "related"
        for index, part in enumerate(body.parts, 1):
            child = f"{number}.{index}" if number else str(index)
            self._part(part, child, related=related, embedded_message=embedded_message, depth=depth + 1)

    def _part(self, part: BodyStructure, number: str, *, related: bool, embedded_message: bool, depth: int) -> None:
        if isinstance(part, BodyMultipart):
            self.multipart(part, number, related=related, embedded_message=embedded_message, depth=depth)
        else:
            self.leaf(part, number, related=related, embedded_message=embedded_message, depth=depth)

    def leaf(self, part: BodyPart, number: str, *, related: bool, embedded_message: bool, depth: int) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            self.reliable = False
            return
        parameters = _parameters(part.parameters)
        kind = part.disposition.kind if part.disposition is not None else None
        is_text = part.media_type == "text" and kind != "attachment" and not embedded_message
        if is_text:
            subtype = part.subtype if part.subtype in ("plain", "html") else "other"
            self.texts[subtype].append(_text_part(part, number, parameters))
            return
        if part.media_type == "text" and kind != "attachment" and part.subtype in ("plain", "html"):
            # The text of an embedded message belongs to that message, which is itself listed.
            return
        self.attachments.append(_attachment(part, number, parameters, kind, related, embedded_message))
        if part.body is not None:
            self._inner(part.body, number, depth)

    def _inner(self, body: BodyStructure, number: str, depth: int) -> None:
        if isinstance(body, BodyMultipart):
            self.multipart(body, number, related=False, embedded_message=True, depth=depth + 1)
        else:
            self.leaf(body, f"{number}.1", related=False, embedded_message=True, depth=depth + 1)


def _text_part(part: BodyPart, number: str, parameters: dict[str, str]) -> TextPart:
    flowed = part.subtype == "plain" and parameters.get("format", "").lower() == "flowed"
    return TextPart(
        part=number,
        encoded_size_bytes=part.size_bytes,
        charset=parameters.get("charset"),
        encoding=part.encoding or None,
        flowed=flowed,
        delsp=flowed and parameters.get("delsp", "").lower() == "yes",
    )


def _attachment(
    part: BodyPart,
    number: str,
    parameters: dict[str, str],
    kind: str | None,
    related: bool,
    embedded_message: bool,
) -> Attachment:
    disposition = _parameters(part.disposition.parameters) if part.disposition is not None else {}
    filename = disposition.get("filename") or parameters.get("name")
    return Attachment(
        part=number,
        content_type=f"{part.media_type}/{part.subtype}",
        encoded_size_bytes=part.size_bytes,
        filename=filename or None,
        content_id=_text(part.content_id),
        embedded=related,
        inline=kind == "inline" or (kind is None and related),
        encoded_in_message=embedded_message,
        method=parameters.get("method") if part.media_type == "text" and part.subtype == "calendar" else None,
        encoding=part.encoding or None,
    )


def _parameters(raw: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Parameters decoded; continuations (RFC 2231 §3) are joined by the reader of header values."""
    pairs = list(raw)
    if not any("*" in name for name, _ in pairs):
        return {name: decode_words(decode_header_bytes(value)) for name, value in pairs}
    line = "".join(f'; {name}="{decode_header_bytes(value)}"'.replace("\\", "\\\\") for name, value in pairs)
    return parse_parameterized("x" + line)[1]


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    text = raw.decode("utf-8", "replace").strip()
    return text or None


def evidence(status: StatusResponse) -> MailboxEvidence:
    """The counters of a mailbox; a mod-sequence of 0 means that it keeps none."""
    return MailboxEvidence(
        uidvalidity=status.uidvalidity,
        uidnext=status.uidnext,
        messages=status.messages,
        unseen=status.unseen,
        highestmodseq=status.highestmodseq or None,
    )
