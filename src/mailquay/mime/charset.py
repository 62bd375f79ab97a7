"""Bytes of a declared, wrong or missing charset to text. Never fails, never takes more than linear time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import cchardet

_DETECT_BYTES = 64 * 1024
_MIN_CONFIDENCE = 0.5
_LONGEST_CHARACTER_BYTES = 4
_MIN_WHOLE_BYTES = 256
"""A shorter text is seldom cut, and its end more often tells another charset."""
_FALLBACK = "windows-1252"

# Labels seen in mail that Python does not know, or knows as something narrower than what senders mean by them.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "": "utf-8",
        "ascii": "us-ascii",
        "us": "us-ascii",
        "ansi-x3-4-1968": "us-ascii",
        "default": "utf-8",
        "binary": "utf-8",
        "unicode": "utf-8",
        "unknown": "utf-8",
        "unknown-8bit": "utf-8",
        "x-unknown": "utf-8",
        "utf": "utf-8",
        "utf8mb4": "utf-8",
        "unicode-1-1-utf-8": "utf-8",
        "unicode-1-1-utf-7": "utf-7",
        "x-unicode-2-0-utf-7": "utf-7",
        "iso-8859-1": _FALLBACK,
        "iso-8859-1-1987": _FALLBACK,
        "iso8859-1": _FALLBACK,
        "8859-1": _FALLBACK,
        "latin1": _FALLBACK,
        "latin-1": _FALLBACK,
        "l1": _FALLBACK,
        "ansi": _FALLBACK,
        "x-ansi": _FALLBACK,
        "western": _FALLBACK,
        "cp-1252": _FALLBACK,
        "win-1252": _FALLBACK,
        "x-cp1252": _FALLBACK,
        "iso-8859-6-e": "iso-8859-6",
        "iso-8859-6-i": "iso-8859-6",
        "iso-8859-8-e": "iso-8859-8",
        "iso-8859-8-i": "iso-8859-8",
        "logical": "iso-8859-8",
        "visual": "iso-8859-8",
        "iso-8859-9": "windows-1254",
        "iso-8859-11": "cp874",
        "tis-620": "cp874",
        "windows-874": "cp874",
        "dos-874": "cp874",
        "gb2312": "gb18030",
        "gb-2312-80": "gb18030",
        "gbk": "gb18030",
        "gb": "gb18030",
        "x-gbk": "gb18030",
        "euc-cn": "gb18030",
        "cp936": "gb18030",
        "ms936": "gb18030",
        "windows-936": "gb18030",
        "hz-gb-2312": "hz",
        "big5": "big5hkscs",
        "big-5": "big5hkscs",
        "x-big5": "big5hkscs",
        "cn-big5": "big5hkscs",
        "shift-jis": "cp932",
        "sjis": "cp932",
        "x-sjis": "cp932",
        "ms932": "cp932",
        "windows-31j": "cp932",
        "iso-2022-jp": "iso2022_jp_ext",
        "cp50220": "iso2022_jp_ext",
        "cp50221": "iso2022_jp_ext",
        "x-euc-jp": "euc_jp",
        "ks-c-5601-1987": "cp949",
        "ks-c-5601-1989": "cp949",
        "ksc5601": "cp949",
        "ks-c-5601": "cp949",
        "euc-kr": "cp949",
        "x-windows-949": "cp949",
        "windows-949": "cp949",
        "koi8": "koi8-r",
        "koi": "koi8-r",
        "koi8-ru": "koi8-u",
        "cskoi8r": "koi8-r",
        "macintosh": "mac-roman",
        "x-mac-roman": "mac-roman",
        "x-macroman": "mac-roman",
        "mac": "mac-roman",
        "x-mac-cyrillic": "mac-cyrillic",
        "x-mac-ukrainian": "mac-cyrillic",
        "x-mac-ce": "mac-latin2",
        "x-mac-greek": "mac-greek",
        "x-mac-turkish": "mac-turkish",
        # Code pages of Windows by number, where Python has another name for them.
        **{f"cp{28590 + part}": f"iso-8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 13, 15)},
        "cp28591": _FALLBACK,
        "cp28599": "windows-1254",
        "cp38598": "iso-8859-8",
        "cp20127": "us-ascii",
        "cp20866": "koi8-r",
        "cp21866": "koi8-u",
        "cp20932": "euc_jp",
        "cp51932": "euc_jp",
        "cp50222": "iso2022_jp_ext",
        "cp50225": "iso2022_kr",
        "cp51949": "cp949",
        "cp20936": "gb18030",
        "cp51936": "gb18030",
        "cp54936": "gb18030",
        "cp52936": "hz",
        "cp65000": "utf-7",
        "cp65001": "utf-8",
    }
)
# Codecs of Python that turn text into text, or whose time grows with the square of the input.
_REFUSED = frozenset(("punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"))
# Encodings in which bytes below 128 do not simply mean ASCII.
_NOT_ASCII = (
    "iso2022",
    "hz",
    "utf-7",
    "utf-16",
    "utf-32",
    "cp037",
    "cp5",
    "cp273",
    "cp424",
    "cp875",
    "cp1026",
    "cp1140",
)
_WINDOWS_LABEL = re.compile(r"(?:x-)?(?:cp|win|windows|ms|ibm)-?(\d{3,5})")


@lru_cache(maxsize=512)
def codec_name(label: str) -> str | None:
    """The Python codec for a charset label as it stands in mail; None for one that nobody knows."""
    key = re.sub(r"[\s_.:]+", "-", label.strip().strip("\"'").lower())[:64].strip("-")
    key = key.partition("*")[0]
    candidates = [_ALIASES.get(key, key)]
    if numbered := _WINDOWS_LABEL.fullmatch(key):
        candidates += [f"cp{numbered[1]}", f"windows-{numbered[1]}"]
    if key.startswith(("x-", "cs")):
        candidates.append(_ALIASES.get(key[2:], key[2:]))
    for candidate in candidates:
        try:
            codec = codecs.lookup(candidate)
        except (LookupError, ValueError):
            continue
        if codec._is_text_encoding and codec.name.replace("_", "-") not in _REFUSED:
            return codec.name
    return None


def decode(data: bytes, label: str | None) -> str:
    """Decode `data`, declared to be in charset `label`.

    What the declaration cannot decode is tried as UTF-8, then as what a detector says, and at last decoded with
    replacement characters.
    """
    declared = codec_name(label or "")
    if data.isascii() and (declared is None or not declared.startswith(_NOT_ASCII)):
        return data.decode("ascii")
    if declared is not None and declared != "ascii":
        text = _try(data, declared)
        if text is not None:
            return text
    text = _try(data, "utf-8")
    if text is not None:
        return text
    if declared in (None, "ascii", "utf-8"):
        text = _mostly_utf8(data) or _detected(data)
        if text is not None:
            return text
    known = bool(label and label.strip()) and declared not in (None, "ascii")
    return _clean(data.decode(declared if known and declared else _FALLBACK, "replace"))


def _try(data: bytes, codec: str) -> str | None:
    try:
        return _clean(data.decode(codec))
    except UnicodeDecodeError as error:
        whole = error.start
    except (UnicodeError, ValueError):
        return None
    if not len(data) - _LONGEST_CHARACTER_BYTES < whole or whole < _MIN_WHOLE_BYTES:
        return None
    # All is well but the end: what was cut in the middle of a character says nothing against the charset.
    try:
        return _clean(data[:whole].decode(codec)) + "\ufffd"
    except (UnicodeError, ValueError):
        return None


def _mostly_utf8(data: bytes) -> str | None:
    """UTF-8 with some bytes gone wrong, when more characters beyond ASCII can be read than not."""
    text = data.decode("utf-8", "replace")
    sample = text[:_DETECT_BYTES]
    broken = sample.count("\ufffd")
    readable = len(sample.encode("utf-8")) - len(sample) - 2 * broken
    return text if readable > broken else None


def _detected(data: bytes) -> str | None:
    start = re.search(rb"[\x80-\xff]", data)
    sample = data[max(0, start.start() - 512) if start else 0 :][:_DETECT_BYTES]
    guess = cchardet.detect(sample)
    label, confidence = guess.get("encoding"), guess.get("confidence")
    if not label or (confidence or 0.0) < _MIN_CONFIDENCE:
        return None
    codec = codec_name(label)
    return _try(data, codec) if codec is not None else None


def _clean(text: str) -> str:
    """Lone surrogates, which UTF-7 and UTF-16 can smuggle in, cannot be written to JSON or a database."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
