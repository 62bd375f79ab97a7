"""A bounce: which recipient was not reached, what became of the message, what the other server said, which it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailquay.mime.conversation import ids_in
from mailquay.reports.delivery_status import (
    DeliveryStatus,
    RecipientStatus,
    bare_address,
    precise_status,
    read_delivery_status,
)
from mailquay.reports.notice import read_notice
from mailquay.reports.original import Original, find_original
from mailquay.reports.source import DELIVERY_STATUS, ReportSource, addresses_of, text_of_bytes
from mailquay.reports.wording import read_wording

_MAX_RECIPIENT_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a bounce says. `message_id` (with brackets) and `headers` are those of the message that came back.

    `recipients` is every recipient that a delivery status part names, `recipient` and what follows are of the one that
    the bounce is told by. `envelope_id` is the ENVID of the submission (RFC 3461 §4.4). `stated`: the recipient stands
    in a field made for it; else it was made out from prose.
    """

    recipient: str
    action: str
    status: str | None = None
    source: str | None = None
    message: str | None = None
    mta: str | None = None
    queue_id: str | None = None
    message_id: str | None = None
    envelope_id: str | None = None
    headers: Mapping[str, list[str]] | None = None
    recipients: tuple[RecipientStatus, ...] = ()
    stated: bool = True


def read_bounce(source: ReportSource) -> Bounce | None:
    """Read a bounce from whatever of it there is; None when it names no recipient, or not what became of the message.

    The machine-readable part counts more than everything else, prose only fills its gaps.
    """
    status = _delivery_status(source)
    told = status.told if status is not None else RecipientStatus()
    if told.action is None or told.recipient is None or told.message is None or told.status is None:
        told = _completed(source, told)
    original = find_original(source)
    recipient = told.recipient or _only_recipient(told, original)
    if not recipient or not told.action:
        return None
    headers = original.headers
    return Bounce(
        recipient=recipient[:_MAX_RECIPIENT_CHARACTERS],
        action=told.action,
        status=precise_status(told.status, told.message),
        source=told.source,
        message=told.message,
        mta=told.mta,
        queue_id=status.queue_id if status is not None else None,
        message_id=original.message_id or (status.message_id if status is not None else None) or _answered(source),
        envelope_id=status.envelope_id if status is not None else None,
        headers=headers.decoded() if headers is not None else None,
        recipients=status.recipients if status is not None else (),
        stated=status is not None or source.headers.first("X-Failed-Recipients") is not None,
    )


def read_delivery_report(source: ReportSource) -> dict[str, Any] | None:
    """The fields of a report that a message was delivered, or that this is still tried; None when it is none."""
    if (
        source.content_type != "multipart/report"
        or source.parameters.get("report-type", "").lower() != "delivery-status"
    ):
        return None
    part = source.first(*DELIVERY_STATUS)
    if part is None or part.enclosed:
        return None
    status = read_delivery_status(text_of_bytes(part.content))
    return status.shown if status.succeeds else None


def _delivery_status(source: ReportSource) -> DeliveryStatus | None:
    """From its part, or pasted into the text: by Amazon WorkMail on purpose, by others that got their MIME wrong."""
    part = source.first(*DELIVERY_STATUS)
    if part is not None:
        status = read_delivery_status(text_of_bytes(part.content))
        if status.recipients:
            return status
    text = source.text
    begin = text.find("Technical report:")
    begin = begin + len("Technical report:") if begin >= 0 else text.find("\nReporting-MTA:")
    if begin < 0 or "\nFinal-Recipient:" not in text:
        return None
    status = read_delivery_status(text[begin:])
    return status if status.told.recipient is not None else None


def _completed(source: ReportSource, told: RecipientStatus) -> RecipientStatus:
    """The gaps filled: by X-Failed-Recipients, then by the wording."""
    named = next((one.address for one in addresses_of(source.headers, "X-Failed-Recipients") if one.address), None)
    recipient = told.recipient or named
    wording = read_wording(read_notice(source.text))
    return RecipientStatus(
        recipient=recipient or (bare_address(wording.recipient) if wording.recipient else None),
        action=told.action or wording.action or ("failed" if named else None),
        status=told.status or wording.status,
        source=told.source,
        message=told.message or wording.message,
        mta=told.mta or wording.mta,
    )


def _only_recipient(told: RecipientStatus, original: Original) -> str | None:
    """Where nothing names the recipient: the one that the returned message was for, if there is no other."""
    if told.message is None or original.headers is None:
        return None
    found = {one.key: one.address for one in addresses_of(original.headers, "To", "Cc") if "@" in one.address}
    return next(iter(found.values())) if len(found) == 1 else None


def _answered(source: ReportSource) -> str | None:
    """Where nothing was returned: the message that the bounce itself says it answers."""
    for name in ("In-Reply-To", "References"):
        found = dict.fromkeys(ids_in(source.headers.text(name)))
        if len(found) == 1:
            return f"<{next(iter(found))}>"
    return None
