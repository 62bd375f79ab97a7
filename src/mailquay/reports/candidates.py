"""Which messages are worth reading whole: decided by the envelope and the structure alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailquay.reports.source import DELIVERY_STATUS, FEEDBACK_REPORT, ReportSource

_SENDER_NAME = re.compile(
    r"mailer[- ]?daemon|ndr administrator|internet mail delivery|mail deliver(?:y)? (?:system|subsystem)", re.IGNORECASE
)
_SENDER = re.compile(r"(?:mailer-?daemon|post_?master)@|mailer-daemon$", re.IGNORECASE)
_SUBJECT = re.compile(
    r"delivery status notification|failure notice|mail delivery failed|error sending your mail|returned mail",
    re.IGNORECASE,
)
_ENCLOSED_SUBJECT = re.compile(r"undeliver|failed|returned|failure|error", re.IGNORECASE)
_COMPLAINT_SENDER = re.compile(r"(?:feedbackloop|fbl|complaints|abuse)@", re.IGNORECASE)
_COMPLAINT_WORD = re.compile(r"abuse|complaint|feedback|report", re.IGNORECASE)
_COMPLAINT_SUBJECT = re.compile(r"(?:abuse|feedback|spam) report", re.IGNORECASE)
_ENCLOSING = frozenset(
    (
        *("message/rfc822", "message/rfc822-headers", "text/rfc822", "text/rfc822-headers", "text/rfc822-header"),
        *("message/global", "message/global-headers"),
    )
)
HOTMAIL = "staff@hotmail.com"


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a message before it is read. `senders` are the (name, address) pairs of From.

    `content_types`, in lower case, are those of the message itself, not of messages that it encloses.
    """

    senders: Sequence[tuple[str, str]] = ()
    subject: str = ""
    content_types: frozenset[str] = frozenset()


def outline_of(source: ReportSource, senders: Sequence[tuple[str, str]], subject: str) -> Outline:
    """The outline of a message that has been read."""
    types = {source.content_type, *(part.content_type for part in source.parts if not part.enclosed)}
    return Outline(senders, subject, frozenset(types))


def may_be_bounce(outline: Outline) -> bool:
    """Whether the message may tell that another could not be delivered."""
    if looks_like_a_servers(outline) or outline.content_types & DELIVERY_STATUS:
        return True
    return "message/rfc822" in outline.content_types and _ENCLOSED_SUBJECT.search(outline.subject) is not None


def looks_like_a_servers(outline: Outline) -> bool:
    """Whether sender or subject are those of mail servers: a person may enclose a message, and write of a failure."""
    if any(_SENDER_NAME.search(name) or _SENDER.match(address) for name, address in outline.senders):
        return True
    return _SUBJECT.search(outline.subject) is not None or outline.subject.strip().lower() == "undeliverable message"


def may_be_delivery_report(outline: Outline) -> bool:
    """Whether the message may be a multipart/report about a delivery (RFC 6522)."""
    return bool(outline.content_types & DELIVERY_STATUS)


def may_be_report(outline: Outline, *, bounces_only: bool = False) -> bool:
    """Whether the message is worth being read; `bounces_only`: what the junk mailbox is searched for."""
    return may_be_bounce(outline) or (not bounces_only and may_be_complaint(outline))


def may_be_complaint(outline: Outline) -> bool:
    """Whether the message may tell that a recipient has complained of another."""
    if FEEDBACK_REPORT in outline.content_types:
        return True
    addresses = [address.lower() for _, address in outline.senders]
    subject = outline.subject
    encloses = bool(outline.content_types & _ENCLOSING)
    if HOTMAIL in addresses and "complaint" in subject.lower():
        return True
    if any(_COMPLAINT_SENDER.match(address) for address in addresses) and (encloses or _COMPLAINT_WORD.search(subject)):
        return True
    return encloses and _COMPLAINT_SUBJECT.search(subject) is not None
