"""Delivery status parts (RFC 3464, RFC 6533): what became of a message for each recipient."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from mailquay.mime.date import parse_date
from mailquay.reports.fields import Fields, TypedValue, camel_case, read_blocks
from mailquay.reports.original import message_id
from mailquay.reports.reply import enhanced_statuses

_MAX_ACTION_CHARACTERS = 40
_RECIPIENT = ("final-recipient", "original-recipient")
_STATUS = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?!\d)")
_COMMENT = re.compile(r"\([^()]{0,500}\)")
_TYPED = frozenset(
    (
        *("reporting-mta", "dsn-gateway", "received-from-mta", "remote-mta", "original-recipient", "final-recipient"),
        *("diagnostic-code", "x-actual-recipient", "x-original-recipient"),
    )
)


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What became of the message for one recipient.

    `action` is failed, delayed, delivered, relayed or expanded, in the case it was written in. `source` and `message`
    are the two halves of Diagnostic-Code. `mta` is in lower case.
    """

    recipient: str | None = None
    action: str | None = None
    status: str | None = None
    source: str | None = None
    message: str | None = None
    mta: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the message will not be delivered to this recipient any more."""
        return (self.action or "").lower().startswith("failed")


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """A whole part: the fields of the message, and every recipient in order.

    `queue_id`, `message_id` (with brackets) and `envelope_id` are those of the message that the report is about.
    """

    recipients: tuple[RecipientStatus, ...] = ()
    queue_id: str | None = None
    message_id: str | None = None
    envelope_id: str | None = None
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> RecipientStatus:
        """The recipient that the report is told by: the first, unless it was reached and another was not."""
        first = self.recipients[0] if self.recipients else RecipientStatus()
        return first if first.failed else next((one for one in self.recipients if one.failed), first)

    @property
    def succeeds(self) -> bool:
        """Whether it tells of a delivery, or one that is still tried, and of no failure."""
        first = self.recipients[0].action if self.recipients else None
        known = (first or "").lower().startswith(("delivered", "delayed"))
        return known and not any(one.failed for one in self.recipients)


def read_delivery_status(text: str) -> DeliveryStatus:
    """Read the fields of a delivery status part. Without a recipient block all blocks count as one."""
    blocks = read_blocks(text)
    recipients = [block for block in blocks if any(block.get(name) for name in _RECIPIENT)]
    general = Fields([])
    if recipients:
        for block in blocks[: blocks.index(recipients[0])]:
            general += block
    else:
        for block in blocks:
            general += block
        recipients = [general] if general else []
    reporting = general.typed("reporting-mta") or next(
        (found for block in recipients if (found := block.typed("reporting-mta"))), None
    )
    whole = general + recipients[0] if recipients and recipients[0] is not general else general
    return DeliveryStatus(
        recipients=tuple(_recipient(block, reporting) for block in recipients),
        queue_id=whole.get("x-postfix-queue-id"),
        message_id=message_id(whole.get("x-original-message-id")),
        envelope_id=whole.get("original-envelope-id"),
        shown=_shown(whole),
    )


def bare_address(value: str) -> str:
    """An address without the brackets, quotes and comments that some put around it."""
    text = value.strip()
    if text.startswith("<") and ">" in text:
        text = text[1 : text.index(">")]
    elif " <" in text and text.endswith(">"):
        text = text[text.rindex(" <") + 2 : -1]
    return text.strip().strip("'").rstrip(".,;").removeprefix("mailto:")


def _recipient(block: Fields, reporting: TypedValue | None) -> RecipientStatus:
    named = next((found for name in _RECIPIENT if (found := block.typed(name)) and bare_address(found.value)), None)
    diagnostic = block.typed("diagnostic-code")
    remote = block.typed("remote-mta") or reporting
    message = diagnostic.value if diagnostic is not None else None
    action = block.get("action")
    status = _STATUS.search(block.get("status") or "")
    return RecipientStatus(
        recipient=bare_address(named.value) if named is not None else None,
        action=_COMMENT.sub("", action).strip()[:_MAX_ACTION_CHARACTERS] or None if action else None,
        status=status[1] if status is not None else None,
        source=diagnostic.label or None if diagnostic is not None else None,
        message=message or None,
        mta=_host(remote.value) if remote is not None else None,
    )


def precise_status(status: str | None, message: str | None) -> str | None:
    """The status, or what the server's words say of the same class where it says no more than that something else is.

    A detail of 0 means just that (RFC 3463 §3.1): `5.0.0`, `5.1.0`.
    """
    if message is None or (status is not None and not status.endswith(".0")):
        return status
    found = [code for code in enhanced_statuses(message) if status is None or code[0] == status[0]]
    if status is None:
        return found[0] if found else None
    precise = [code for code in found if not code.endswith(".0")]
    if not precise and status.endswith(".0.0"):
        precise = [code for code in found if not code.endswith(".0.0")]
    return precise[0] if precise else status


def _host(value: str) -> str | None:
    """The name of a host, without the address and the comment behind it."""
    words = _COMMENT.sub("", value).split()
    return words[0].strip("[]<>.,").lower() or None if words else None


def _shown(fields: Fields) -> dict[str, Any]:
    """Every field as a webhook tells it: names in camelCase, the last value wins, typed values split in two."""
    shown: dict[str, Any] = {}
    for name, value in fields:
        lower = name.lower()
        key = camel_case(name)
        if lower in _TYPED:
            typed = Fields([(name, value)]).typed(lower)
            shown[key] = {"label": typed.label, "value": typed.value} if typed is not None and typed.label else value
        elif lower == "arrival-date":
            date = parse_date(value)
            shown[key] = value if date is None else date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        else:
            shown[key] = value
    return shown
