"""Parameters of Content-Type and Content-Disposition (RFC 2045 §5.1), with RFC 2231 continuations and charsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

from mailquay.mime.charset import decode
from mailquay.mime.encoded_word import decode_words, encode_words

_MAX_PARAMETERS = 200
_MAX_SECTIONS = 200
_SECTION_OCTETS = 60
_MAX_VALUE_CHARACTERS = 64 * 1024

_PARAMETER = re.compile(r'([^\s=;"]{1,100})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))[^;]*', re.DOTALL)
_GAP = re.compile(r"[\s;]*")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED_NAME = re.compile(r"(.+?)(?:\*(\d{1,4}))?(\*)?")
_TOKEN = re.compile(r"[!#$&+\-.^_`|~0-9A-Za-z]+")
_COMMENT = re.compile(r"\([^()]*\)")


def parse_parameterized(text: str) -> tuple[str, dict[str, str]]:
    """Split a header value into its lower-case main value and its parameters, names in lower case, values decoded.

    Lenient: a missing first semicolon, unquoted values with spaces, a missing closing quote, encoded words inside
    parameters (RFC 2047 §5 forbids them, most senders use them), sections out of order or missing. The first of equal
    names counts.
    """
    text = text[:_MAX_VALUE_CHARACTERS]
    main, _, rest = text.partition(";")
    words = _COMMENT.sub("", main).split(None, 1)
    value = words[0].lower() if words else ""
    if len(words) > 1:
        rest = f"{words[1]};{rest}"  # the first semicolon was forgotten
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    for written_name, raw in _items(rest):
        name = _EXTENDED_NAME.fullmatch(written_name.lower())
        if name is None:
            continue
        if name[2] is None and name[3] is None:
            plain.setdefault(name[1], decode_words(raw))
        else:
            sections.setdefault(name[1], {}).setdefault(int(name[2] or 0), (name[3] is not None, raw))
    # RFC 2231 forms win over a plain one, which senders add for readers that do not know them.
    plain.update({name: _join(parts) for name, parts in sections.items()})
    return value, plain


def _items(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    for _ in range(_MAX_PARAMETERS):
        gap = _GAP.match(text, position)
        position = gap.end() if gap else position
        found = _PARAMETER.match(text, position)
        if found is not None:
            position = found.end()
            yield found[1], _QUOTED_PAIR.sub(r"\1", found[2]) if found[2] is not None else found[3].strip()
            continue
        position = text.find(";", position)
        if position < 0:
            return


def _join(parts: dict[int, tuple[bool, str]]) -> str:
    """Put the sections of one parameter together (RFC 2231 §3, §4)."""
    ordered = [parts[number] for number in sorted(parts)[:_MAX_SECTIONS]]
    charset = "utf-8"
    extended, first = ordered[0]
    if extended and first.count("'") >= 2:
        charset, _, rest = first.partition("'")
        ordered[0] = (True, rest.partition("'")[2])
    data = b"".join(unquote_to_bytes(raw) if is_extended else raw.encode("utf-8") for is_extended, raw in ordered)
    if not any(is_extended for is_extended, _ in ordered):
        return decode_words(data.decode("utf-8"))
    return decode(data, charset)


def format_parameter(name: str, value: str) -> list[str]:
    """The parameter as one or more `name=value` items, without separators.

    Token or quoted string for ASCII that fits on a line, else RFC 2231 sections in UTF-8.
    """
    if value.isascii() and value.isprintable() and len(value) <= _SECTION_OCTETS:
        if _TOKEN.fullmatch(value):
            return [f"{name}={value}"]
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"']
    encoded = "utf-8''" + quote(value, safe="!#$&+-.^_`|~")
    if len(encoded) <= _SECTION_OCTETS:
        return [f"{name}*={encoded}"]
    items: list[str] = []
    position = 0
    while position < len(encoded):
        stop = _section_end(encoded, position)
        items.append(f"{name}*{len(items)}*={encoded[position:stop]}")
        position = stop
    return items


def _section_end(encoded: str, position: int) -> int:
    stop = min(position + _SECTION_OCTETS, len(encoded))
    percent = encoded.rfind("%", stop - 2, stop)
    return percent if percent > position and stop < len(encoded) else stop


def format_name_parameter(value: str) -> list[str]:
    """The `name` of a Content-Type, for readers older than RFC 2231: encoded words inside quotes when not ASCII."""
    if value.isascii() and value.isprintable():
        return format_parameter("name", value)
    words = encode_words(value)
    if len(words) > 1:
        return []
    return [f'name="{words[0]}"']
