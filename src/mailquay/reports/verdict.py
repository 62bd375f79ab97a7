"""The whole judgement of a message: bounce, delivery report, complaint, automatic answer, or none of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mailquay.mime.autoreply import is_auto_reply
from mailquay.reports.bounce import Bounce, read_bounce, read_delivery_report
from mailquay.reports.candidates import (
    Outline,
    looks_like_a_servers,
    may_be_bounce,
    may_be_complaint,
    may_be_delivery_report,
    outline_of,
)
from mailquay.reports.feedback import Complaint, read_complaint
from mailquay.reports.source import ReportSource, addresses_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message is; what is both a bounce and a delivery report is the latter."""

    bounce: Bounce | None = None
    delivery_report: dict[str, Any] | None = None
    complaint: Complaint | None = None
    auto_reply: bool = False


def judge(source: ReportSource, outline: Outline | None = None, *, bounces_only: bool = False) -> Verdict:
    """Judge a message that was read; `outline` where it is known from elsewhere.

    `bounces_only`: what the junk mailbox is searched for.
    """
    outline = outline or own_outline(source)
    report = read_delivery_report(source) if not bounces_only and may_be_delivery_report(outline) else None
    complaint = read_complaint(source) if not bounces_only and may_be_complaint(outline) else None
    bounce = read_bounce(source) if report is None and complaint is None and may_be_bounce(outline) else None
    if bounce is not None and not bounce.stated and not _is_machines(source, outline):
        bounce = None
    return Verdict(bounce, report, complaint, is_auto_reply(source.headers.decoded(), outline.subject))


def _is_machines(source: ReportSource, outline: Outline) -> bool:
    """Whether prose is a server's: by sender or subject, as an automatic message, or with the null reverse-path."""
    if looks_like_a_servers(outline):
        return True
    submitted = (source.headers.text("Auto-Submitted") or "no").strip().lower()
    return submitted != "no" or (source.headers.text("Return-Path") or "").strip() == "<>"


def own_outline(source: ReportSource) -> Outline:
    """The outline of a message as its source gives it."""
    senders = [(one.name, one.address) for one in addresses_of(source.headers, "From")]
    return outline_of(source, senders, source.headers.text("Subject") or "")
