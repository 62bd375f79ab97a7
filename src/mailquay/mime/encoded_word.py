"""Non-ASCII text in headers: RFC 2047 encoded words, and raw bytes where senders did without."""

from __future__ import annotations

import base64
import binascii
import re

from mailquay.mime.charset import decode

MAX_WORD_OCTETS = 75
"""The longest encoded word (RFC 2047 §2)."""

_START = re.compile(r"=\?([^?\s=]{1,60})\?([bBqQ])\?")
_HEX = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_PLAIN_IN_PHRASE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_SPACE = ord(" ")


def decode_header_bytes(raw: bytes) -> str:
    """The text of raw header bytes: 8-bit bytes as UTF-8 (RFC 6532 §3.2) or a guess, encoded words decoded."""
    if raw.isascii():
        text = raw.decode("ascii")
    else:
        text = decode(raw, None)
    return decode_words(text)


def decode_words(text: str) -> str:
    """Replace the encoded words in `text`; white space between two of them goes (RFC 2047 §6.2).

    Lenient where senders err: spaces inside a word, words that are too long, words inside quotes or glued to other
    text, characters cut in two between words of the same charset, any padding. What cannot be read stays as it is.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending: list[bytes] = []
    charset = ""
    position = 0
    start = _START.search(text)
    while start is not None:
        end = text.find("?=", start.end())
        if end < 0:
            break
        between = text[position : start.start()]
        payload = _payload(text[start.end() : end], start[2])
        label = start[1].partition("*")[0].lower()
        follows = bool(pending) and not between.strip()
        if not (follows and label == charset) and pending:
            pieces.append(decode(b"".join(pending), charset))
            pending = []
        if not follows:
            pieces.append(between)
        pending.append(payload)
        charset = label
        position = end + 2
        start = _START.search(text, position)
    if pending:
        pieces.append(decode(b"".join(pending), charset))
    pieces.append(text[position:])
    return "".join(pieces)


def _payload(text: str, encoding: str) -> bytes:
    if encoding in "qQ":
        raw = text.replace("_", " ").encode("utf-8", "replace")
        return _HEX.sub(lambda m: bytes.fromhex(m[1].decode("ascii")), raw)
    data = text.encode("ascii", "ignore").translate(None, _NOT_BASE64)
    if len(data) % 4 == 1:
        data = data[:-1]
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


def encode_words(text: str, *, first_width: int = MAX_WORD_OCTETS) -> list[str]:
    """Write `text` as UTF-8 encoded words; the first is at most `first_width` octets long, the others 75.

    Never cuts a character in two (RFC 2047 §5), and takes Q or B, whichever is shorter for the whole text. The
    alphabet of Q is the narrow one for phrases, so that the words may stand anywhere.
    """
    data = text.encode("utf-8")
    costs = [1 if byte in _PLAIN_IN_PHRASE or byte == _SPACE else 3 for byte in data]
    quoted = sum(costs) <= (len(data) + 2) // 3 * 4
    words: list[str] = []
    overhead = len("=?UTF-8?Q??=")
    start = 0
    while start < len(data):
        room = max(first_width if not words else MAX_WORD_OCTETS, overhead + 12) - overhead
        stop = _fit(data, costs, start, room) if quoted else _whole_characters(data, start, start + room // 4 * 3)
        chunk = data[start:stop]
        body = _q_encode(chunk) if quoted else base64.b64encode(chunk).decode("ascii")
        words.append(f"=?UTF-8?{'Q' if quoted else 'B'}?{body}?=")
        start = stop
    return words


def _fit(data: bytes, costs: list[int], start: int, room: int) -> int:
    """The end of the longest piece from `start` whose Q form is at most `room` octets."""
    used, stop = 0, start
    while stop < len(data) and used + costs[stop] <= room:
        used += costs[stop]
        stop += 1
    return _whole_characters(data, start, stop)


def _whole_characters(data: bytes, start: int, stop: int) -> int:
    if stop >= len(data):
        return len(data)
    while stop > start + 1 and data[stop] & 0xC0 == 0x80:
        stop -= 1
    return stop


def _q_encode(chunk: bytes) -> str:
    return "".join("_" if b == _SPACE else chr(b) if b in _PLAIN_IN_PHRASE else f"={b:02X}" for b in chunk)
