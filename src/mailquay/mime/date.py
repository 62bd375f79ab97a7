"""Dates of message headers (RFC 5322 §3.3, §4.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_ZONE_HOURS = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_MAX_CHARACTERS = 200

_COMMENT = re.compile(r"\([^()]*\)")
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,]\d+)?)?"
_ZONE = r"\s*(?P<zone>(?:[+-]\s?\d{1,2}:?\d{2})|[A-Za-z]{1,5})?(?:\s*(?P<offset>[+-]\d{4}))?"
_DATE = re.compile(
    rf"(?:[A-Za-z]+\.?,?\s*)?(?P<day>\d{{1,2}})[\s.-]+(?P<month>[A-Za-z]{{3,9}})\.?[\s.,-]+(?P<year>\d{{2,4}}),?\s+{_CLOCK}{_ZONE}"
)
_ASCTIME = re.compile(
    rf"(?:[A-Za-z]+,?\s+)?(?P<month>[A-Za-z]{{3,9}})\s+(?P<day>\d{{1,2}}),?\s+{_CLOCK}\s*(?P<zone>[A-Za-z]{{1,5}}|[+-]\d{{4}})?\s+(?P<year>\d{{4}})(?P<offset>)"
)
_ISO = re.compile(rf"(?P<year>\d{{4}})-(?P<number>\d{{1,2}})-(?P<day>\d{{1,2}})[T\s]+{_CLOCK}{_ZONE}")


def format_date(moment: datetime) -> str:
    """`moment`, which must be aware, as a Date header writes it."""
    offset = moment.utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    sign = "-" if minutes < 0 else "+"
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} "
        f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    )


def parse_date(text: str | None) -> datetime | None:
    """An aware datetime; None for what is no date.

    Lenient: comments, missing week day, seconds or zone (UTC then), two-digit years (RFC 5322 §4.3), full month names,
    dots for colons, asctime and ISO forms, week days that do not fit.
    """
    if not text:
        return None
    plain = _COMMENT.sub(" ", text[:_MAX_CHARACTERS]).strip()
    found = _DATE.match(plain) or _ASCTIME.match(plain) or _ISO.match(plain)
    return _moment(found.groupdict()) if found is not None else None


def _moment(parts: dict[str, str | None]) -> datetime | None:
    month = (
        int(parts["number"] or 0) if "number" in parts else _MONTH_NUMBERS.get((parts["month"] or "")[:3].lower(), 0)
    )
    year = int(parts["year"] or 0)
    if year < 50:
        year += 2000
    elif year < 1000:
        year += 1900
    second = min(int(parts["second"] or 0), 59)  # a leap second has no datetime
    try:
        zone = _zone(parts["zone"], parts["offset"])
        moment = datetime(
            year, month, int(parts["day"] or 0), int(parts["hour"] or 0), int(parts["minute"] or 0), second, tzinfo=zone
        )
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment


def _zone(name: str | None, offset: str | None) -> timezone:
    numeric = offset or (name if name and name[0] in "+-" else None)
    if numeric:
        digits = numeric[1:].replace(":", "").strip().rjust(4, "0")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        return timezone(timedelta(minutes=-minutes if numeric[0] == "-" else minutes))
    return timezone(timedelta(hours=_ZONE_HOURS.get((name or "").lower(), 0)))
