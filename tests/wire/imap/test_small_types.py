"""Mailbox names, sequence sets, flags and dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.date import format_date, format_date_time, parse_date, parse_date_time
from mailquay.wire.imap.flag import SEEN, format_flags, parse_flags
from mailquay.wire.imap.mailbox_name import decode_mailbox, decode_utf7, encode_mailbox, encode_utf7
from mailquay.wire.imap.sequence_set import STAR, NumberSet, SeqSet, UidSet
from tests import strategies

# Mailbox names


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"inBox", "INBOX"),
        (b"inbox/sub", "inbox/sub"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"Entw&APw-rfe", "Entwürfe"),
        (b"R&-D", "R&D"),
        (b"&2D3cqA-", "💨"),
        (b"", ""),
    ],
)
def test_mailbox_names(wire: bytes, name: str) -> None:
    assert decode_mailbox(wire) == (name, None)
    if wire.upper() != b"INBOX" and wire:
        assert encode_mailbox(name) == wire


@given(strategies.mailbox_names)
def test_mailbox_names_round_trip(name: str) -> None:
    assert decode_utf7(encode_utf7(name)) == name
    assert decode_mailbox(encode_mailbox(name)) == (name, None)
    assert decode_mailbox(encode_mailbox(name, utf8=True), utf8=True) == (name, None)
    assert encode_mailbox(name).isascii()


@given(st.binary(max_size=40))
def test_any_bytes_are_a_name_that_can_be_addressed_again(wire: bytes) -> None:
    name, bytes_to_use = decode_mailbox(wire)
    if name != "INBOX" and not any(byte in wire for byte in b"\r\n\0") and wire:
        assert encode_mailbox(name if bytes_to_use is None else bytes_to_use) == wire


@pytest.mark.parametrize("wire", [b"a&", b"a&APw", b"&AP-", b"&####-", b"&2D0-", b"B\xc3\xbcro", b"\xff", b"&AGE-"])
def test_broken_names_keep_their_bytes(wire: bytes) -> None:
    name, bytes_to_use = decode_mailbox(wire)
    assert bytes_to_use == wire
    assert name


@pytest.mark.parametrize("name", ["", "a\r\nb", "a\nA2 DELETE x", "a\0", b"a\r\n", "\ud800"])
def test_names_that_must_not_be_sent(name: str | bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_mailbox(name)
    with pytest.raises(LocalProtocolError):
        encode_mailbox(name, utf8=True)


# Sequence sets


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        (b"1", b"1"),
        (b"5,3,4,1", b"1,3:5"),
        (b"9:7", b"7:9"),
        (b"1:3,2:6", b"1:6"),
        (b"*", b"*"),
        (b"*:5", b"5:*"),
        (b"1:*,7", b"1:*"),
        (b"4294967295,*", b"4294967295,*"),
        (b"4294967295", b"4294967295"),
    ],
)
@pytest.mark.parametrize("kind", [SeqSet, UidSet])
def test_sets_are_sorted_and_merged(kind: type[NumberSet], raw: bytes, normal: bytes) -> None:
    assert kind.parse(raw).encode() == normal
    assert kind.parse(normal) == kind.parse(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"0", b"0:*", b"1,,2", b"a", b"1:2:3", b"4294967296", b"-1", b"1 ", b"99999999999"]
)
def test_malformed_sets_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        UidSet.parse(raw)


def test_sets_have_a_limit() -> None:
    with pytest.raises(RemoteProtocolError):
        UidSet.parse(b"1,3,5,7", max_ranges=3)
    assert len(UidSet.parse(b"1,3,5", max_ranges=3)) == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: UidSet([]),
        lambda: UidSet.of([]),
        lambda: UidSet.of([0, 1]),
        lambda: UidSet.of([5, -1]),
        lambda: UidSet.span(0),
        lambda: UidSet.span(1, STAR + 1),
        lambda: list(UidSet.span(1)),
        lambda: len(UidSet.span(1)),
    ],
)
def test_zero_and_nothing_are_never_sent(make: Callable[[], object]) -> None:
    with pytest.raises(LocalProtocolError):
        make()


@given(st.sets(st.integers(1, 300), min_size=1), st.integers(1, 50))
def test_sets_hold_what_they_were_made_of(numbers: set[int], size: int) -> None:
    made = UidSet.of(numbers)
    assert list(made) == sorted(numbers)
    assert len(made) == len(numbers)
    assert {number for number in range(302) if number in made} == numbers
    pieces = list(made.split(size))
    assert all(len(piece) <= size for piece in pieces)
    assert [number for piece in pieces for number in piece] == sorted(numbers)
    assert UidSet.parse(made.encode()) == made


@given(st.sets(st.integers(1, 60), min_size=1), st.sets(st.integers(1, 60), min_size=1))
def test_overlaps(first: set[int], second: set[int]) -> None:
    assert UidSet.of(first).overlaps(UidSet.of(second)) == bool(first & second)


def test_open_sets() -> None:
    assert 4_000_000_000 in UidSet.span(7)
    assert 6 not in UidSet.span(7)
    assert UidSet.span(7).overlaps(UidSet.of([9]))
    assert not UidSet.span(7).overlaps(UidSet.of([3]))
    assert UidSet.span(3).resolve(9) == UidSet.span(3, 9)
    assert UidSet.span(12).resolve(9) == UidSet.of([9])
    assert UidSet.parse(b"*").resolve(9) == UidSet.of([9])
    assert UidSet.of([12]).resolve(9) is None
    assert UidSet.span(1).resolve(0) is None


def test_uids_and_sequence_numbers_differ() -> None:
    assert UidSet.of([1]) != SeqSet.of([1])
    assert len({UidSet.of([1]), SeqSet.of([1]), UidSet.of([1])}) == 2
    assert repr(UidSet.of([1, 2])) == "UidSet(1:2)"
    with pytest.raises(AttributeError):
        UidSet.of([1]).ranges = ()


# Flags


def test_flags_ignore_the_case_of_system_flags() -> None:
    assert parse_flags(b"\\SEEN \\flagged Work  $junk") == frozenset({SEEN, "\\Flagged", "Work", "$junk"})
    assert parse_flags(b"") == frozenset()
    assert parse_flags(b"\\Seen " * 100) == frozenset({SEEN})


@given(strategies.flag_sets)
def test_flags_round_trip(flags: frozenset[str]) -> None:
    assert parse_flags(format_flags(flags)[1:-1]) == flags


@pytest.mark.parametrize("flag", ["a b", "x)", "\\", "", "a\r\nA2 LOGOUT", 'q"', "ü", "a{1}", "\\Se\\en"])
def test_what_is_no_flag_is_not_sent(flag: str) -> None:
    with pytest.raises(LocalProtocolError):
        format_flags(frozenset({flag}))


# Dates

CEST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("raw", "moment"),
    [
        (b"17-Jul-1996 02:44:25 -0700", datetime(1996, 7, 17, 2, 44, 25, tzinfo=timezone(-timedelta(hours=7)))),
        (b" 2-Nov-2026 10:00:00 +0200", datetime(2026, 11, 2, 10, 0, tzinfo=CEST)),
        (b"2-nov-2026 10:00:00 +0200", datetime(2026, 11, 2, 10, 0, tzinfo=CEST)),
        (b"31-Dec-2016 23:59:60 +0000", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_date_times(raw: bytes, moment: datetime) -> None:
    assert parse_date_time(raw) == moment
    assert parse_date_time(raw).utcoffset() == moment.utcoffset()


@given(strategies.moments)
def test_date_times_round_trip(moment: datetime) -> None:
    parsed = parse_date_time(format_date_time(moment))
    assert (parsed, parsed.utcoffset()) == (moment, moment.utcoffset())


@given(st.dates())
def test_dates_round_trip(day: date) -> None:
    assert parse_date(format_date(day)) == day


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"31-Feb-2026 10:00:00 +0000",
        b"01-Foo-2026 10:00:00 +0000",
        b"01-Jan-2026 25:00:00 +0000",
        b"01-Jan-2026 10:00:00 +9999",
        b"01-Jan-2026 10:00:00",
        b"01-Jan-2026T10:00:00 +0000",
        b"\xff1-Jan-2026 10:00:00 +0000",
        b"01-Jan-2026 1x:00:00 +0000",
        b"01-Jan-0000 10:00:00 +0000",
    ],
)
def test_what_is_no_date_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_date_time(raw)
    with pytest.raises(RemoteProtocolError):
        parse_date(raw)
