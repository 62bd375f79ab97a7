"""Dates: INTERNALDATE with time and zone, and the day-only dates of SEARCH (RFC 9051 §9, date-time and date)."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

from mailquay.errors import RemoteProtocolError

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower().encode(): number for number, name in enumerate(_MONTHS, 1)}
_DATE_TIME = re.compile(rb" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_USUAL_LENGTH = 26
_BLANK = 0x20
_DATE = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})")


@lru_cache(maxsize=4096)
def _iso_day(raw: bytes) -> bytes:
    """`17-Jul-2026` as `2026-07-17 `. Raises RemoteProtocolError or ValueError when it is no date."""
    return parse_date(raw.strip()).isoformat().encode("ascii") + b" "


def parse_date_time(raw: bytes) -> datetime:
    """Read the inside of an INTERNALDATE. Raises RemoteProtocolError when it is no date."""
    if len(raw) == _USUAL_LENGTH and raw[11] == raw[20] == _BLANK:
        try:
            return datetime.fromisoformat((_iso_day(raw[:11]) + raw[12:20] + raw[21:]).decode("ascii"))
        except (ValueError, RemoteProtocolError):
            # Rare spellings, and the leap second, which ISO parsing does not know, take the long way.
            return _parse_date_time(raw)
    return _parse_date_time(raw)


def _zone(sign: bytes, hours: bytes, minutes: bytes) -> timezone:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == b"-" else offset)


def _parse_date_time(raw: bytes) -> datetime:
    match = _DATE_TIME.fullmatch(raw)
    if match is None:
        raise RemoteProtocolError(f"not a date-time: {raw[:40]!r}")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    try:
        return datetime(
            int(year),
            _MONTH_NUMBERS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),
            tzinfo=_zone(sign, zone_hours, zone_minutes),
        )
    except (KeyError, ValueError) as error:
        raise RemoteProtocolError(f"not a date-time: {raw[:40]!r}") from error


def format_date_time(moment: datetime) -> bytes:
    """Write a date-time without quotes; a naive datetime counts as UTC, seconds below the minute of a zone are cut."""
    offset = moment.utcoffset() or timedelta()
    sign = "-" if offset < timedelta() else "+"
    minutes = int(abs(offset).total_seconds()) // 60
    return (
        f"{moment.day:2d}-{_MONTHS[moment.month - 1]}-{moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}"
    ).encode("ascii")


def parse_date(raw: bytes) -> date:
    """Read the day of a SEARCH key. Raises RemoteProtocolError when it is no date."""
    match = _DATE.fullmatch(raw)
    if match is None:
        raise RemoteProtocolError(f"not a date: {raw[:40]!r}")
    day, month, year = match.groups()
    try:
        return date(int(year), _MONTH_NUMBERS[month.lower()], int(day))
    except (KeyError, ValueError) as error:
        raise RemoteProtocolError(f"not a date: {raw[:40]!r}") from error


def format_date(day: date) -> bytes:
    """Write the day of a SEARCH key."""
    return f"{day.day}-{_MONTHS[day.month - 1]}-{day.year:04d}".encode("ascii")
