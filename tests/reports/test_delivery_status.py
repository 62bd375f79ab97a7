"""Delivery status parts: which fields count, and what is made of them."""

from __future__ import annotations

import pytest

from mailquay.reports.bounce import read_bounce, read_delivery_report
from mailquay.reports.delivery_status import precise_status, read_delivery_status
from mailquay.reports.source import read_source
from tests.reports.messages import ORIGINAL, dsn, multipart

POSTFIX = (
    "Reporting-MTA: dns; Mail.Sender.Example\nX-Postfix-Queue-ID: 4F00\n"
    "Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0100\n\n"
    "Final-Recipient: rfc822; you@receiver.example\nOriginal-Recipient: rfc822;alias@receiver.example\n"
    "Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; MX.Receiver.Example\n"
    "Diagnostic-Code: smtp; 550 5.1.1 No\n such user\n"
)


def test_fields_of_a_failure() -> None:
    bounce = read_bounce(dsn(POSTFIX))
    assert bounce is not None
    assert (bounce.recipient, bounce.action, bounce.status) == ("you@receiver.example", "failed", "5.1.1")
    assert (bounce.source, bounce.message) == ("smtp", "550 5.1.1 No such user")
    assert (bounce.mta, bounce.queue_id) == ("mx.receiver.example", "4F00")
    assert bounce.message_id == "<one@sender.example>"
    assert bounce.headers is not None
    assert bounce.headers["subject"] == ["Hello"]


def test_headers_alone_come_back() -> None:
    for kind in ("text/rfc822-headers", "message/global-headers"):
        bounce = read_bounce(dsn(POSTFIX, original=(kind, ORIGINAL)))
        assert bounce is not None
        assert bounce.message_id == "<one@sender.example>"


def test_message_id_without_the_original() -> None:
    bounce = read_bounce(dsn(POSTFIX + "X-Original-Message-ID: <two@sender.example>\n", original=None))
    assert bounce is not None
    assert bounce.message_id == "<two@sender.example>"
    assert bounce.headers is None


@pytest.mark.parametrize(
    ("value", "told"),
    [("two@sender.example", "<two@sender.example>"), ("none", None), ("a" * 20_000 + "@sender.example", None)],
)
def test_what_is_no_message_id_is_none(value: str, told: str | None) -> None:
    bounce = read_bounce(dsn(POSTFIX + f"X-Original-Message-ID: {value}\n", original=None))
    assert bounce is not None
    assert bounce.message_id == told


def test_an_action_is_a_word() -> None:
    bounce = read_bounce(dsn(POSTFIX.replace("Action: failed", "Action: " + "failed " * 1000)))
    assert bounce is not None
    assert len(bounce.action) <= 40


def test_every_recipient_is_kept_and_a_failure_is_told_first() -> None:
    status = read_delivery_status(
        "Reporting-MTA: dns; a.example\n\n"
        "Final-Recipient: rfc822; ok@x.example\nAction: relayed\nStatus: 2.1.5\n\n"
        "Final-Recipient: rfc822; no@x.example\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; full@x.example\nAction: failed\nStatus: 5.2.2\n"
    )
    assert [one.recipient for one in status.recipients] == ["ok@x.example", "no@x.example", "full@x.example"]
    assert status.told.recipient == "no@x.example"
    assert not status.succeeds


def test_recipient_that_is_no_address_gives_way_to_the_original_one() -> None:
    status = read_delivery_status(
        "Original-Recipient: rfc822;<a@x.example>\nFinal-Recipient: system;<>\nAction: failed\n"
    )
    assert status.told.recipient == "a@x.example"


def test_blocks_without_a_recipient_count_as_one() -> None:
    status = read_delivery_status("Action: failed\n\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 no\n")
    assert (status.told.action, status.told.status, status.told.message) == ("failed", "5.0.0", "550 no")


def test_utf8_addresses() -> None:
    status = read_delivery_status("Final-Recipient: utf-8; \\x{4F8B}@\\x{4F8B}.example\nAction: failed\n")
    assert status.told.recipient == "例@例.example"
    raw = multipart(
        ("message/global-delivery-status", "Final-Recipient: utf-8; 例@x.example\nAction: failed\nStatus: 5.1.1")
    )
    bounce = read_bounce(read_source(raw))
    assert bounce is not None
    assert bounce.recipient == "例@x.example"


@pytest.mark.parametrize(
    ("status", "message", "precise"),
    [
        ("5.0.0", "550 5.7.26 not authenticated", "5.7.26"),
        ("5.1.0", "550 5.1.0 unknown 550 5.2.2 full", "5.2.2"),
        ("5.1.1", "552 5.2.2 full", "5.1.1"),
        ("4.0.0", "550 5.1.1 no", "4.0.0"),
        (None, "550 5.1.1 no", "5.1.1"),
        (None, "refused by 5.5.1.2", None),
        ("5.0.0", None, "5.0.0"),
    ],
)
def test_status_that_says_nothing_gives_way(status: str | None, message: str | None, precise: str | None) -> None:
    assert precise_status(status, message) == precise


def test_delivery_report() -> None:
    delivered = POSTFIX.replace("failed", "delivered (to the mailbox)").replace("5.1.1", "2.1.5")
    assert read_delivery_report(dsn(delivered)) == {
        "reportingMta": {"label": "dns", "value": "Mail.Sender.Example"},
        "xPostfixQueueId": "4F00",
        "arrivalDate": "2026-11-21T09:00:00.000Z",
        "finalRecipient": {"label": "rfc822", "value": "you@receiver.example"},
        "originalRecipient": {"label": "rfc822", "value": "alias@receiver.example"},
        "action": "delivered (to the mailbox)",
        "status": "2.1.5",
        "remoteMta": {"label": "dns", "value": "MX.Receiver.Example"},
        "diagnosticCode": {"label": "smtp", "value": "550 2.1.5 No such user"},
    }
    assert read_delivery_report(dsn(POSTFIX)) is None


def test_date_that_is_none_is_told_as_it_stands() -> None:
    delayed = POSTFIX.replace("Action: failed", "Action: delayed").replace("Sat, 21 Nov 2026 10:00:00 +0100", "lately")
    report = read_delivery_report(dsn(delayed))
    assert report is not None
    assert report["arrivalDate"] == "lately"


def test_status_in_an_embedded_message_is_no_report_of_the_outer_one() -> None:
    inner = multipart(("message/delivery-status", POSTFIX.replace("failed", "delivered"))).decode()
    assert read_delivery_report(read_source(multipart(("message/rfc822", inner)))) is None


def test_message_without_a_recipient_is_no_bounce() -> None:
    assert read_bounce(read_source(b"From: mailer-daemon@x.example\nSubject: Returned mail\n\nHello\n")) is None
