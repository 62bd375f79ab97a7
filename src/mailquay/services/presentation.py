"""Messages and mailboxes in their public form, as API answers and event payloads share it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mailquay.model.mailbox import ListedMailbox
from mailquay.model.message import Address, Attachment, IndexEntry, Structure, TextPart
from mailquay.services import identifiers

_FLAG_KEYS = (("\\Flagged", "flagged"), ("\\Answered", "answered"), ("\\Draft", "draft"))
_USES_BY_LABEL = {"\\Inbox": "\\Inbox", "\\Sent": "\\Sent", "\\Draft": "\\Drafts"}
_MAX_TIME_MS = 253_402_300_799_999
MESSAGE_SPECIAL_USES = ("\\Junk", "\\Sent", "\\Trash", "\\Inbox", "\\Drafts")


def iso(time_ms: int) -> str:
    """A time as the API writes it: UTC with milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def read_time(value: object) -> int:
    """Milliseconds since the epoch from an ISO date or milliseconds; ValueError when it is neither."""
    if isinstance(value, bool):
        raise ValueError("must be a date")
    if isinstance(value, str) and (text := value.strip()).lstrip("-").isdecimal():
        value = int(text) if len(text) < 20 else _MAX_TIME_MS + 1
    if isinstance(value, int | float):
        if not -_MAX_TIME_MS <= value <= _MAX_TIME_MS:
            raise ValueError("must be a date")
        return int(value)
    if not isinstance(value, str):
        raise ValueError("must be a date")
    try:
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("must be a date in ISO 8601 form") from None


def address(value: Address) -> dict[str, str]:
    """One address."""
    return {"name": value.name, "address": value.address}


def message_entry(mailbox: int, entry: IndexEntry) -> dict[str, Any]:
    """A message as lists show it: identifiers, flags, envelope, attachments, and what text there is.

    One that cannot be read is shown with what is known of it, and with `status` and `error`.
    """
    shown: dict[str, Any] = {"id": identifiers.message_id(mailbox, entry.uid), "uid": entry.uid}
    if entry.email_id is not None:
        shown["emailId"] = entry.email_id
    if (thread := public_thread(entry)) is not None:
        shown["threadId"] = thread
    date_ms = entry.internal_date_ms
    if entry.envelope is not None and entry.envelope.date_ms is not None:
        date_ms = entry.envelope.date_ms
    if date_ms is not None:
        shown["date"] = iso(date_ms)
    if entry.error is not None and entry.size_bytes is None:
        # Nobody has seen its flags.
        shown["flags"] = []
    else:
        shown.update(flag_fields(entry.flags))
    if entry.labels is not None:
        shown["labels"] = list(entry.labels)
    if entry.size_bytes is not None:
        shown["size"] = entry.size_bytes
    _add_envelope(shown, entry)
    if entry.structure is not None:
        _add_structure(shown, mailbox, entry.uid, entry.structure)
    if entry.error is not None:
        shown |= {"status": "failed", "error": entry.error}
    return shown


def public_thread(entry: IndexEntry) -> str | None:
    """The thread of a message: the server's where it has threads, else ours; None while it is not known."""
    if entry.thread_id is not None:
        return entry.thread_id
    return None if entry.thread is None else identifiers.thread_id(entry.thread)


def message_details(
    mailbox: int, entry: IndexEntry, headers: Mapping[str, list[str]], listing: ListedMailbox
) -> dict[str, Any]:
    """A message as a read shows it: the list entry with path, headers, sender and special use."""
    shown = message_entry(mailbox, entry)
    details: dict[str, Any] = {}
    for key, value in shown.items():
        details[key] = value
        if key == "uid":
            details["path"] = listing.path
        if key == "replyTo" and entry.envelope is not None and entry.envelope.sender:
            details["sender"] = address(entry.envelope.sender[0])
    if entry.envelope is not None and entry.envelope.bcc:
        details["bcc"] = [address(value) for value in entry.envelope.bcc]
    details["headers"] = dict(headers)
    if listing.special_use is not None:
        details["specialUse"] = listing.special_use
    if (use := message_special_use(listing, entry.labels)) is not None:
        details["messageSpecialUse"] = use
    return details


