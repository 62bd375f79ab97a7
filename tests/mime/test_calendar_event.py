"""Invitations: what is told of their events, and what becomes of hostile ones."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.calendar_event import MAX_CALENDAR_BYTES, MAX_EVENTS, CalendarEvent, read_events

_HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x\r\nMETHOD:REQUEST\r\n"
_TAIL = "END:VCALENDAR\r\n"


def calendar(*lines: str, head: str = "") -> bytes:
    """An invitation with one event."""
    event = "".join(f"{line}\r\n" for line in ("BEGIN:VEVENT", *lines, "END:VEVENT"))
    return (_HEAD + head + event + _TAIL).encode()


def test_an_invitation() -> None:
    data = calendar(
        "UID:1@example.com",
        "DTSTART;TZID=Europe/Berlin:20260701T100000",
        "DTEND;TZID=Europe/Berlin:20260701T113000",
        "SUMMARY:Lunch\\, long",
        "DESCRIPTION:First line\\nsecond",
        "ORGANIZER;CN=Ann:MAILTO:ann@example.com",
        "ATTENDEE:mailto:bob@example.com",
        "BEGIN:VALARM",
        "DESCRIPTION:not this",
        "END:VALARM",
    )
    assert read_events(data) == [
        CalendarEvent(
            uid="1@example.com",
            method="REQUEST",
            summary="Lunch, long",
            description="First line\nsecond",
            timezone="Europe/Berlin",
            start=datetime(2026, 7, 1, 8, 0, tzinfo=UTC),
            end=datetime(2026, 7, 1, 9, 30, tzinfo=UTC),
            organizer="ann@example.com",
        )
    ]


_ZONE = (
    "BEGIN:VTIMEZONE\r\nTZID:Own Zone\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nTZOFFSETFROM:+0200\r\n"
    "TZOFFSETTO:+0100\r\nRRULE:{standard}\r\nEND:STANDARD\r\nBEGIN:DAYLIGHT\r\nDTSTART:16010101T020000\r\n"
    "TZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3\r\nEND:DAYLIGHT\r\n"
    "END:VTIMEZONE\r\n"
)


@pytest.mark.parametrize(
    ("start", "head", "expected"),
    [
        ("DTSTART:20260701T100000Z", "", (2026, 7, 1, 10)),
        ("DTSTART:20260701T100000", "", (2026, 7, 1, 10)),
        ("DTSTART:20260701T100000", "X-WR-TIMEZONE:Europe/Berlin\r\n", (2026, 7, 1, 8)),
        ("DTSTART;VALUE=DATE:20260701", "", (2026, 7, 1, 0)),
        ("DTSTART;TZID=W. Europe Standard Time:20260701T100000", "", (2026, 7, 1, 8)),
        (
            "DTSTART;TZID=Own Zone:20260701T100000",
            _ZONE.format(standard="FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10"),
            (2026, 7, 1, 8),
        ),
        ("DTSTART;TZID=Nowhere/At All:20260701T100000", "", (2026, 7, 1, 10)),
        ("DTSTART;TZID=../../etc/passwd:20260701T100000", "", (2026, 7, 1, 10)),
        ("DTSTART:yesterday", "", None),
        ("DTSTART:00000000T000000Z", "", None),
        ("SUMMARY:no start", "", None),
    ],
)
def test_when_an_event_begins(start: str, head: str, expected: tuple[int, int, int, int] | None) -> None:
    [event] = read_events(calendar("UID:1", start, head=head))
    assert event.start == (None if expected is None else datetime(*expected, tzinfo=UTC))


def test_zones_of_one_calendar_are_none_of_the_next() -> None:
    for offset, hour in (("+0100", 9), ("-0500", 15), (None, 10)):
        zone = (
            "BEGIN:VTIMEZONE\r\nTZID:Customized Time Zone\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\n"
            f"TZOFFSETFROM:{offset}\r\nTZOFFSETTO:{offset}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
        )
        start = "DTSTART;TZID=Customized Time Zone:20260701T100000"
        [event] = read_events(calendar(start, head=zone if offset else ""))
        assert event.start == datetime(2026, 7, 1, hour, tzinfo=UTC)


def test_an_event_with_a_duration() -> None:
    [event] = read_events(calendar("DTSTART:20260701T100000Z", "DURATION:PT1H30M"))
    assert event.end == datetime(2026, 7, 1, 11, 30, tzinfo=UTC)
    [event] = read_events(calendar("DTSTART:99991231T100000Z", "DURATION:P9999W"))
    assert event.end is None


def test_folded_lines_and_other_charsets() -> None:
    data = calendar("SUMMARY:Grü\r\n ße", "UID:1").decode()
    assert read_events(data.encode())[0].summary == "Grüße"
    assert read_events(data.encode("latin-1"), "iso-8859-1")[0].summary == "Grüße"
    assert read_events(data.replace("\r\n", "\n").encode("latin-1"))[0].summary == "Grüße"


_OBSERVANCE = "BEGIN:STANDARD\r\nDTSTART:20200101T000000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nEND:STANDARD\r\n"


@pytest.mark.parametrize(
    "zone",
    [
        f"BEGIN:VTIMEZONE\r\nTZID:A\r\n{_OBSERVANCE}TZID:B\r\nEND:VTIMEZONE\r\n",
        "BEGIN:VTIMEZONE\r\nBEGIN:DAYLIGHT\r\nTZID:A\r\nEND:VTIMEZONE\r\nEND:VTIMEZONE\r\n",
        f"BEGIN:VTIMEZONE\r\nTZID:A\r\n{_OBSERVANCE}CATEGORIES;VALUE=RECUR:\\n\\;\r\nEND:VTIMEZONE\r\n",
    ],
    ids=range(3),
)
def test_zones_that_are_put_together_wrongly(zone: str) -> None:
    assert len(read_events(calendar("DTSTART:20260701T100000Z", head=zone))) <= 1


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=YEARLY;BYSECOND=1,2,3;BYHOUR=1,2",
        "FREQ=HOURLY;INTERVAL=1",
        "FREQ=YEARLY;INTERVAL=0",
        "FREQ=YEARLY;BYMONTH=1\r\nEXRULE:FREQ=SECONDLY",
        "FREQ=YEARLY;BYMONTH=1\r\nTZNAME:x\u2028RRULE:FREQ=SECONDLY",
        "FREQ=YEARLY;BYMONTH=1\r\nTZNAME:\x85RRULE:FREQ=SECONDLY",
    ],
)
def test_a_zone_whose_rule_takes_for_ever(rule: str) -> None:
    started = time.process_time()
    data = calendar("DTSTART;TZID=Own Zone:20260701T100000", head=_ZONE.format(standard=rule))
    assert len(read_events(data)) == 1
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "rule", ["FREQ=YEARLY;BYDAY=MO", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYMONTH=3"]
)
def test_a_zone_of_very_many_rules(rule: str) -> None:
    block = (
        f"BEGIN:STANDARD\r\nDTSTART:00010101T000000\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nRRULE:{rule}\r\n"
        "END:STANDARD\r\n"
    )
    head = f"BEGIN:VTIMEZONE\r\nTZID:Rich Zone\r\n{block * 900}END:VTIMEZONE\r\n"
    started = time.process_time()
    assert len(read_events(calendar("DTSTART;TZID=Rich Zone:20260701T100000", head=head))) == 1
    assert time.process_time() - started < 30


@pytest.mark.parametrize(
    "data",
    [
        b"BEGIN:VEVENT\r\n" * 30_000,
        b"BEGIN:VCALENDAR\r\n" * 30_000,
        (_HEAD + "BEGIN:VEVENT\r\nUID:x\r\nEND:VEVENT\r\n" * 15_000 + _TAIL).encode(),
        calendar("SUMMARY" + ';X="y"' * 80_000 + ":z"),
        calendar("SUMMARY:" + "\\\\" * 200_000),
        calendar("DESCRIPTION:" + "x\r\n " * 100_000),
        calendar(*["DTSTART:20260101T000000Z"] * 15_000),
        calendar("RDATE:" + "20260101," * 50_000),
        bytes(500_000),
        b"BEGIN:VCALENDAR\r\n" + b"\xff\xfe;:" * 100_000,
    ],
    ids=range(10),
)
def test_hostile_calendars_take_no_time(data: bytes) -> None:
    started = time.process_time()
    assert len(read_events(data)) <= MAX_EVENTS
    assert time.process_time() - started < 5


def test_one_that_is_too_large_is_not_read() -> None:
    assert read_events(calendar("UID:1") + b" " * MAX_CALENDAR_BYTES) == []


_SOME_LINES = _ZONE.split("\r\n") + calendar("UID:1", "DTSTART:x", "DURATION:x").decode().split("\r\n")


@given(st.lists(st.sampled_from(_SOME_LINES), max_size=30))
def test_any_lines_are_read(lines: list[str]) -> None:
    read_events("\r\n".join(lines).encode())


def test_a_long_description_is_told_by_its_beginning() -> None:
    [event] = read_events(calendar("UID:1", "DESCRIPTION:" + "x" * 100_000))
    assert event.description is not None and 30_000 < len(event.description) < 33_000
