"""formatDate: every token, every way to give a moment and an offset."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.templating.engine import Engine
from tests.templating.rendering import attempt, rendered


def _formatted(engine: Engine, value: Any, *more: Any) -> str:
    arguments = " ".join(json.dumps(one) for one in more)
    text = f"{{{{{{formatDate params {arguments}}}}}}}"
    result = attempt(engine, text, value)
    assert isinstance(result, str), result
    return result


_MOMENT = "2021-02-03T04:05:06.078Z"
_EVENING = "2024-11-22T23:15:09.400Z"


@pytest.mark.parametrize(
    ("token", "morning", "evening"),
    [
        ("YYYY", "2021", "2024"),
        ("YY", "21", "24"),
        ("Q", "1", "4"),
        ("MMMM", "February", "November"),
        ("MMM", "Feb", "Nov"),
        ("MM", "02", "11"),
        ("M", "2", "11"),
        ("Mo", "2nd", "11th"),
        ("DDDD", "034", "327"),
        ("DDD", "34", "327"),
        ("DD", "03", "22"),
        ("D", "3", "22"),
        ("Do", "3rd", "22nd"),
        ("dddd", "Wednesday", "Friday"),
        ("ddd", "Wed", "Fri"),
        ("dd", "We", "Fr"),
        ("d", "3", "5"),
        ("E", "3", "5"),
        ("ww", "06", "47"),
        ("w", "6", "47"),
        ("WW", "05", "47"),
        ("W", "5", "47"),
        ("HH", "04", "23"),
        ("H", "4", "23"),
        ("hh", "04", "11"),
        ("h", "4", "11"),
        ("kk", "04", "23"),
        ("k", "4", "23"),
        ("mm", "05", "15"),
        ("m", "5", "15"),
        ("ss", "06", "09"),
        ("s", "6", "9"),
        ("SSS", "078", "400"),
        ("A", "AM", "PM"),
        ("a", "am", "pm"),
        ("Z", "+00:00", "+00:00"),
        ("ZZ", "+0000", "+0000"),
        ("X", "1612325106", "1732317309"),
        ("x", "1612325106078", "1732317309400"),
        ("L", "02/03/2021", "11/22/2024"),
        ("LL", "February 3, 2021", "November 22, 2024"),
        ("LLL", "February 3, 2021 4:05 AM", "November 22, 2024 11:15 PM"),
        ("LLLL", "Wednesday, February 3, 2021 4:05 AM", "Friday, November 22, 2024 11:15 PM"),
        ("LT", "4:05 AM", "11:15 PM"),
        ("LTS", "4:05:06 AM", "11:15:09 PM"),
        ("[YYYY at] H", "YYYY at 4", "YYYY at 23"),
        ("YYYY-MM-DDTHH:mm:ss.SSSZ", "2021-02-03T04:05:06.078+00:00", "2024-11-22T23:15:09.400+00:00"),
        ("D. MMMM YYYY, H.mm", "3. February 2021, 4.05", "22. November 2024, 23.15"),
        ("[]", "", ""),
        ("[D", "[3", "[22"),
        ("", "", ""),
    ],
)
def test_tokens(engine: Engine, token: str, morning: str, evening: str) -> None:
    assert _formatted(engine, _MOMENT, token) == morning
    assert _formatted(engine, _EVENING, token) == evening


def test_noon_and_midnight(engine: Engine) -> None:
    form = "H HH h hh k kk A a"
    assert _formatted(engine, "2021-01-01T00:30Z", form) == "0 00 12 12 24 24 AM am"
    assert _formatted(engine, "2021-01-01T12:30Z", form) == "12 12 12 12 12 12 PM pm"


def test_ordinals(engine: Engine) -> None:
    shown = [_formatted(engine, f"2021-01-{day:02}", "Do") for day in range(1, 32)]
    special = {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd", 31: "31st"}
    assert shown == [special.get(day, f"{day}th") for day in range(1, 32)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2021", "2021-01-01T00:00:00.000"),
        ("2021-02", "2021-02-01T00:00:00.000"),
        ("2021-02-03", "2021-02-03T00:00:00.000"),
        ("20210203", "2021-02-03T00:00:00.000"),
        ("2021-034", "2021-02-03T00:00:00.000"),
        ("2021-W05", "2021-02-01T00:00:00.000"),
        ("2021-W05-3", "2021-02-03T00:00:00.000"),
        ("2020W537", "2021-01-03T00:00:00.000"),
        ("2021-02-03T04", "2021-02-03T04:00:00.000"),
        ("2021-02-03 04:05", "2021-02-03T04:05:00.000"),
        ("20210203T040506", "2021-02-03T04:05:06.000"),
        ("2021-02-03T04:05:06,5", "2021-02-03T04:05:06.500"),
        ("2021-02-03T04:05:06.123456789Z", "2021-02-03T04:05:06.123"),
        ("2021-02-03T04:05:06+02:00", "2021-02-03T02:05:06.000"),
        ("2021-02-03T04:05:06-0530", "2021-02-03T09:35:06.000"),
        ("2021-02-03T04:05:06+02", "2021-02-03T02:05:06.000"),
        ("2021-02-03T24:00", "2021-02-04T00:00:00.000"),
        (" 2021-02-03 ", "2021-02-03T00:00:00.000"),
        ("2024-02-29", "2024-02-29T00:00:00.000"),
        (0, "1970-01-01T00:00:00.000"),
        (-1, "1969-12-31T23:59:59.999"),
        (1612325106078.9, "2021-02-03T04:05:06.078"),
        (None, "2020-09-13T12:26:40.123"),
    ],
)
def test_moments(engine: Engine, value: Any, expected: str) -> None:
    assert _formatted(engine, value, "YYYY-MM-DDTHH:mm:ss.SSS") == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "2021-13-01",
        "2021-00-01",
        "2021-02-30",
        "2021-02-00",
        "2023-02-29",
        "2021-366",
        "2021-000",
        "2021-W53",
        "2021-W00",
        "2021-W05-8",
        "2021-W05-0",
        "2021-02-03T25:00",
        "2021-02-03T24:01",
        "2021-02-03T04:60",
        "2021-02-03T04:05:60",
        "2021-02-03Z",
        "2021-2-3",
        "Tue, 01 Nov 2016 01:23:45 GMT",
        "1612325106078",
        8.7e15,
        1e300,
        True,
        [],
        {},
        "2" * 1_000_000,
        "2021-02-03T04:05:06." + "1" * 1_000_000,
    ],
)
def test_what_is_no_moment(engine: Engine, value: Any) -> None:
    assert _formatted(engine, value, "YYYY") == "Invalid date"


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("-0500", "2021-02-02 23:05 -05:00 -0500"),
        ("+03:00", "2021-02-03 07:05 +03:00 +0300"),
        ("+02", "2021-02-03 06:05 +02:00 +0200"),
        ("Z", "2021-02-03 04:05 +00:00 +0000"),
        (90, "2021-02-03 05:35 +01:30 +0130"),
        (-90, "2021-02-03 02:35 -01:30 -0130"),
        ("-300", "2021-02-02 23:05 -05:00 -0500"),
        ("nonsense", "2021-02-03 04:05 +00:00 +0000"),
        (None, "2021-02-03 04:05 +00:00 +0000"),
    ],
)
def test_offsets(engine: Engine, offset: Any, expected: str) -> None:
    assert _formatted(engine, _MOMENT, "YYYY-MM-DD HH:mm Z ZZ", offset) == expected
    assert _formatted(engine, _MOMENT, "X x", offset) == "1612325106 1612325106078"


def test_an_offset_beyond_all_days(engine: Engine) -> None:
    assert _formatted(engine, 0, "YYYY", 10**15) == "Invalid date"


def test_without_a_format(engine: Engine) -> None:
    assert rendered(engine, "{{formatDate params}}", _MOMENT) == "2021-02-03T04:05:06+00:00"
    assert rendered(engine, "{{formatDate}}") == "2020-09-13T12:26:40+00:00"
    assert rendered(engine, "{{formatDate params.unknown 'YYYY'}}", {}) == "2020"


def _sunday_week(day: date) -> int:
    saturday = day + timedelta(days=6 - day.isoweekday() % 7)
    return (saturday.timetuple().tm_yday - 1) // 7 + 1


@given(st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_dates_agree_with_the_calendar(moment: datetime, minutes: int) -> None:
    local = moment.replace(tzinfo=UTC, microsecond=0).astimezone(timezone(timedelta(minutes=minutes)))
    shown = _formatted(_ENGINE, moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20), "YYYY DDD E W w H m s x", minutes)
    expected = [
        f"{local.year:04}",
        local.timetuple().tm_yday,
        local.isoweekday(),
        local.isocalendar().week,
        _sunday_week(local.date()),
        local.hour,
        local.minute,
        local.second,
        round(local.timestamp() * 1000),
    ]
    assert shown == " ".join(map(str, expected))


_ENGINE = Engine()