def message_special_use(listing: ListedMailbox, labels: Collection[str] | None) -> str | None:
    """What a message is by its place; in the mailbox of all labels by them, `\\Sent` before `\\Inbox`."""
    uses = {listing.special_use}
    if listing.all_mail:
        uses = {_USES_BY_LABEL.get(label) for label in labels or ()}
    return next((use for use in MESSAGE_SPECIAL_USES if use in uses), None)


def is_in_inbox(special_use: str | None, labels: Collection[str] | None) -> bool:
    """Whether a message of a mailbox with this special use is in the inbox, or bears its label."""
    return special_use == "\\Inbox" or "\\Inbox" in (labels or ())


def flag_fields(flags: Iterable[str]) -> dict[str, Any]:
    """Flags, and the booleans that are shown only when true."""
    kept = [flag for flag in flags if flag.lower() != "\\recent"]
    fields: dict[str, Any] = {"flags": kept}
    if "\\Seen" not in kept:
        fields["unseen"] = True
    for flag, key in _FLAG_KEYS:
        if flag in kept:
            fields[key] = True
    return fields


def _add_envelope(shown: dict[str, Any], entry: IndexEntry) -> None:
    envelope = entry.envelope
    if envelope is None:
        return
    if envelope.subject is not None:
        shown["subject"] = envelope.subject
    if envelope.from_:
        shown["from"] = address(envelope.from_[0])
    for key, values in (("replyTo", envelope.reply_to), ("to", envelope.to), ("cc", envelope.cc)):
        if values:
            shown[key] = [address(value) for value in values]
    if envelope.message_id is not None:
        shown["messageId"] = envelope.message_id
    if envelope.in_reply_to is not None:
        shown["inReplyTo"] = envelope.in_reply_to


def _add_structure(shown: dict[str, Any], mailbox: int, uid: int, structure: Structure) -> None:
    if structure.attachments:
        shown["attachments"] = [attachment(mailbox, uid, part) for part in structure.attachments]
    shown["text"] = text_info(mailbox, uid, structure)


def text_info(mailbox: int, uid: int, structure: Structure) -> dict[str, Any]:
    """The id of a message's text, and how large it is as transferred."""

    def numbers(parts: Iterable[TextPart]) -> list[str]:
        return [part.part for part in parts]

    sizes = {
        kind: sum(part.encoded_size_bytes for part in parts)
        for kind, parts in (("plain", structure.plain), ("html", structure.html))
        if parts
    }
    text = identifiers.text_id(
        mailbox, uid, numbers(structure.plain), numbers(structure.html), numbers(structure.other)
    )
    if len(text) > identifiers.MAX_TEXT_ID_CHARACTERS:
        # Nobody would take it; without numbers it stands for all texts there are.
        text = identifiers.text_id(mailbox, uid, [], [], [])
    return {"id": text, "encodedSize": sizes}


def attachment(mailbox: int, uid: int, part: Attachment) -> dict[str, Any]:
    """One attachment."""
    shown: dict[str, Any] = {
        "id": identifiers.attachment_id(mailbox, uid, part.part),
        "contentType": part.content_type,
        "encodedSize": part.encoded_size_bytes,
        "embedded": part.embedded,
        "inline": part.inline,
        "encodedInMessage": part.encoded_in_message,
    }
    if part.filename is not None:
        shown["filename"] = part.filename
    if part.content_id is not None:
        shown["contentId"] = part.content_id
    if part.method is not None:
        shown["method"] = part.method
    return shown


def mailbox_event_data(listing: ListedMailbox) -> dict[str, Any]:
    """What mailbox events say of a mailbox."""
    data: dict[str, Any] = {"path": listing.path, "name": listing.name}
    data["specialUse"] = listing.special_use if listing.special_use is not None else False
    return data


def mailbox_entry(listing: ListedMailbox, messages: int | None, uidnext: int | None) -> dict[str, Any]:
    """A mailbox as the list of mailboxes shows it."""
    shown: dict[str, Any] = {
        "path": listing.path,
        "delimiter": listing.delimiter,
        "listed": listing.listed,
        "name": listing.name,
    }
    if listing.parent_path is not None:
        shown["parentPath"] = listing.parent_path
    if listing.special_use is not None:
        shown["specialUse"] = listing.special_use
        shown["specialUseSource"] = listing.special_use_source
    shown["subscribed"] = listing.subscribed
    shown["noInferiors"] = "\\noinferiors" in listing.attributes
    shown["messages"] = messages if messages is not None else False
    shown["uidNext"] = uidnext if uidnext is not None else False
    return shown
