"""Complaints: feedback reports (RFC 5965), and what providers send that came before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailquay.mime.date import parse_date
from mailquay.mime.header import Headers
from mailquay.reports.candidates import HOTMAIL
from mailquay.reports.delivery_status import bare_address
from mailquay.reports.fields import Fields, camel_case, read_blocks
from mailquay.reports.original import message_id, returned_headers
from mailquay.reports.source import FEEDBACK_REPORT, ReportSource, addresses_of, text_of_bytes

MAX_LIST_VALUES = 100
"""How many values of a field are told; a report may name every recipient of a list."""

_SINGLE = frozenset(
    (
        *("feedbackType", "userAgent", "version", "originalEnvelopeId", "originalMailFrom", "abuseType"),
        *("reportingMta", "sourceIp", "source", "subscriptionLink", "incidents"),
    )
)
_DATES = frozenset({"arrivalDate", "receivedDate"})
_HOTMAIL_RECIPIENT = "X-HmXmrOriginalRecipient"
_ARRIVED = "X-MS-Exchange-CrossTenant-OriginalArrivalTime"


@dataclass(frozen=True, slots=True)
class Complaint:
    """A complaint: the fields of the report under their public names, and the header of the message it is about."""

    arf: dict[str, Any]
    headers: dict[str, Any] | None = None

    @property
    def message_id(self) -> str | None:
        """The Message-ID of the message that was complained of, with brackets."""
        return self.headers.get("messageId") if self.headers is not None else None


def read_complaint(source: ReportSource) -> Complaint | None:
    """Read a complaint; None when it does not say who received the message."""
    senders = [one.address.lower() for one in addresses_of(source.headers, "From")]
    part = source.first(FEEDBACK_REPORT)
    arf: dict[str, Any] = {}
    if part is not None:
        for block in read_blocks(text_of_bytes(part.content)):
            _add(arf, block)
    original = returned_headers(source)
    if original is not None:
        _add_from_original(arf, original)
    if HOTMAIL in senders:
        defaults = {"source": "Hotmail", "feedbackType": "abuse", "abuseType": "complaint"}
        sender = original.text("Return-Path") if original is not None else None
        if sender:
            defaults["originalMailFrom"] = bare_address(sender)
        arf = {**defaults, **arf}
    if not arf.get("originalRcptTo"):
        return None
    return Complaint(arf, _headers(original) if original is not None else None)


def _add(arf: dict[str, Any], block: Fields) -> None:
    for name, value in block:
        # Strangers spell names in ways that come to the same key.
        key = camel_case(name)
        if not value:
            continue
        if key in _DATES:
            date = _iso(parse_date(value))
            if date is not None:
                arf.setdefault("arrivalDate", date)
        elif key in _SINGLE:
            arf[key] = bare_address(value) if key == "originalMailFrom" else value
        else:
            values = arf.setdefault(key, [])
            if len(values) < MAX_LIST_VALUES:
                values.append(bare_address(value) if key.lower().endswith(("rcptto", "recipient")) else value)


def _add_from_original(arf: dict[str, Any], original: Headers) -> None:
    for item in original.all(_HOTMAIL_RECIPIENT)[:MAX_LIST_VALUES]:
        recipients = arf.setdefault("originalRcptTo", [])
        if (address := bare_address(item.text)) and address not in recipients:
            recipients.append(address)
    if "sourceIp" not in arf and (ip := (original.text("X-Sender-IP") or "").strip()):
        arf["sourceIp"] = ip
    if "arrivalDate" not in arf and (date := _iso(parse_date(original.text(_ARRIVED)))) is not None:
        arf["arrivalDate"] = date


def _headers(original: Headers) -> dict[str, Any]:
    """What is told of the message itself; what it does not have is left out."""
    found: dict[str, Any] = {}
    identifier = message_id(original.text("Message-ID"))
    if identifier is not None:
        found["messageId"] = identifier
    for key in ("from", "to", "cc", "bcc"):
        addresses = [one.address for one in addresses_of(original, key) if one.address][:MAX_LIST_VALUES]
        if addresses:
            found[key] = addresses[0] if key == "from" else addresses
    if (subject := original.text("Subject")) is not None:
        found["subject"] = subject
    if (date := _iso(parse_date(original.text("Date")))) is not None:
        found["date"] = date
    return found


def _iso(date: datetime | None) -> str | None:
    return None if date is None else date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
