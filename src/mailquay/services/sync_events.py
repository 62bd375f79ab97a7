"""The events that a sync of a mailbox produces: facts to keep, and contents for webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailquay.backends.interface import FlagState
from mailquay.model.account import AccountNumber
from mailquay.model.event import EventName, NewEvent
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry, MessageMarks
from mailquay.services import identifiers
from mailquay.services.presentation import message_special_use, public_thread
from mailquay.services.report_reading import Report
from mailquay.storage.repositories.moves import Move, Passing


def announcement(
    account: AccountNumber,
    mailbox: Mailbox,
    entry: IndexEntry,
    content: Mapping[str, Any] | None,
    first_time: bool,
    now_ms: int,
    report: Report | None = None,
) -> NewEvent:
    """messageNew. `seemsLikeNew`: the message was never seen in this account before, and it is not one just sent.

    `report` is what the message tells of another one.
    """
    seems_new = first_time and message_special_use(mailbox.listing, entry.labels) != "\\Sent"
    facts: dict[str, Any] = {
        "id": identifiers.message_id(mailbox.number, entry.uid),
        "uid": entry.uid,
        "path": mailbox.listing.path,
    }
    if entry.email_id is not None:
        facts["emailId"] = entry.email_id
    if entry.labels is not None:
        facts["labels"] = list(entry.labels)
    thread = public_thread(entry)
    full = None if content is None else {**content, "seemsLikeNew": seems_new}
    if thread is not None:
        facts["threadId"] = thread
        if full is not None:
            # Our own thread is found in the transaction that logs this; the content was read before.
            full["threadId"] = thread
    facts["seemsLikeNew"] = seems_new
    if report is not None:
        facts |= report.announced()
        if full is not None:
            full |= report.announced()
            if report.verdict.delivery_report is not None:
                full["deliveryReport"] = report.verdict.delivery_report
    return _event(account, EventName.MESSAGE_NEW, mailbox, now_ms, facts, full)


def updated_event(
    account: AccountNumber, mailbox: Mailbox, state: FlagState, before: MessageMarks, now_ms: int
) -> NewEvent | None:
    """messageUpdated: which flags and labels came and went, and what they are now; None when that is none.

    Labels that were not known before are none that came.
    """
    changes: dict[str, Any] = {}
    if sorted(state.flags) != sorted(before.flags):
        changes["flags"] = _difference(before.flags, state.flags)
    if state.labels is not None and before.labels is not None and sorted(state.labels) != sorted(before.labels):
        changes["labels"] = _difference(before.labels, state.labels)
    if not changes:
        return None
    facts = {"id": identifiers.message_id(mailbox.number, state.uid), "uid": state.uid, "changes": changes}
    return _event(account, EventName.MESSAGE_UPDATED, mailbox, now_ms, facts)


def _difference(before: Sequence[str], after: Sequence[str]) -> dict[str, list[str]]:
    changes = {"added": sorted(set(after) - set(before)), "deleted": sorted(set(before) - set(after))}
    return {name: values for name, values in changes.items() if values} | {"value": sorted(after)}


def deleted_event(account: AccountNumber, mailbox: Mailbox, uid: int, now_ms: int) -> NewEvent:
    """messageDeleted: the message is gone from this mailbox."""
    facts = {"id": identifiers.message_id(mailbox.number, uid), "uid": uid}
    return _event(account, EventName.MESSAGE_DELETED, mailbox, now_ms, facts)


def missing_event(mailbox: Mailbox, uid: int, retries: int, delay_ms: int, now_ms: int) -> NewEvent:
    """messageMissing: the server lists the message, and did not give it in so many attempts and milliseconds."""
    facts = {
        "id": identifiers.message_id(mailbox.number, uid),
        "uid": uid,
        "missingRetries": retries,
        "missingDelay": delay_ms,
    }
    return _event(mailbox.account, EventName.MESSAGE_MISSING, mailbox, now_ms, facts)


def unprocessable_event(account: AccountNumber, mailbox: Mailbox, uid: int, error: str, now_ms: int) -> NewEvent:
    """messageUnprocessable: a message that cannot be read, and what its server, or we, said of it."""
    facts = {
        "id": identifiers.message_id(mailbox.number, uid),
        "uid": uid,
        "path": mailbox.listing.path,
        "error": error,
    }
    return _event(account, EventName.MESSAGE_UNPROCESSABLE, mailbox, now_ms, facts)


def moved_event(account: AccountNumber, move: Move, now_ms: int) -> NewEvent:
    """messageMoved: where the message is, and where it was before; it is an event of the mailbox that has it now."""
    facts = {**_place(move.arrived), "previous": _place(move.left)}
    arrived = move.arrived
    return NewEvent(account, EventName.MESSAGE_MOVED, now_ms, facts, None, arrived.path, arrived.special_use)


def _place(passing: Passing) -> dict[str, Any]:
    return {
        "id": identifiers.message_id(passing.mailbox, passing.uid),
        "uid": passing.uid,
        "path": passing.path,
    }


def _event(
    account: AccountNumber,
    name: EventName,
    mailbox: Mailbox,
    now_ms: int,
    facts: Mapping[str, Any],
    content: Mapping[str, Any] | None = None,
) -> NewEvent:
    listing = mailbox.listing
    return NewEvent(account, name, now_ms, facts, content, listing.path, listing.special_use)
