"""Which messages are read whole: decided before they are."""

from __future__ import annotations

import pytest

from mailquay.reports.candidates import Outline, may_be_bounce, may_be_complaint, may_be_delivery_report

ENCLOSING = frozenset({"multipart/mixed", "text/plain", "message/rfc822"})


def sent_by(address: str, name: str = "") -> list[tuple[str, str]]:
    return [(name, address)]


@pytest.mark.parametrize(
    "outline",
    [
        Outline(sent_by("x@y.example", "Mailer-Daemon")),
        Outline(sent_by("x@y.example", "The mailer daemon")),
        Outline(sent_by("x@y.example", "MailerDaemon")),
        Outline(sent_by("x@y.example", "Mail Delivery Subsystem")),
        Outline(sent_by("x@y.example", "NDR Administrator")),
        Outline(sent_by("MAILER-DAEMON@y.example")),
        Outline(sent_by("postmaster@y.example")),
        Outline(sent_by("mailer-daemon")),
        Outline(content_types=frozenset({"multipart/report", "message/delivery-status"})),
        Outline(content_types=frozenset({"message/global-delivery-status"})),
        Outline(subject="Undeliverable: Hello", content_types=ENCLOSING),
        Outline(subject="Message not delivered: failure", content_types=ENCLOSING),
        Outline(subject="Undeliverable Message"),
        Outline(subject="[tag] Delivery Status Notification (Failure)"),
        Outline(subject="failure notice"),
    ],
)
def test_bounces(outline: Outline) -> None:
    assert may_be_bounce(outline)


@pytest.mark.parametrize(
    "outline",
    [
        Outline(sent_by("friend@y.example", "A Friend"), "Hello"),
        Outline(sent_by("the.postmaster@y.example"), "Hello"),
        Outline(sent_by("friend@y.example"), "Undeliverable: Hello"),
        Outline(sent_by("friend@y.example"), "An undeliverable message"),
        Outline(sent_by("friend@y.example"), "Fwd: photos", ENCLOSING),
    ],
)
def test_others(outline: Outline) -> None:
    assert not may_be_bounce(outline)


@pytest.mark.parametrize(
    ("outline", "may_be"),
    [
        (Outline(content_types=frozenset({"message/feedback-report"})), True),
        (Outline(sent_by("staff@hotmail.com"), "complaint about message from 192.0.2.1"), True),
        (Outline(sent_by("fbl@isp.example"), "Hello", ENCLOSING), True),
        (Outline(sent_by("abuse@isp.example"), "A report"), True),
        (Outline(sent_by("someone@isp.example"), "Spam report", ENCLOSING), True),
        (Outline(sent_by("someone@isp.example"), "Spam report"), False),
        (Outline(sent_by("abuse@isp.example"), "Hello"), False),
        (Outline(sent_by("someone@isp.example"), "complaint", ENCLOSING), False),
    ],
)
def test_complaints(outline: Outline, may_be: bool) -> None:
    assert may_be_complaint(outline) is may_be


def test_delivery_reports() -> None:
    assert may_be_delivery_report(Outline(content_types=frozenset({"message/delivery-status"})))
    assert not may_be_delivery_report(Outline(content_types=frozenset({"message/disposition-notification"})))
