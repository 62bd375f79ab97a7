"""Change the header section of a finished message without touching what is not meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailquay.errors import InvalidRequest
from mailquay.mime.address import Address, encode_addresses, needs_smtputf8, parse_addresses
from mailquay.mime.compose import bracketed, encode_field
from mailquay.mime.date import format_date
from mailquay.mime.header import MAX_HEADER_BYTES, Headers, parse_header
from mailquay.mime.message import split_header
from mailquay.mime.transfer import normalize_line_ends

CONTROL_FIELDS = frozenset(
    (
        *("x-ee-account", "x-ee-idempotency-key", "x-ee-send-at", "x-ee-delivery-attempts", "x-ee-gateway"),
        "x-ee-tracking-enabled",
    )
)
"""Fields that steer the submission itself and never leave the house."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a request says besides the raw message. None leaves a field alone, an empty list removes it.

    `default_from` is used only where the message has no From. `headers` are appended, except References and
    In-Reply-To, which replace.
    """

    from_: Sequence[Address] | None = None
    sender: Sequence[Address] | None = None
    reply_to: Sequence[Address] | None = None
    to: Sequence[Address] | None = None
    cc: Sequence[Address] | None = None
    bcc: Sequence[Address] | None = None
    subject: str | None = None
    message_id: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    default_from: Sequence[Address] = ()
    date: datetime | None = None


@dataclass(slots=True)
class RawMessage:
    """A message in two halves: its fields with their exact bytes, and everything behind the blank line."""

    fields: list[tuple[str, bytes]]
    body: bytes
    control: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, source: bytes) -> RawMessage:
        """Split `source`, with its line ends made CRLF; control fields are taken out into `control` (lower-case names).

        Raises InvalidRequest when there is no header section, or one longer than 1 MiB.
        """
        source = normalize_line_ends(source)
        header_end, body_start = split_header(source, 0, len(source))
        if header_end > MAX_HEADER_BYTES:
            raise InvalidRequest("The header of the raw message is too long")
        fields = _segments(source[:header_end])
        if not fields and source.strip():
            raise InvalidRequest("The raw message has no header")
        control = {
            name.lower(): next(iter(parse_header(segment))).text
            for name, segment in reversed(fields)
            if name.lower() in CONTROL_FIELDS
        }
        kept = [item for item in fields if item[0].lower() not in CONTROL_FIELDS]
        return cls(kept, source[body_start:], control)

    @property
    def headers(self) -> Headers:
        """The fields, parsed."""
        return parse_header(self._header_bytes())

    def addresses(self, name: str) -> list[Address]:
        """The addresses of every field of that name."""
        return [address for item in self.headers.all(name) for address in parse_addresses(item.unfolded)]

    def remove(self, *names: str) -> None:
        """Take out every field of those names."""
        unwanted = {name.lower() for name in names}
        self.fields = [item for item in self.fields if item[0].lower() not in unwanted]

    def replace(self, name: str, encoded: bytes) -> None:
        """Put `encoded`, a whole field, in the place of the first of that name, or last; others of the name go."""
        lower = name.lower()
        position = next((i for i, item in enumerate(self.fields) if item[0].lower() == lower), len(self.fields))
        before = [item for item in self.fields[:position] if item[0].lower() != lower]
        after = [item for item in self.fields[position:] if item[0].lower() != lower]
        self.fields = [*before, (name, encoded), *after]

    def apply(self, overrides: Overrides, *, new_message_id: str, now: datetime) -> None:
        """Apply the overrides and add what a message must have: Message-ID, Date, MIME-Version.

        Raises InvalidRequest that names the field for a value that cannot stand in a header.
        """
        lists = {
            "From": overrides.from_,
            "Sender": overrides.sender,
            "Reply-To": overrides.reply_to,
            "To": overrides.to,
            "Cc": overrides.cc,
            "Bcc": overrides.bcc,
        }
        for name, addresses in lists.items():
            if addresses is not None:
                self._set_addresses(name, addresses)
        if not self._has("From") and overrides.default_from:
            self._set_addresses("From", overrides.default_from)
        if overrides.subject is not None:
            self.replace("Subject", encode_field("Subject", overrides.subject))
        if overrides.message_id is not None:
            self.replace("Message-ID", encode_field("Message-ID", bracketed(overrides.message_id)))
        if overrides.date is not None:
            self.replace("Date", encode_field("Date", format_date(overrides.date)))
        for name, value in overrides.headers:
            self._append(name, value)
        self._complete(new_message_id, now)

    def pieces(self) -> list[bytes]:
        """The message as header and body."""
        return [self._header_bytes() + b"\r\n", self.body]

    def to_bytes(self) -> bytes:
        """The whole message."""
        return b"".join(self.pieces())

    def _header_bytes(self) -> bytes:
        return b"".join(segment for _, segment in self.fields)

    def _has(self, name: str) -> bool:
        lower = name.lower()
        return any(item[0].lower() == lower for item in self.fields)

    def _set_addresses(self, name: str, addresses: Sequence[Address]) -> None:
        if addresses:
            utf8 = any(needs_smtputf8(address.address) for address in addresses)
            self.replace(name, encode_addresses(name, addresses, utf8=utf8))
        else:
            self.remove(name)

    def _append(self, name: str, value: str) -> None:
        encoded = encode_field(title_case(name), value)
        if name.lower() in ("references", "in-reply-to"):
            self.replace(title_case(name), encoded)
        elif name.lower() not in CONTROL_FIELDS:
            self.fields.append((title_case(name), encoded))

    def _complete(self, new_message_id: str, now: datetime) -> None:
        missing = {
            "Message-ID": bracketed(new_message_id),
            "Date": format_date(now),
            "MIME-Version": "1.0",
        }
        for name, value in missing.items():
            if not self._has(name):
                self.fields.append((name, encode_field(name, value)))


def title_case(name: str) -> str:
    """`x-my-field` as `X-My-Field`; what already has capitals stays."""
    if name != name.lower():
        return name
    titled = "-".join(part.capitalize() for part in name.split("-"))
    return {"Message-Id": "Message-ID", "Mime-Version": "MIME-Version"}.get(titled, titled)


def _segments(block: bytes) -> list[tuple[str, bytes]]:
    """Every field with its exact bytes; lines that belong to none are left out."""
    segments: list[tuple[str, list[bytes]]] = []
    for line in block.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            if segments:
                segments[-1][1].append(line)
        elif (parsed := parse_header(line)) and line:
            segments.append((next(iter(parsed)).name, [line]))
    return [(name, b"\r\n".join(lines) + b"\r\n") for name, lines in segments]


def envelope_recipients(lists: Iterable[Iterable[Address]]) -> list[str]:
    """The addresses of To, Cc and Bcc for the envelope: each once, the first spelling counts."""
    found: dict[str, str] = {}
    for addresses in lists:
        for address in addresses:
            if address.address:
                found.setdefault(address.key, address.address)
    return list(found.values())


class FieldFilter:
    """Takes header fields out of a message that comes in pieces, such as Bcc before it goes onto the wire."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._pending: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """What may be passed on; the header is held back until it is complete."""
        if self._pending is None:
            return data
        self._pending += data
        if b"\r\n\r\n" not in self._pending and len(self._pending) <= MAX_HEADER_BYTES:
            return b""
        return self.finish()

    def finish(self) -> bytes:
        """What is still held back, filtered."""
        pending, self._pending = self._pending, None
        if not pending:
            return b""
        header_end, _ = split_header(pending, 0, len(pending))
        message = RawMessage(_segments(pending[:header_end]), pending[header_end:])
        message.remove(*self._names)
        return message._header_bytes() + message.body
