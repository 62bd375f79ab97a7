"""The words of a text, as they are indexed and looked for: the same whatever database holds them.

Letters lose their case, their accents and their compatible forms (Unicode NFKD). Scripts that put no blanks between
words are cut into overlapping pairs of letters, so that every part of a run is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

# Han, Kana, Bopomofo, Hangul, Yi; Thai, Lao, Myanmar, Khmer.
_SEGMENTED = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u312f\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u1000-\u1049\u1780-\u17d3"
)
# Indic and Tibetan letters with the signs that belong to them, which Python does not count among letters.
_JOINED = "\u0900-\u0963\u0966-\u0dff\u0f00\u0f20-\u0f33\u0f35-\u0fbc"
_WORD = re.compile(rf"([{_SEGMENTED}]+)|(?:[^\W_{_SEGMENTED}]|[{_JOINED}])+")
_ACCENTS = re.compile(
    "[\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u200b-\u200f\u2060\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff]"
)
# What may be a combining character, or become one.
_MARK = "(?:[^\\w\\s\\x00-\\x7f]|[\uff9e\uff9f])"
_MARKS = re.compile(rf"({_MARK}{{32}}){_MARK}+")
_LONGEST_WORD = 64
_LONGEST_FORM = 18
"""As many characters can a compatible form have (UAX #15)."""
_ELEMENT = re.compile(r'"([^"]*)("?)(\*?)|([^\s"]+)')
_MOST_ELEMENTS = 128


@dataclass(frozen=True, slots=True)
class Sought:
    """Words that must follow each other; `prefix`: of the last one only the beginning is given."""

    words: tuple[str, ...]
    prefix: bool = False


def words_of(text: str, most_characters: int) -> list[str]:
    """The words of a text in their order, of no more than so many characters of it."""
    return [word for run, word in _pieces(text[:most_characters], most_characters) for word in _indexed(run, word)]


def parse_query(text: str) -> list[Sought]:
    """What a query looks for; all of it must be there. Empty when the query holds no word.

    Words stand alone, phrases in double quotes, and a `*` behind either makes its last word a beginning. What holds
    more than one word without blanks, such as an address, is a phrase too. No query is a wrong one.
    """
    sought = []
    for element in _ELEMENT.finditer(text):
        quoted, _, starred, bare = element.groups()
        phrase = _phrase(quoted if bare is None else bare, bool(starred) if bare is None else bare.endswith("*"))
        if phrase is not None and phrase not in sought:
            sought.append(phrase)
    return sought[:_MOST_ELEMENTS]


def _phrase(text: str, prefix: bool) -> Sought | None:
    pieces = list(_pieces(text, _LONGEST_FORM * len(text)))
    if not pieces:
        return None
    found = [word for run, word in pieces for word in _indexed(run, word)]
    run, last = pieces[-1]
    if run and len(last) > 1:
        # The letter that ends a run there may be one in the middle here.
        found.pop()
    return Sought(tuple(found), prefix or (run and len(last) == 1))


def _pieces(text: str, most_characters: int) -> Iterator[tuple[bool, str]]:
    """Runs of letters, and whether their script has no blanks between words."""
    for found in _WORD.finditer(_folded(text)[:most_characters]):
        yield found[1] is not None, found[0]


def _indexed(run: bool, piece: str) -> Iterator[str]:
    """A word as it is; a run as pairs of letters, and its last letter, so that each letter begins something."""
    if not run:
        yield piece[:_LONGEST_WORD]
        return
    for position in range(len(piece)):
        yield piece[position : position + 2]


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Normalisation takes quadratic time for a long run of combining characters, and nobody else gets a turn meanwhile.
    text = _MARKS.sub(r"\1", text)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", bare)))
