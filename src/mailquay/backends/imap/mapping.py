"""Wire values to our model: envelopes decoded, body structures read as texts and attachments."""

from __future__ import annotations

import calendar
import dataclasses
import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache

from mailquay.mime.conversation import references_in
from mailquay.mime.encoded_word import decode_header_bytes, decode_words
from mailquay.mime.parameter import parse_parameterized
from mailquay.model.mailbox import MailboxEvidence
from mailquay.model.message import Address, Attachment, Envelope, IndexEntry, Structure, TextPart, Uid
from mailquay.wire.imap.bodystructure import BodyMultipart, BodyPart, BodyStructure, Parameters
from mailquay.wire.imap.envelope import Address as WireAddress
from mailquay.wire.imap.envelope import Envelope as WireEnvelope
from mailquay.wire.imap.fetch import FetchResponse, SectionData
from mailquay.wire.imap.section import SectionText
from mailquay.wire.imap.status import StatusResponse

_MAX_PARTS = 2000
_MAX_DEPTH = 30
"""Not every server takes the numbers of parts that are nested deeper."""
_CACHED_BYTES = 200
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_USUAL_DATE = re.compile(
    rb"(?:[A-Z][a-z]{2}, )?(\d\d?) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)(?: \([A-Z]{3,4}\))?"
)
_NO_HOST = frozenset(("", "MISSING_DOMAIN", ".MISSING-HOST-NAME.", ".SYNTAX-ERROR."))
NO_FLAGS: frozenset[str] = frozenset()


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
        flags=shown_flags(response.flags or NO_FLAGS),
        modseq=response.modseq,
        internal_date_ms=int(response.internal_date.timestamp() * 1000) if response.internal_date else None,
        size_bytes=response.size_bytes,
        envelope=envelope(response.envelope) if response.envelope is not None else None,
        structure=structure(response.body_structure) if response.body_structure is not None else None,
        email_id=email_id,
        thread_id=thread_id,
        labels=tuple(sorted(response.gmail_labels)) if response.gmail_labels is not None else None,
        error=response.error,
        references=_references(response.sections),
    )


def _references(sections: Sequence[SectionData]) -> tuple[str, ...]:
    """What the header fields that come with envelopes say."""
    for data in sections:
        if data.section.text is SectionText.HEADER_FIELDS and data.data is not None:
            return references_in(data.data)
    return ()


def shown_flags(flags: frozenset[str]) -> tuple[str, ...]:
    """Flags sorted, without \\Recent, which belongs to a session and not to the message."""
    return _cached_flags(flags) if sum(map(len, flags)) <= _CACHED_BYTES else _shown_flags(flags)


def _shown_flags(flags: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(flag for flag in flags if flag.lower() != "\\recent"))


_cached_flags = lru_cache(maxsize=1024)(_shown_flags)


def envelope(wire: WireEnvelope) -> Envelope:
    """An envelope with its texts decoded (RFC 2047) and its date as a time."""
    from_ = addresses(wire.from_)
    return Envelope(
        date_ms=header_date_ms(wire.date),
        subject=decode_header_bytes(wire.subject) if wire.subject is not None else None,
        from_=from_,
        # Of most messages the three are one and the same.
        sender=from_ if wire.sender is wire.from_ else addresses(wire.sender),
        reply_to=from_ if wire.reply_to is wire.from_ else addresses(wire.reply_to),
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
        raw = (item.name, item.mailbox, item.host)
        short = len(item.mailbox) + len(item.host) + len(item.name or b"") <= _CACHED_BYTES
        found.append(_cached_address(*raw) if short else _address(*raw))
    return tuple(found)


def _address(raw_name: bytes | None, raw_mailbox: bytes, raw_host: bytes) -> Address:
    name = decode_header_bytes(raw_name) if raw_name else ""
    host = raw_host.decode("utf-8", "replace")
    mailbox = raw_mailbox.decode("utf-8", "replace")
    # Servers put such a word into the host of an address that they could not read.
    address = mailbox if host.upper() in _NO_HOST else f"{mailbox}@{host}"
    return Address(" ".join(name.split()), address)


_cached_address = lru_cache(maxsize=2048)(_address)
"""The same few people write and are written to: most often an address is known."""


def header_date_ms(raw: bytes | None) -> int | None:
    """A Date header as milliseconds since the epoch; None when it is no date (RFC 5322 §3.3)."""
    if raw is None:
        return None
    usual = _USUAL_DATE.fullmatch(raw)
    if usual is not None:
        day, month, year, hours, minutes, seconds, sign, zone_hours, zone_minutes = usual.groups()
        days = _first_of_month(month, year)
        if days is not None:
            zone = int(zone_hours) * 60 + int(zone_minutes)
            minutes_of_day = int(hours) * 60 + int(minutes) + (zone if sign == b"-" else -zone)
            return (((days + int(day) - 1) * 1440 + minutes_of_day) * 60 + int(seconds)) * 1000
    parsed = email.utils.parsedate_tz(raw.decode("ascii", "replace"))
    if parsed is None or not 1900 <= parsed[0] <= 9999:
        return None
    try:
        seconds = calendar.timegm((*parsed[:6], 0, 1, 0)) - (parsed[9] or 0)
    except (ValueError, OverflowError):
        return None
    return seconds * 1000


@lru_cache(maxsize=1024)
def _first_of_month(month: bytes, year: bytes) -> int | None:
    """Days from the epoch to the first of a month (`Jan`); None when it is none, or before 1900."""
    if month not in _MONTHS or int(year) < 1900:
        return None
    return date(int(year), _MONTHS.index(month) + 1, 1).toordinal() - _EPOCH_ORDINAL


def structure(root: BodyStructure) -> Structure:
    """The texts and attachments of a body structure. One that leaves out parts of the message cannot be relied on."""
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
        enclosed=tuple(reader.texts["enclosed"]),
    )


