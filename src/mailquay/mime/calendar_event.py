"""Events of a calendar object (RFC 5545), as invitations carry them: what a person wants to know of each."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from mailquay.mime.charset import decode

MAX_CALENDAR_BYTES = 512 * 1024
"""Larger calendars are no invitations and are not read."""

MAX_EVENTS = 50
_MAX_LINE_CHARACTERS = 32 * 1024
_MAX_ESSENTIAL_CHARACTERS = 128 * 1024
"""The library takes up to ten microseconds for each character."""
_MAX_ZONES = 20
_MAX_RULES = 20
"""Each of them may take a quarter of a second, when it begins in the year 1."""
_MAX_DEPTH = 10
_LEAP_YEAR = 2024
_BLOCKS = (
    ("VCALENDAR",),
    ("VCALENDAR", "VEVENT"),
    ("VCALENDAR", "VTIMEZONE"),
    ("VCALENDAR", "VTIMEZONE", "STANDARD"),
    ("VCALENDAR", "VTIMEZONE", "DAYLIGHT"),
)
_FOLD = re.compile(r"\r?\n[ \t]")
# A rule that repeats more than a few times in a year would have us count occurrences since 1601; one with the interval
# 0 would do so for ever.
_HARMLESS_RULE = re.compile(
    r"FREQ=YEARLY(?:;(?:BYMONTH=\d{1,2}|BYDAY=[+-]?[1-5][A-Z]{2}|BYMONTHDAY=-?\d{1,2}|INTERVAL=1|COUNT=\d{1,4}|"
    r"UNTIL=\w{8,16}|WKST=[A-Z]{2}))*"
)
_KEPT = frozenset(("UID", "SUMMARY", "DESCRIPTION", "DTSTART", "DTEND", "DURATION", "ORGANIZER", "RECURRENCE-ID"))
_NAME = re.compile(r"[A-Za-z0-9-]{1,60}(?=[;:])")


@dataclass(frozen=True, slots=True)
class CalendarEvent:
    """One event. Times are in UTC; of a whole day the first moment. `timezone` is that in which the event is set."""

    uid: str | None
    method: str | None
    summary: str | None
    description: str | None
    timezone: str | None
    start: datetime | None
    end: datetime | None
    organizer: str | None


def read_events(data: bytes, charset: str | None = None) -> list[CalendarEvent]:
    """The events of a calendar; none when it is broken or too large. Takes milliseconds for each event.

    To be called by one thread at a time, since the library has state that all share.
    """
    if len(data) > MAX_CALENDAR_BYTES:
        return []
    text = "\r\n".join(_essential(decode(data, charset or "utf-8"))) + "\r\n"
    if len(text) > _MAX_ESSENTIAL_CHARACTERS:
        return []
    # It takes a tenth of a second to import, and few processes ever meet an invitation.
    from icalendar import Calendar
    from icalendar.timezone import tzp

    # The library keeps the zones of all calendars by name, and senders have different ones of the same name.
    tzp.use_default()
    try:
        calendars = Calendar.from_ical(text, multiple=True)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, AttributeError, AssertionError):
        # The last two are those of zones that are put together wrongly.
        return []
    found: list[CalendarEvent] = []
    for calendar in calendars:
        method, zone = _text(calendar.get("METHOD")), _text(calendar.get("X-WR-TIMEZONE"))
        for component in calendar.walk("VEVENT"):
            found.append(_event(component, method.upper() if method else None, zone))
    return found[:MAX_EVENTS]


def _essential(text: str) -> Iterator[str]:
    """The lines that are needed, unfolded: no more events than are read, no rules that take for ever.

    Of a long line the beginning is kept, of properties with the same name in one block the first.
    """
    stack: list[str] = []
    seen: set[str] = set()
    events, zones, rules = 0, 0, 0
    for line in _FOLD.sub("", text.replace("\x00", "")).replace("\r", "\n").split("\n"):
        found = _NAME.match(line)
        if found is None:
            continue
        name, value = found[0].upper(), line[found.end() + 1 :].strip().upper()
        if name in ("BEGIN", "END"):
            seen.clear()
        elif name in seen:
            continue
        seen.add(name)
        if name == "BEGIN":
            stack.append(value)
            events += value == "VEVENT"
            zones += value == "VTIMEZONE"
        if len(stack) > _MAX_DEPTH:
            return
        kept = _is_kept(tuple(stack), name, value) and events <= MAX_EVENTS and zones <= _MAX_ZONES
        if kept and stack[1:2] == ["VTIMEZONE"]:
            rules += name == "RRULE"
            # Whoever reads the zones takes more for the end of a line than whoever reads the rest.
            kept = len(line.splitlines()) == 1 and (name != "RRULE" or rules <= _MAX_RULES)
        if kept:
            yield line[:_MAX_LINE_CHARACTERS].rstrip()
        if name == "END" and stack:
            stack.pop()


def _is_kept(blocks: tuple[str, ...], name: str, value: str) -> bool:
    if blocks not in _BLOCKS:
        return False
    if name in ("BEGIN", "END"):
        return True
    if blocks == _BLOCKS[0]:
        return name in ("METHOD", "X-WR-TIMEZONE")
    if blocks == _BLOCKS[1]:
        return name in _KEPT
    return name not in ("RRULE", "EXRULE") or _is_harmless(value)


def _is_harmless(rule: str) -> bool:
    """Whether a rule names a day that comes, and no more than a few times in a year."""
    if not _HARMLESS_RULE.fullmatch(rule):
        return False
    items = [(name, value) for name, _, value in (item.partition("=") for item in rule.split(";"))]
    parts = dict(items)
    month, day = int(parts.get("BYMONTH", 1)), abs(int(parts.get("BYMONTHDAY", 1)))
    # A day that never comes would be looked for up to the year 9999.
    comes = 1 <= month <= 12 and 1 <= day <= monthrange(_LEAP_YEAR, month)[1]
    return comes and len(parts) == len(items) and not {"BYDAY", "BYMONTHDAY"} <= parts.keys()


def _event(component: Any, method: str | None, calendar_zone: str | None) -> CalendarEvent:
    first, last = component.get("DTSTART"), component.get("DTEND")
    zone = _zone_name(first) or calendar_zone
    start = _moment(first, zone)
    end = _moment(last, _zone_name(last) or zone)
    length = component.get("DURATION")
    if end is None and start is not None and length is not None:
        end = _later(start, _parsed(length))
    organizer = _text(component.get("ORGANIZER"))
    return CalendarEvent(
        uid=_text(component.get("UID")),
        method=method,
        summary=_text(component.get("SUMMARY")),
        description=_text(component.get("DESCRIPTION")),
        timezone=zone,
        start=start,
        end=end,
        organizer=re.sub(r"(?i)^mailto:", "", organizer) if organizer else None,
    )


def _text(value: Any) -> str | None:
    """A property as text; the first of several."""
    if isinstance(value, list):
        value = value[0] if value else None
    text = str(value).strip() if value is not None else ""
    return text or None


def _parsed(value: Any) -> object:
    """A property's value as the library reads it; None for what it cannot read."""
    try:
        return getattr(value, "dt", None)
    except ValueError:
        return None


def _zone_name(value: Any) -> str | None:
    parameters = getattr(value, "params", None) or {}
    return _text(parameters.get("TZID"))


def _moment(value: Any, zone: str | None) -> datetime | None:
    """A DATE or DATE-TIME in UTC; a time without a zone is taken in `zone` where that is one, else as UTC."""
    moment = _parsed(value)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if not isinstance(moment, datetime):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(zone))
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError, TypeError):
        return None


def _zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):
        return UTC


def _later(start: datetime, length: object) -> datetime | None:
    try:
        return start + length if isinstance(length, timedelta) else None
    except OverflowError:
        return None
