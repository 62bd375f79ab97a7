"""What reports lead to: messageBounce and messageComplaint, each once, and the bounces that a message shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailquay.mime.conversation import own_id
from mailquay.model.account import AccountNumber
from mailquay.model.digest import digest_of
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.reports.bounce import Bounce
from mailquay.reports.feedback import Complaint
from mailquay.reports.public import bounce_data
from mailquay.services import identifiers
from mailquay.services.moves import entry_digest
from mailquay.services.presentation import iso
from mailquay.services.report_reading import Report
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.repositories.bounces import KeptBounce
from mailquay.storage.store import Store

_MAX_KIND_CHARACTERS = 100
"""The log keeps facts for long: none of them is as long as a stranger likes."""


def recorded(
    store: Store, account: AccountNumber, mailbox: Mailbox, entry: IndexEntry, report: Report, now_ms: int
) -> Unit[None]:
    """Keep what a report tells, and log its event unless that was done when the same message was seen before."""
    digest = _report_digest(account, entry, report)
    recognise = store.messages.recognise(account, [digest], now_ms)
    place = identifiers.message_id(mailbox.number, entry.uid)
    verdict = report.verdict

    def script(pending: Pending) -> Script[None]:
        if verdict.bounce is not None and report.message_id is not None:
            original = original_digest(account, report.message_id)
            kept = _kept(mailbox, entry, verdict.bounce, now_ms)
            yield from store.bounces.put(account, original, digest, kept)(pending)
            [fresh] = yield from recognise(pending)
            if fresh:
                pending.append(_bounce_event(account, place, verdict.bounce, report.message_id, now_ms))
        elif verdict.complaint is not None:
            [fresh] = yield from recognise(pending)
            if fresh:
                pending.append(_complaint_event(account, place, verdict.complaint, now_ms))

    return script


def original_digest(account: AccountNumber, message_id: str) -> int:
    """64 bits that stand for the Message-ID of a message that bounced, with or without its brackets."""
    return digest_of(f"{account} bounce {own_id(message_id) or message_id}")


async def with_bounces(store: Store, shown: Iterable[tuple[AccountNumber, dict[str, Any]]]) -> None:
    """Add `bounces` to messages as they are shown, wherever there are any; one query for all of them."""
    known = [
        ((account, original_digest(account, entry["messageId"])), entry)
        for account, entry in shown
        if "messageId" in entry
    ]
    found = await store.bounces.of([key for key, _ in known])
    for key, entry in known:
        if key in found:
            entry["bounces"] = [_shown(bounce) for bounce in found[key]]


def _shown(bounce: KeptBounce) -> dict[str, Any]:
    said = {"message": bounce.message, "status": bounce.status}
    return {
        "message": identifiers.message_id(bounce.mailbox, bounce.uid),
        "recipient": bounce.recipient,
        "action": bounce.action,
        "response": {key: value for key, value in said.items() if value is not None},
        "date": iso(bounce.date_ms),
    }


def _report_digest(account: AccountNumber, entry: IndexEntry, report: Report) -> int:
    """What recognises a report that comes to light again; one without any id is told by what it says."""
    digest = entry_digest(account, entry)
    if digest is None:
        bounce = report.verdict.bounce
        said = (report.message_id, None if bounce is None else (bounce.recipient, bounce.action, bounce.message))
        return digest_of(f"{account} report {entry.internal_date_ms} {entry.size_bytes} {said}")
    return digest_of(f"{account} report {digest}")


def _kept(mailbox: Mailbox, entry: IndexEntry, bounce: Bounce, now_ms: int) -> KeptBounce:
    date_ms = entry.envelope.date_ms if entry.envelope is not None else None
    return KeptBounce(
        mailbox.number,
        int(entry.uid),
        bounce.recipient,
        bounce.action,
        bounce.message,
        bounce.status,
        date_ms or entry.internal_date_ms or now_ms,
    )


def _bounce_event(account: AccountNumber, place: str, bounce: Bounce, message_id: str, now_ms: int) -> NewEvent:
    content: dict[str, Any] = {"bounceMessage": place, **bounce_data(bounce), "messageId": message_id}
    told = ("status", "category", "recommendedAction")
    facts: Mapping[str, Any] = {
        "bounceMessage": place,
        "action": bounce.action,
        "response": {key: value for key, value in content["response"].items() if key in told},
        "messageId": message_id,
    }
    return NewEvent(account, EventName.MESSAGE_BOUNCE, now_ms, facts, content)


def _complaint_event(account: AccountNumber, place: str, complaint: Complaint, now_ms: int) -> NewEvent:
    content: dict[str, Any] = {"complaintMessage": place, "arf": complaint.arf}
    if complaint.headers is not None:
        content["headers"] = complaint.headers
    kind = complaint.arf.get("feedbackType")
    facts: dict[str, Any] = {
        "complaintMessage": place,
        "arf": {} if kind is None else {"feedbackType": kind[:_MAX_KIND_CHARACTERS]},
    }
    if complaint.message_id is not None:
        facts["headers"] = {"messageId": complaint.message_id}
    return NewEvent(account, EventName.MESSAGE_COMPLAINT, now_ms, facts, content)
