"""What refusals mean: words first, then enhanced codes, then three digits."""

from __future__ import annotations

import pytest

from mailquay.reports.classification import RECOMMENDED, classify
from mailquay.reports.phrases import PHRASES


@pytest.mark.parametrize(
    ("message", "category", "action"),
    [
        ("550 5.1.1 <a@b.example>: User unknown", "user_unknown", "remove"),
        ("550 Requested action not taken: mailbox unavailable", "user_unknown", "remove"),
        ("Host or domain name not found. Name service error for name=b.example", "invalid_address", "remove"),
        (
            "554 30 Sorry, your message cannot be delivered. This account has been disabled",
            "mailbox_disabled",
            "remove",
        ),
        ("552 5.2.2 The email account is over quota", "mailbox_full", "retry"),
        ("450 4.2.0 Greylisted, try again in 5 minutes", "greylisting", "retry"),
        ("421 4.7.28 Too many messages from this sender", "rate_limited", "retry"),
        ("connect to mx.b.example[192.0.2.1]:25: Connection timed out", "server_error", "retry"),
        (
            "554 5.7.1 Service unavailable; client blocked using zen.spamhaus.org",
            "ip_blacklisted",
            "retry_different_ip",
        ),
        ("550 Mail from your country is not accepted", "geo_blocked", "retry_different_ip"),
        ("550 5.7.1 example.com is listed in dbl.spamhaus.org", "domain_blacklisted", "fix_configuration"),
        ("550 5.7.26 fails DMARC policy", "auth_failure", "fix_configuration"),
        ("554 5.7.1 <a@b.example>: Relay access denied", "relay_denied", "fix_configuration"),
        ("550 5.7.1 message looks like spam", "spam_blocked", "review"),
        ("550 Administrative prohibition", "policy_blocked", "review"),
        ("552 5.7.0 virus found in the attachment", "virus_detected", "remove_content"),
        ("it did not work", "unknown", "review"),
    ],
)
def test_words(message: str, category: str, action: str) -> None:
    judged = classify(message)
    assert (judged.category, judged.recommended_action) == (category, action)


@pytest.mark.parametrize(
    ("message", "status", "category"),
    [
        ("550 5.2.1 no", None, "mailbox_disabled"),
        ("550 5.2.1 rejected", None, "mailbox_disabled"),
        ("550 rejected", None, "policy_blocked"),
        ("553 5.1.8 Domain of sender address does not exist", None, "policy_blocked"),
        ("no", "5.2.1", "mailbox_disabled"),
        ("550 5.2.2 no", "5.2.1", "mailbox_full"),
        ("421 no", None, "greylisting"),
        ("571 no", None, "spam_blocked"),
        ("551 5.9.9 no", None, "relay_denied"),
        ("the 550 dollars at 192.168.1.550", None, "user_unknown"),
        (None, "4.7.28", "rate_limited"),
        (None, None, "unknown"),
    ],
)
def test_codes(message: str | None, status: str | None, category: str) -> None:
    assert classify(message, status).category == category


def test_every_category_has_an_action() -> None:
    assert {category for category, _ in PHRASES} | {"unknown"} == set(RECOMMENDED)


def test_phrases_are_in_lower_case_and_are_not_hidden_by_an_earlier_category() -> None:
    seen: dict[str, str] = {}
    for category, phrases in PHRASES:
        for phrase in phrases:
            assert phrase == phrase.lower()
            hidden = [earlier for earlier, of in seen.items() if earlier in phrase and of != category]
            assert not hidden, f"{phrase!r} of {category} is never reached for {hidden}"
        seen |= dict.fromkeys(phrases, category)


@pytest.mark.parametrize(
    ("message", "blocklist"),
    [
        ("blocked using zen.spamhaus.org", {"name": "Spamhaus ZEN", "type": "ip"}),
        ("see https://www.spamhaus.org/query", {"name": "Spamhaus", "type": "ip"}),
        ("listed in dbl.spamhaus.org", {"name": "Spamhaus DBL", "type": "domain"}),
        ("multi.uribl.com", {"name": "URIBL", "type": "uri"}),
        ("part of their network is on our block list (S3150)", {"name": "Microsoft Blocklist", "type": "ip"}),
        ("your host is in our RBL", {"name": "RBL", "type": "ip"}),
        (
            "listed by SpamCop and Barracuda, an RBL",
            {"lists": [{"name": "Barracuda", "type": "ip"}, {"name": "SpamCop", "type": "ip"}]},
        ),
        ("550 no such user", None),
        ("a problem with the public library", None),
    ],
)
def test_blocklists(message: str, blocklist: object) -> None:
    assert classify(message).blocklist == blocklist


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("please try again in 5 minutes", 300),
        ("wait 30 s", 30),
        ("greylisted for 600 seconds", 600),
        ("Greylisted for 300", 300),
        ("retry after 2 hours", 7200),
        ("try again after 90", 90),
        ("try again in 0 seconds", None),
        ("try again in 90000 seconds", None),
        ("try again later", None),
    ],
)
def test_retry_after(message: str, seconds: int | None) -> None:
    assert classify(message).retry_after_seconds == seconds
