"""The envelope of a message as its header tells it, for messages whose server could not."""

from __future__ import annotations

from mailquay.mime.address import parse_addresses
from mailquay.mime.date import parse_date
from mailquay.mime.header import Headers
from mailquay.model.message import Address, Envelope


def envelope_of(headers: Headers) -> Envelope:
    """What ENVELOPE would be (RFC 9051 §7.5.2): Sender and Reply-To are From where they are missing."""
    from_ = _addresses(headers, "From")
    date = parse_date(headers.text("Date"))
    return Envelope(
        date_ms=None if date is None else int(date.timestamp() * 1000),
        subject=headers.text("Subject"),
        from_=from_,
        sender=_addresses(headers, "Sender") or from_,
        reply_to=_addresses(headers, "Reply-To") or from_,
        to=_addresses(headers, "To"),
        cc=_addresses(headers, "Cc"),
        bcc=_addresses(headers, "Bcc"),
        in_reply_to=headers.text("In-Reply-To"),
        message_id=headers.text("Message-ID"),
    )


def _addresses(headers: Headers, name: str) -> tuple[Address, ...]:
    return tuple(
        Address(one.name, one.address) for field in headers.all(name) for one in parse_addresses(field.unfolded)
    )
