"""The words and dates of quoted headers in the languages that callers may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class QuotingWords:
    """Labels of header lines, and how a date reads: `date` takes weekday, day, month, year, hour, minute and so on."""

    from_: str
    to: str
    cc: str
    date: str
    subject: str
    forwarded: str
    date_format: str
    weekdays: tuple[str, ...]
    months: tuple[str, ...]


_LOCALES: Mapping[str, QuotingWords] = MappingProxyType(
    {
        "en": QuotingWords(
            *("From", "To", "Cc", "Date", "Subject", "Forwarded message"),
            "{weekday}, {month} {day}, {year}, {hour12}:{minute:02d} {half}",
            ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
            (
                *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
                *("October", "November", "December"),
            ),
        ),
        "et": QuotingWords(
            *("Kellelt", "Kellele", "Koopia", "Kuupäev", "Teema", "Edastatud kiri"),
            "{weekday}, {day}. {month} {year} {hour:02d}:{minute:02d}",
            ("esmaspäev", "teisipäev", "kolmapäev", "neljapäev", "reede", "laupäev", "pühapäev"),
            (
                *("jaanuar", "veebruar", "märts", "aprill", "mai", "juuni", "juuli", "august", "september"),
                *("oktoober", "november", "detsember"),
            ),
        ),
        "fr": QuotingWords(
            *("De", "À", "Cc", "Date", "Objet", "Message transféré"),
            "{weekday} {day} {month} {year} à {hour:02d}:{minute:02d}",
            ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
            (
                *("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre"),
                *("octobre", "novembre", "décembre"),
            ),
        ),
        "de": QuotingWords(
            *("Von", "An", "Kopie", "Datum", "Betreff", "Weitergeleitete Nachricht"),
            "{weekday}, {day}. {month} {year} um {hour:02d}:{minute:02d}",
            ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
            (
                *("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September"),
                *("Oktober", "November", "Dezember"),
            ),
        ),
        "pl": QuotingWords(
            *("Od", "Do", "DW", "Data", "Temat", "Przekazana wiadomość"),
            "{weekday}, {day} {month} {year} {hour:02d}:{minute:02d}",
            ("poniedziałek", "wtorek", "środa", "czwartek", "piątek", "sobota", "niedziela"),
            (
                *("stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca", "lipca", "sierpnia", "września"),
                *("października", "listopada", "grudnia"),
            ),
        ),
        "ja": QuotingWords(
            *("差出人", "宛先", "Cc", "日時", "件名", "転送されたメッセージ"),
            "{year}年{month}{day}日({weekday}) {hour:02d}:{minute:02d}",
            ("月", "火", "水", "木", "金", "土", "日"),
            tuple(f"{number}月" for number in range(1, 13)),
        ),
        "nl": QuotingWords(
            *("Van", "Aan", "Cc", "Datum", "Onderwerp", "Doorgestuurd bericht"),
            "{weekday} {day} {month} {year} om {hour:02d}:{minute:02d}",
            ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag"),
            (
                *("januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september"),
                *("oktober", "november", "december"),
            ),
        ),
    }
)


def quoting_words(locale: str | None) -> QuotingWords:
    """The words of `locale` ("de", "de-AT", "de_DE"); English for one that we do not speak."""
    language = (locale or "").replace("_", "-").partition("-")[0].lower()
    return _LOCALES.get(language, _LOCALES["en"])


def format_quoted_date(moment: datetime, words: QuotingWords, zone: tzinfo | None) -> str:
    """`moment` as people of that language write it, in `zone` (UTC when None)."""
    local = moment.astimezone(zone or UTC)
    return words.date_format.format(
        weekday=words.weekdays[local.weekday()],
        day=local.day,
        month=words.months[local.month - 1],
        year=local.year,
        hour=local.hour,
        hour12=(local.hour + 11) % 12 + 1,
        half="AM" if local.hour < 12 else "PM",
        minute=local.minute,
    )
