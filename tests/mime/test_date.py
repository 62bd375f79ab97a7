from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailquay.mime.date import format_date, parse_date

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Fri, 02 Jan 2026 12:00:00 +0000",
        "Fri, 2 Jan 2026 13:00:00 +0100 (CET)",
        "2 Jan 26 12:00 GMT",
        "Fri, 02 Jan 2026 07:00:00 EST",
        "Fri, 02 Jan 2026 12:00:00",
        "02-Jan-2026 12:00:00 UT",
        "Friday, 02 January 2026 12.00.00 Z",
        "Fri Jan  2 12:00:00 2026",
        "Fri Jan  2 12:00:00 UTC 2026",
        "2026-01-02T12:00:00.123Z",
        "2026-01-02 13:00:00 +01:00",
        "Mon, 02 Jan 2026 12:00:00 GMT+0000",
        "  Fri , 02 Jan 2026 12:00:00 +0000".replace(" ,", ","),
    ],
)
def test_forms(text: str) -> None:
    assert parse_date(text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "tomorrow", "32 Jan 2026 12:00:00", "2 Foo 2026 12:00:00", "2 Jan 2026 25:00:00", "(" * 500),
        "2 Jan 0000 12:00:00 +9999",
        "31 Dec 9999 23:59:59 -2359",
    ],
)
def test_what_is_no_date(text: str | None) -> None:
    assert parse_date(text) is None


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(lambda d: d.replace(microsecond=0)),
    st.integers(-14 * 60, 14 * 60),
)
def test_round_trip(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_date(format_date(aware)) == aware


@given(st.text(max_size=60))
def test_never_fails(text: str) -> None:
    parse_date(text)
