"""What a server's refusal means, and what a sender should do about it: by its words, else by its codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mailquay.reports.blocklists import find_blocklists
from mailquay.reports.phrases import PHRASES, WEAK_PHRASES
from mailquay.reports.reply import MAX_REPLY_CHARACTERS, enhanced_status, find_code

_REMOVE, _RETRY, _FIX, _REVIEW = "remove", "retry", "fix_configuration", "review"
RECOMMENDED = {
    "user_unknown": _REMOVE,
    "invalid_address": _REMOVE,
    "mailbox_disabled": _REMOVE,
    "mailbox_full": _RETRY,
    "greylisting": _RETRY,
    "rate_limited": _RETRY,
    "server_error": _RETRY,
    "ip_blacklisted": "retry_different_ip",
    "geo_blocked": "retry_different_ip",
    "domain_blacklisted": _FIX,
    "auth_failure": _FIX,
    "relay_denied": _FIX,
    "spam_blocked": _REVIEW,
    "policy_blocked": _REVIEW,
    "unknown": _REVIEW,
    "virus_detected": "remove_content",
}
"""Every category with its recommended action."""

_ENHANCED = {
    **dict.fromkeys(("4.1.1", "5.1.1", "5.2.0", "5.4.1", "5.5.0"), "user_unknown"),
    **dict.fromkeys(("5.1.2", "5.1.3", "5.1.6", "5.5.1", "5.5.2"), "invalid_address"),
    "5.2.1": "mailbox_disabled",
    **dict.fromkeys(("4.2.2", "5.2.2"), "mailbox_full"),
    "4.2.0": "greylisting",
    **dict.fromkeys(
        ("4.2.1", "5.2.3", "5.2.121", "5.2.122", "4.7.0", "4.7.1", "4.7.3", "4.7.28", "4.7.32", "4.7.650", "4.7.651"),
        "rate_limited",
    ),
    **dict.fromkeys(("4.3.0", "4.3.1", "4.3.2", "5.3.0", "5.3.1", "5.3.2", "5.4.4", "4.4.1", "4.4.2"), "server_error"),
    **dict.fromkeys(("5.6.1", "5.6.2", "5.7.1"), "policy_blocked"),
    "5.7.0": "virus_detected",
    "5.7.2": "relay_denied",
    **dict.fromkeys(("5.7.8", "5.7.9", "5.7.23", "5.7.25", "5.7.26"), "auth_failure"),
}
_THREE_DIGITS = {
    **dict.fromkeys(("421", "450"), "greylisting"),
    **dict.fromkeys(("451", "452", "502", "503", "504"), "server_error"),
    **dict.fromkeys(("500", "501", "553"), "invalid_address"),
    "550": "user_unknown",
    "551": "relay_denied",
    "552": "mailbox_full",
    "554": "policy_blocked",
    "571": "spam_blocked",
}
_MAX_RETRY_SECONDS = 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600}
_AMOUNT = r"[ :=(]{0,3}(\d{1,6})[ ]{0,2}(seconds?|secs?|minutes?|mins?|hours?|hrs?|[smh]\b)?"
_RETRY_AFTER = (
    re.compile(rf"(?:try|retry|come back)(?: your message)?(?: it)?(?: again)?(?: later)? (?:in|after){_AMOUNT}"),
    re.compile(rf"\bwait(?: for)?(?: at least)?{_AMOUNT}"),
    re.compile(rf"gr[ea]ylisted,?(?: for| in)?{_AMOUNT}"),
    re.compile(rf"gr[ea]ylisting[^.\d]{{0,60}}{_AMOUNT}"),
    re.compile(rf"\bafter{_AMOUNT}"),
)


@dataclass(frozen=True, slots=True)
class Classification:
    """`blocklist` is None, one `{name, type}`, or `{lists: [...]}`. `retry_after_seconds`: what was asked for."""

    category: str
    blocklist: dict[str, Any] | None = None
    retry_after_seconds: int | None = None

    @property
    def recommended_action(self) -> str:
        """What a sender should do."""
        return RECOMMENDED[self.category]


def classify(message: str | None, status: str | None = None) -> Classification:
    """Judge the words of a reply; `status`, its enhanced code, counts where the words have none."""
    text = " ".join((message or "")[:MAX_REPLY_CHARACTERS].lower().split())
    lists = find_blocklists(text)
    blocklist = None if not lists else lists[0] if len(lists) == 1 else {"lists": lists}
    return Classification(_category(text, status), blocklist, retry_after_seconds(text))


def retry_after_seconds(text: str) -> int | None:
    """How long a reply in lower case asks to wait: 1 second to a day; a number without a unit is seconds."""
    for pattern in _RETRY_AFTER:
        for match in pattern.finditer(text):
            seconds = int(match[1]) * _UNITS[(match[2] or "s")[0]]
            if 1 <= seconds <= _MAX_RETRY_SECONDS:
                return seconds
    return None


def _category(text: str, status: str | None) -> str:
    for category, phrases in PHRASES:
        if any(phrase in text for phrase in phrases):
            return category
    by_code = _ENHANCED.get(enhanced_status(text) or status or "")
    if by_code is not None:
        return by_code
    if any(phrase in text for phrase in WEAK_PHRASES):
        return "policy_blocked"
    begin = find_code(text)
    return _THREE_DIGITS.get(text[begin : begin + 3], "unknown") if begin is not None else "unknown"
