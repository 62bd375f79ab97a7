"""Tell answers of machines from answers of people (RFC 3834, and what came before it)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

FIELDS = (
    *("auto-submitted", "in-reply-to", "precedence", "subject", "x-auto-response-suppress", "x-autoreply"),
    *("x-autorespond", "x-autoresponder"),
)
"""The header fields that the judgement rests on, for callers that fetch no more than they need."""

_SUBJECT = re.compile(r"(?:auto(?:matic)?\s*-?\s*(?:reply|response)|out of (?:the )?office|oof:|ooo:)", re.IGNORECASE)
_PRECEDENCE = re.compile(r"auto[_-]?reply")
_AUTO_REPLIED = re.compile(r"auto[-_]?replied")
_MARKERS = ("x-auto-response-suppress", "x-autoresponder", "x-autorespond", "x-autoreply")


def is_auto_reply(headers: Mapping[str, Sequence[str]], subject: str | None) -> bool:
    """Whether a message is an automatic answer; `headers` maps lower-case names to decoded values.

    Auto-generated mail and list mail do not count.
    """
    text = (subject or "").strip()
    if _SUBJECT.match(text):
        return True
    if text.lower().startswith("auto:") and headers.get("in-reply-to"):
        return True
    if any(_PRECEDENCE.search(value.lower()) for value in headers.get("precedence", ())):
        return True
    if any(_AUTO_REPLIED.search(value.lower()) for value in headers.get("auto-submitted", ())):
        return True
    return any(headers.get(name) for name in _MARKERS)
