"""Bounces in prose: one message for each family of wording, as its servers write it."""

from __future__ import annotations

import pytest

from mailquay.reports.bounce import Bounce, read_bounce
from mailquay.reports.source import MAX_TEXT_CHARACTERS, read_source
from mailquay.reports.verdict import judge
from tests.reports.messages import multipart, notice

BELOW = (
    "\n--- Below this line is a copy of the message.\n\nReturn-Path: <me@s.example>\n"
    "Message-ID: <one@s.example>\nTo: x@y.example\n\nHi\n"
)

FAMILIES = {
    "postfix": (
        "<a@b.example>: host mx.b.example[192.0.2.1] said: 550 5.1.1 <a@b.example>: User\n"
        "    unknown (in reply to RCPT TO command)\n",
        ("a@b.example", "failed", "5.1.1", "mx.b.example", "550 5.1.1 <a@b.example>: User unknown"),
    ),
    "postfix-expanded": (
        "<a@b.example> (expanded from <c@d.example>): host mx.b.example[192.0.2.1] said: 552 5.2.2 full\n",
        ("a@b.example", "failed", "5.2.2", "mx.b.example", "552 5.2.2 full"),
    ),
    "google": (
        "Delivery to the following recipient failed permanently:\n\n     a@b.example\n\n"
        "Technical details of permanent failure:\nThe recipient server did not accept our requests. The error was:\n"
        "550 5.1.1 No such user\n",
        ("a@b.example", "failed", "5.1.1", None, "550 5.1.1 No such user"),
    ),
    "google-delay": (
        "This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\n"
        "Delivery to the following recipient has been delayed:\n\n     a@b.example\n\n"
        "Message will be retried for 2 more day(s)\n\n"
        "450 4.2.2 mailbox full\n",
        ("a@b.example", "delayed", "4.2.2", None, "450 4.2.2 mailbox full"),
    ),
    "exchange-2003": (
        "Your message\n\n  To:      list@b.example\n  Subject: Hi\n\ndid not reach the following recipient(s):\n\n"
        "a@b.example on Thu, 29 Apr 2010 00:00:00 -0000\n    The recipient name is not recognized\n",
        ("a@b.example", "failed", None, None, "The recipient name is not recognized"),
    ),
    "exchange-affected": (
        "Could not be delivered because of\n\n550 5.1.1 User unknown\n\n"
        "The following recipients were affected:\n    a@b.example\n",
        ("a@b.example", "failed", "5.1.1", None, "550 5.1.1 User unknown"),
    ),
    "qmail": (
        "Hi. This is the qmail-send program at m.example.\n\n<a@b.example>:\n192.0.2.1 does not like recipient.\n"
        "Remote host said: 550 no such user (#5.1.1)\nGiving up on 192.0.2.1.\n",
        ("a@b.example", "failed", "5.1.1", None, "550 no such user (#5.1.1) Giving up on 192.0.2.1."),
    ),
    "yahoo": (
        "Sorry, we were unable to deliver your message to the following address.\n\n<a@b.example>:\n"
        "Remote host said:\n"
        "552 5.2.2 Mailbox Full\n[RCPT_TO]\n",
        ("a@b.example", "failed", "5.2.2", None, "552 5.2.2 Mailbox Full [RCPT_TO]"),
    ),
    "gmx": (
        'The following address\nfailed:\n\n"a@b.example":\nSMTP error from remote server after RCPT command:\n'
        "host: mx.b.example\n5.1.1 <a@b.example>... User Unknown\n",
        (
            *("a@b.example", "failed", "5.1.1", "mx.b.example"),
            "SMTP error from remote server after RCPT command: host: mx.b.example 5.1.1 <a@b.example>... User Unknown",
        ),
    ),
    "ironport": (
        "The message to <a@b.example> was undeliverable.\n\nReason:\n5.1.2 - Bad destination host\n",
        ("a@b.example", "failed", "5.1.2", None, "5.1.2 - Bad destination host"),
    ),
    "mail.ru": (
        "Your message was not delivered to the following address:\n\n<a@b.example>\n\n"
        "Remote host said: 550 user not found\n",
        ("a@b.example", "failed", None, None, "550 user not found"),
    ),
    "exim": (
        "This message was created automatically by mail delivery software.\n\n"
        "A message that you sent could not be delivered "
        "to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n"
        "  a@b.example\n"
        "    SMTP error from remote mail server after RCPT TO:<a@b.example>:\n"
        "    host mx.b.example [192.0.2.1]: 550 no\n    such user\n",
        ("a@b.example", "failed", None, "mx.b.example", "550 no such user"),
    ),
    "exim-warning": (
        "A message that you sent has not yet been delivered to one or more of its\n"
        "recipients after more than 24 hours.\n\n"
        "The address to which the message has not yet been delivered is:\n\n  a@b.example\n"
        "    Delay reason: connection timed out\n\nNo action is required on your part.\n",
        ("a@b.example", "delayed", None, None, "connection timed out"),
    ),
    "carrier": (
        "Your mail sent on: Thu, 29 Apr 2013 00:00:00 +0900\n     Could not be delivered to: <a@b.example>\n"
        "     As their mailbox is full.\n",
        ("a@b.example", "failed", None, None, "As their mailbox is full."),
    ),
    "permanent-errors": (
        "1 error(s):\n\nThe following recipients returned permanent errors: a@b.example. Reason: refused [554 "
        "5.4.6 Hop count exceeded]\n",
        ("a@b.example", "failed", "5.4.6", None, "554 5.4.6 Hop count exceeded]"),
    ),
    "james": (
        "Error message below:\n550 - Requested action not taken: no such user here\n\nMessage details:\n"
        "  MAIL FROM: me@s.example\n"
        "  RCPT TO: a@b.example\n",
        ("a@b.example", "failed", None, None, "550 - Requested action not taken: no such user here"),
    ),
    "sendmail": (
        "   ----- Transcript of session follows -----\n550 <a@b.example>... User unknown\n",
        ("a@b.example", "failed", None, None, "550 <a@b.example>... User unknown"),
    ),
    "conversation": (
        "It was rejected.\n\n    >>> RCPT TO:<a@b.example>\n    <<< 550 <a@b.example>: User unknown\n",
        ("a@b.example", "failed", None, None, "550 <a@b.example>: User unknown"),
    ),
    "exim-generated": (
        "The following address(es) failed:\n\n  a@b.example\n    (generated from c@d.example)\n"
        "    Unrouteable address\n",
        ("a@b.example", "failed", None, None, "Unrouteable address"),
    ),
    "gmail-incomplete": (
        "** Delivery incomplete **\n\nThere was a temporary problem delivering your message to a@b.example. "
        "Gmail will retry for 46 more hours.\n\nThe response was:\n\n451 4.4.2 Timeout\n",
        ("a@b.example", "delayed", "4.4.2", None, "451 4.4.2 Timeout"),
    ),
    "notes": (
        "------- Failure Reasons  --------\n\nUser not listed in public Name & Address Book\na@b.example\n",
        ("a@b.example", "failed", None, None, "User not listed in public Name & Address Book"),
    ),
    "workmail-like": (
        "An error occurred.\n\nTechnical report:\n\nReporting-MTA: dsn; mta.example\n"
        "Final-Recipient: rfc822; a@b.example\n"
        "Action: failed\nDiagnostic-Code: smtp; 550 5.1.1 User Unknown\nStatus: 5.1.1\n",
        ("a@b.example", "failed", "5.1.1", "mta.example", "550 5.1.1 User Unknown"),
    ),
}


