"""Which messages are worth reading whole: decided by the envelope and the structure alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    """What is known of a message before it is read. Types and header names are in lower case.

    `senders` are the (name, address) pairs of From; `headers` has whatever of X-Failed-Recipients, Return-Path and
    Content-Type was fetched; `report_type` is that parameter of a multipart/report.
    """

    senders: Sequence[tuple[str, str]] = ()
    subject: str = ""
    content_types: frozenset[str] = frozenset()
    report_type: str | None = None
    headers: Mapping[str, Sequence[str]] | None = None


def outline_of(source: ReportSource, senders: Sequence[tuple[str, str]], subject: str) -> Outline:
    """The outline of a message that has been read."""
    types = {source.content_type, *(part.content_type for part in source.parts if not part.enclosed)}
    kind = source.parameters.get("report-type", "").lower() or None
    report_type = kind if source.content_type == "multipart/report" else None
    return Outline(senders, subject, frozenset(types), report_type, source.headers.decoded())


def may_be_bounce(outline: Outline) -> bool:
    """Whether the message may tell that another could not be delivered."""
    if any(_SENDER_NAME.search(name) or _SENDER.match(address) for name, address in outline.senders):
        return True
    if outline.content_types & DELIVERY_STATUS or outline.report_type == "delivery-status":
        return True
    subject = outline.subject
    if _SUBJECT.search(subject) or subject.strip().lower() == "undeliverable message":
        return True
    if "message/rfc822" in outline.content_types and _ENCLOSED_SUBJECT.search(subject):
        return True
    headers = outline.headers or {}
    if headers.get("x-failed-recipients"):
        return True
    # A report has the null reverse-path (RFC 5321 §4.5.5), and so have automatic answers, which return nothing.
    no_sender = any(value.strip() == "<>" for value in headers.get("return-path", ()))
    return no_sender and bool(outline.content_types & _ENCLOSING)


def may_be_delivery_report(outline: Outline) -> bool:
    """Whether the message may be a multipart/report about a delivery (RFC 6522)."""
    return outline.report_type == "delivery-status"


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
