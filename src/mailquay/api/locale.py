"""The language of a public page: as the request says, else as the operator does."""

from __future__ import annotations

import re
from collections.abc import Mapping

LOCALES = ("en", "et", "fr", "de", "pl", "ja", "nl")
_COOKIE = re.compile(r"(?:^|;)\s*locale=([A-Za-z-]{2,16})")


def locale_of(asked: str | None, headers: Mapping[str, str], usual: str | None) -> str:
    """One of LOCALES: that of `?locale=`, X-EE-Locale, the cookie `locale`, Accept-Language, or the setting."""
    cookie = _COOKIE.search(headers.get("cookie", ""))
    wishes = [asked, headers.get("x-ee-locale"), cookie[1] if cookie else None]
    for wish in (*wishes, *_accepted(headers.get("accept-language", "")), usual):
        language = (wish or "").strip().lower().partition("-")[0]
        if language in LOCALES:
            return language
    return LOCALES[0]


def _accepted(header: str) -> list[str]:
    """Languages, the one that is wanted most first (RFC 9110 §12.5.4)."""
    weighed = []
    for place, item in enumerate(header[:1000].split(",")):
        language, _, weight = item.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            quality = 0.0
        weighed.append((-quality, place, language))
    return [language for quality, _, language in sorted(weighed) if quality < 0]