def told(bounce: Bounce | None) -> tuple[str | None, ...]:
    assert bounce is not None
    return bounce.recipient, bounce.action, bounce.status, bounce.mta, bounce.message


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str) -> None:
    text, expected = FAMILIES[family]
    bounce = read_bounce(notice(text + BELOW))
    assert told(bounce) == expected
    assert bounce is not None
    assert bounce.message_id == "<one@s.example>"


def test_header_names_the_recipient() -> None:
    text = "We're writing to let you know that the group may not exist."
    bounce = read_bounce(notice(text, header="X-Failed-Recipients: a@b.example,\n c@d.example\n"))
    assert bounce is not None
    assert (bounce.recipient, bounce.action) == ("a@b.example", "failed")


def test_addresses_of_the_returned_message_are_no_recipients() -> None:
    assert read_bounce(notice("Something went wrong.\n" + BELOW)) is None


def test_only_the_beginning_of_the_text_is_read() -> None:
    found = "<a@b.example>: host mx.b.example[192.0.2.1] said: 550 no\n"
    assert read_bounce(notice("x\n" * (MAX_TEXT_CHARACTERS // 2 - 100) + found)) is not None
    assert read_bounce(notice("x\n" * (MAX_TEXT_CHARACTERS // 2) + found)) is None


def test_original_of_zoho_is_indented() -> None:
    raw = multipart(
        ("text/plain", "could not be delivered to: <a@b.example>\n"),
        ("text/rfc822", "   Message-ID:<zoho@s.example>\n   To:<a@b.example>\n"),
        header="X-Mailer: Zoho Mail\n",
    )
    bounce = read_bounce(read_source(raw))
    assert bounce is not None
    assert bounce.message_id == "<zoho@s.example>"


def test_what_people_write_of_a_failure_is_no_bounce() -> None:
    text = "Have a look: delivery to bob@receiver.example failed, 550 5.1.1 no such user."
    enclosed = ("message/rfc822", "Subject: Hi\nMessage-ID: <one@s.example>\n\nHi\n")
    raw = multipart(("text/plain", text), enclosed, header="Return-Path: <ann@s.example>\n")
    raw = raw.replace(b"Mail Delivery System <mailer-daemon@mx.example>", b"Ann <ann@s.example>")
    raw = raw.replace(b"Subject: Undelivered Mail Returned to Sender", b"Subject: this one failed")
    assert judge(read_source(raw)).bounce is None
    assert judge(read_source(raw.replace(b"<ann@s.example>\nMIME", b"<>\nMIME"))).bounce is not None
    assert judge(read_source(b"Auto-Submitted: auto-generated\n" + raw)).bounce is not None
