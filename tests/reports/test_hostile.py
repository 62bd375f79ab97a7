"""Reports of strangers: whatever is written into them, reading takes time in proportion to their size."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import pytest

from mailquay.reports.classification import classify
from mailquay.reports.public import verdict_data
from mailquay.reports.reply import MAX_REPLY_CHARACTERS
from mailquay.reports.source import MAX_HELD_BYTES, MAX_PART_BYTES, SourceReader, read_source
from mailquay.reports.verdict import judge
from tests.reports.messages import dsn, multipart

HEADER = b"From: mailer-daemon@x.example\nSubject: failure notice\nX-Mailer: zoho\n"
PROSE = HEADER + b"Content-Type: text/plain\n\n"
STATUS = HEADER + (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nx\n"
    b"--b\nContent-Type: message/delivery-status\n\n"
)

HOSTILE: dict[str, tuple[bytes, bytes]] = {
    "at signs": (PROSE, b"a@"),
    "angles": (PROSE, b"<"),
    "addresses": (PROSE, b"<a@b.example>:\n"),
    "introductions": (PROSE, b"following address\n"),
    "addresses introduced": (PROSE, b"following address a@b.example\n\n"),
    "introductions of nothing": (PROSE, b"delivery to\nx\n\n\n"),
    "hosts": (PROSE + b"<a@b.example>: ", b"host host "),
    "labels": (PROSE + b"<a@b.example>: ", b"a."),
    "parentheses": (PROSE + b"<a@b.example>: ", b"(in reply to"),
    "statuses": (PROSE, b"5.1."),
    "replies": (PROSE, b"550 "),
    "returned headers": (PROSE, b"x\nReceived: a\n"),
    "ids": (PROSE, b"Message-ID: <"),
    "blanks": (PROSE, b" "),
    "blank lines": (PROSE, b"\n"),
    "indented lines": (PROSE, b"\n            "),
    "recipients": (STATUS, b"Final-Recipient: rfc822; a@b\n\n"),
    "fields": (STATUS, b"A: b\n"),
    "folded lines": (STATUS + b"A: b\n", b" c\n"),
    "failed recipients": (HEADER + b"X-Failed-Recipients: ", b"<"),
    "embedded messages": (
        HEADER + b"Content-Type: multipart/mixed; boundary=b\n\n",
        b"--b\nContent-Type: message/rfc822\n\nA: b\n\n",
    ),
    "markup": (HEADER + b"Content-Type: text/html\n\n", b"<div>"),
}


def seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    return min(once() for _ in range(3))


@pytest.mark.parametrize("name", HOSTILE)
def test_four_times_as_much_takes_about_four_times_as_long(name: str) -> None:
    begin, repeated = HOSTILE[name]
    small, large = (begin + repeated * (size // len(repeated)) for size in (12_000, 48_000))
    # What is constant, and the clock's steps, weigh more than the text when that is short.
    assert seconds(lambda: judge(read_source(large))) < 8 * seconds(lambda: judge(read_source(small))) + 0.05


@pytest.mark.parametrize("name", HOSTILE)
def test_more_than_is_read_costs_no_more(name: str) -> None:
    begin, repeated = HOSTILE[name]
    assert seconds(lambda: judge(read_source(begin + repeated * (3_000_000 // len(repeated))))) < 5


_RETURNED = HEADER + (
    b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nAction: failed\n"
    b"Diagnostic-Code: smtp; 550 5.1.1 no\n\n--b\nContent-Type: text/rfc822-headers\n\nTo: "
)


@pytest.mark.parametrize(
    "begin", [b"From: ", HEADER + b"X-Failed-Recipients: ", _RETURNED], ids=["from", "failed", "to"]
)
def test_addresses_without_end_cost_what_a_few_thousand_cost(begin: bytes) -> None:
    """A megabyte of them is read from each of eight messages, within 30 seconds for all."""
    some, many = (read_source(begin + b"a@" * (size // 2)) for size in (100_000, 1_000_000))
    assert seconds(lambda: judge(many)) < 3 * seconds(lambda: judge(some)) + 0.1


@pytest.mark.parametrize("word", ["wait ", "greylisting ", "after 1 ", " ", "try again later ", "1.", "5.7.1 "])
def test_replies_are_judged_up_to_a_limit(word: str) -> None:
    assert seconds(lambda: classify(word * 200_000)) < 1
    assert classify("x" * MAX_REPLY_CHARACTERS + " user unknown").category == "unknown"


def test_no_more_is_held_than_the_limits_say() -> None:
    reader = SourceReader()
    reader.feed(HEADER + b"Content-Type: multipart/mixed; boundary=b\n\n")
    for _ in range(8):
        reader.feed(b"--b\nContent-Type: text/plain\n\n")
        for _ in range(32):
            reader.feed(b"x" * 65536)
        reader.feed(b"\n")
    source = reader.finish()
    assert max(len(part.content) for part in source.parts) == MAX_PART_BYTES
    assert sum(len(part.content) for part in source.parts) == MAX_HELD_BYTES


def test_pieces_of_any_size_read_the_same() -> None:
    raw = multipart(
        ("text/plain", "It failed."),
        ("message/delivery-status", "Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n"),
        ("message/rfc822", "Message-ID: <one@s.example>\nSubject: Hi\n\nHello\n"),
    )
    whole = judge(read_source(raw))
    assert whole.bounce is not None
    for size in (1, 2, 3, 7, 64):
        reader = SourceReader()
        for start in range(0, len(raw), size):
            reader.feed(raw[start : start + size])
        assert judge(reader.finish()) == whole


def test_noise_is_never_an_error() -> None:
    chance = random.Random(18)
    raw = multipart(
        ("text/plain", "<a@b.example>: host mx[192.0.2.1] said: 550 5.1.1 no"),
        ("message/delivery-status", "Final-Recipient: utf-8; \\x{110000}@b\nAction: failed\nStatus: 5\n"),
        ("message/rfc822", "Message-ID: <one@s.example>\n\n"),
    )
    for _ in range(300):
        noisy = bytearray(raw)
        for _ in range(chance.randrange(1, 30)):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        json.dumps(verdict_data(judge(read_source(bytes(noisy)))), ensure_ascii=False).encode("utf-8")
    assert judge(dsn("Final-Recipient: rfc822; a@b.example\nAction: failed\n")).bounce is not None
