"""The base subject of a message (RFC 5256 §2.1): what is left without the marks of answers, forwards and lists."""

from __future__ import annotations

import re
import unicodedata

MAX_BASE_CHARACTERS = 500
"""Base subjects that agree so far are the same to us."""

_MAX_READ_CHARACTERS = 2000
"""Normalisation takes quadratic time for a long run of combining characters, so that only so much is read."""

_MARKS = (
    # The RFC knows re, fw and fwd; the others are what mail programs write in other languages.
    *("re", "fw", "fwd"),
    *("aw", "antw", "antwort", "wg", "doorst", "sv", "vb", "vs", "vl", "fs"),
    *("rép", "réf", "tr", "r", "rif", "i", "rv", "res", "enc"),
    *("odp", "pd", "ynt", "ilt", "i̇lt", "vá", "továbbítás", "bls", "trs", "atb", "yml"),
    *("απ", "σχετ", "πρθ", "отв", "ответ", "пересл", "השב", "תגובה", "הועבר", "رد", "إعادة توجيه"),
    *("回复", "回覆", "答复", "答覆", "转发", "轉寄", "轉發", "返信", "転送", "답장", "회신", "전달"),
    *("trả lời", "chuyển tiếp"),
)
_MARK = re.compile(
    rf"(?:{'|'.join(sorted((unicodedata.normalize('NFKC', mark) for mark in _MARKS), key=len, reverse=True))})"
    r"(?: ?[\[(^*]?\d{1,3}[\])]?)? ?(?:\[[^\[\]]*\] ?)?: ?"
)
"""One mark with its colon: `re:`, `aw :`, `re[2]:`, `fwd [list]:`."""
_TAG = re.compile(r"\[[^\[\]]*\] ?")
_TRAILER = "(fwd)"
_FORWARD_OPEN, _FORWARD_CLOSE = "[fwd:", "]"


def base_subject(subject: str | None) -> str:
    """The base subject, casefolded, of a decoded subject; empty for None. Takes linear time.

    Two messages whose base subjects differ do not belong to one conversation, whatever they refer to.
    """
    text = (subject or "")[:_MAX_READ_CHARACTERS]
    if not text.isascii():
        # It makes one of the two kinds of colon, too.
        text = unicodedata.normalize("NFKC", text)
    text = " ".join(text.casefold().split())
    start, stop = 0, len(text)
    while True:
        while text.endswith(_TRAILER, start, stop):
            stop = _blank_before(text, start, stop - len(_TRAILER))
        start = _behind_marks(text, start, stop)
        if not (text.startswith(_FORWARD_OPEN, start, stop) and text.endswith(_FORWARD_CLOSE, start, stop)):
            return text[start : min(stop, start + MAX_BASE_CHARACTERS)].rstrip()
        start += len(_FORWARD_OPEN)
        stop = _blank_before(text, start, stop - len(_FORWARD_CLOSE))
        if text.startswith(" ", start, stop):
            start += 1


def _behind_marks(text: str, start: int, stop: int) -> int:
    """Where the rest begins behind marks and tags; a tag that has nothing behind it is the subject itself."""
    while True:
        found = _MARK.match(text, start, stop) if ":" in text else None
        if found is None:
            found = _TAG.match(text, start, stop)
            if found is None or found.end() >= stop:
                return start
        start = found.end()


def _blank_before(text: str, start: int, stop: int) -> int:
    return stop - 1 if stop > start and text[stop - 1] == " " else stop
