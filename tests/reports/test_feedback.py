"""Complaints: the fields of feedback reports, and of those that came before them."""

from __future__ import annotations

from mailquay.reports.feedback import MAX_LIST_VALUES, read_complaint
from mailquay.reports.source import read_source
from mailquay.reports.verdict import judge
from tests.reports.messages import ORIGINAL, multipart

REPORT = (
    "Feedback-Type: abuse\nUser-Agent: Loop/1.0\nVersion: 1\nOriginal-Mail-From: <me@sender.example>\n"
    "Original-Rcpt-To: <you@receiver.example>\nArrival-Date: Sat, 21 Nov 2026 10:00:00 +0100\nSource-IP: 192.0.2.1\n"
    "Reported-Domain: sender.example\nReported-Domain: other.example\n"
)


def complaint_of(report: str, original: str = ORIGINAL) -> bytes:
    return multipart(
        ("text/plain", "A report."),
        ("message/feedback-report", report),
        ("message/rfc822", original + "\nHi\n"),
        kind="feedback-report",
    )


def test_fields_of_a_report() -> None:
    complaint = read_complaint(read_source(complaint_of(REPORT, ORIGINAL + "Date: Sat, 21 Nov 2026 09:00:00 +0000\n")))
    assert complaint is not None
    assert complaint.arf == {
        "feedbackType": "abuse",
        "userAgent": "Loop/1.0",
        "version": "1",
        "originalMailFrom": "me@sender.example",
        "originalRcptTo": ["you@receiver.example"],
        "arrivalDate": "2026-11-21T09:00:00.000Z",
        "sourceIp": "192.0.2.1",
        "reportedDomain": ["sender.example", "other.example"],
    }
    assert complaint.headers == {
        "messageId": "<one@sender.example>",
        "from": "me@sender.example",
        "to": ["you@receiver.example"],
        "subject": "Hello",
        "date": "2026-11-21T09:00:00.000Z",
    }


def test_date_that_is_none_is_dropped() -> None:
    complaint = read_complaint(read_source(complaint_of(REPORT.replace("Sat, 21 Nov 2026 10:00:00 +0100", "lately"))))
    assert complaint is not None
    assert "arrivalDate" not in complaint.arf


def test_without_a_recipient_it_is_none() -> None:
    source = read_source(complaint_of(REPORT.replace("Original-Rcpt-To", "X-Somebody")))
    assert read_complaint(source) is None
    verdict = judge(source)
    assert verdict.bounce is None


def test_original_tells_what_the_report_leaves_out() -> None:
    original = (
        "X-HmXmrOriginalRecipient: you@hotmail.example\nX-Sender-IP: 192.0.2.9\nReturn-Path: <bounces@sender.example>\n"
        "X-MS-Exchange-CrossTenant-OriginalArrivalTime: 21 Nov 2026 09:00:00.1234 (UTC)\n" + ORIGINAL
    )
    raw = complaint_of("Feedback-Type: fraud\n", original).replace(b"mailer-daemon@mx.example", b"staff@hotmail.com")
    complaint = read_complaint(read_source(raw))
    assert complaint is not None
    assert complaint.arf == {
        "source": "Hotmail",
        "feedbackType": "fraud",
        "abuseType": "complaint",
        "originalMailFrom": "bounces@sender.example",
        "originalRcptTo": ["you@hotmail.example"],
        "sourceIp": "192.0.2.9",
        "arrivalDate": "2026-11-21T09:00:00.000Z",
    }


def test_list_of_recipients_has_a_limit() -> None:
    report = REPORT + "Original-Rcpt-To: <many@receiver.example>\n" * 5000
    complaint = read_complaint(read_source(complaint_of(report)))
    assert complaint is not None
    assert len(complaint.arf["originalRcptTo"]) == MAX_LIST_VALUES


def test_complaint_from_the_junk_mailbox_does_not_count() -> None:
    assert judge(read_source(complaint_of(REPORT))).complaint is not None
    assert judge(read_source(complaint_of(REPORT)), bounces_only=True).complaint is None


def test_names_that_come_to_the_same_key() -> None:
    report = (
        "Feedback--Type: odd\nArrival--Date: lately\nOriginal--Rcpt-To: <a@x.example>\n" + REPORT + "Source--IP: x\n"
    )
    complaint = read_complaint(read_source(complaint_of(report)))
    assert complaint is not None
    assert (complaint.arf["feedbackType"], complaint.arf["sourceIp"]) == ("abuse", "x")
    assert complaint.arf["arrivalDate"] == "2026-11-21T09:00:00.000Z"
    assert complaint.arf["originalRcptTo"] == ["a@x.example", "you@receiver.example"]