class _StructureReader:
    def __init__(self) -> None:
        self.texts: dict[str, list[TextPart]] = {"plain": [], "html": [], "other": [], "enclosed": []}
        self.attachments: list[Attachment] = []
        self.reliable = True
        self._parts = 0

    def multipart(self, body: BodyMultipart, number: str, *, related: bool, embedded_message: bool, depth: int) -> None:
        if not body.parts or depth > _MAX_DEPTH:
            self.reliable = False
            return
        if not number and not embedded_message and _stands_for_nothing(body.parts):
            self.reliable = False
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
        if part.media_type in ("", "multipart"):
            # The server has not understood the type, or left out what is in there: no leaf can be a multipart.
            self.reliable = False
            return
        parameters = _parameters(part.parameters)
        kind = part.disposition.kind if part.disposition is not None else None
        if part.media_type == "text" and kind != "attachment":
            subtype = part.subtype if part.subtype in ("plain", "html") else "other"
            text = _text_part(part, number, parameters, enclosed=embedded_message)
            self.texts["enclosed" if embedded_message else subtype].append(text)
            return
        self.attachments.append(_attachment(part, number, parameters, kind, related, embedded_message))
        if part.body is not None:
            self._inner(part.body, number, depth)

    def _inner(self, body: BodyStructure, number: str, depth: int) -> None:
        if isinstance(body, BodyMultipart):
            self.multipart(body, number, related=False, embedded_message=True, depth=depth + 1)
        else:
            self.leaf(body, f"{number}.1", related=False, embedded_message=True, depth=depth + 1)


def _stands_for_nothing(parts: Sequence[BodyStructure]) -> bool:
    """Whether an empty text is all there is: so servers describe a multipart in which they find no boundary."""
    [first, *others] = parts
    return not others and isinstance(first, BodyPart) and first.media_type == "text" and first.size_bytes == 0


def _text_part(part: BodyPart, number: str, parameters: Mapping[str, str], *, enclosed: bool) -> TextPart:
    flowed = part.subtype == "plain" and parameters.get("format", "").lower() == "flowed"
    return TextPart(
        part=number,
        encoded_size_bytes=part.size_bytes,
        charset=parameters.get("charset"),
        encoding=part.encoding or None,
        flowed=flowed,
        delsp=flowed and parameters.get("delsp", "").lower() == "yes",
        content_type=None if part.subtype in ("plain", "html") and not enclosed else f"text/{part.subtype}",
    )


def _attachment(
    part: BodyPart,
    number: str,
    parameters: Mapping[str, str],
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


def _parameters(raw: Parameters) -> Mapping[str, str]:
    """Parameters decoded; continuations (RFC 2231 §3) are joined by the reader of header values."""
    # One alone is most often the charset, which has few values.
    short = len(raw) == 0 or (len(raw) == 1 and len(raw[0][1]) <= _CACHED_BYTES)
    return _cached_parameters(raw) if short else _decoded_parameters(raw)


def _decoded_parameters(pairs: Parameters) -> Mapping[str, str]:
    if not any("*" in name for name, _ in pairs):
        # Of equal names the first counts.
        return {name: decode_words(decode_header_bytes(value)) for name, value in reversed(pairs)}
    line = "".join(f'; {name}="{_escaped(decode_header_bytes(value))}"' for name, value in pairs)
    return parse_parameterized("x" + line)[1]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


_cached_parameters = lru_cache(maxsize=512)(_decoded_parameters)


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


def newer(before: MailboxEvidence | None, after: MailboxEvidence | None) -> MailboxEvidence | None:
    """What was said last of each counter: a STATUS response about flags may hold nothing but the mod-sequence."""
    if before is None or after is None:
        return after or before
    said = {
        field.name: value for field in dataclasses.fields(after) if (value := getattr(after, field.name)) is not None
    }
    return dataclasses.replace(before, **said)
