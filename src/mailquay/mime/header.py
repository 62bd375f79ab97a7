"""Header sections (RFC 5322 §2.2): raw bytes to an ordered list of fields and back, folded and encoded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailquay.errors import InvalidRequest
from mailquay.mime.encoded_word import decode_header_bytes, encode_words

MAX_HEADER_BYTES = 1024 * 1024
"""What we read of a header section; fields that begin beyond it are ignored."""

MAX_FIELDS = 5000
"""How many fields of one section we read."""

LINE_WIDTH = 76
MAX_VALUE_CHARACTERS = 100_000
"""The longest value we write into one field."""

MAX_LINE_OCTETS = 998
"""The hard limit for a line without its CRLF (RFC 5322 §2.1.1)."""

_FIELD_NAME = re.compile(rb"([\x21-\x39\x3b-\x7e]{1,200})[ \t]*:")
_NAME = re.compile(r"[\x21-\x39\x3b-\x7e]{1,76}")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WORD = re.compile(r"[^ ]+(?: +(?= ))?")
_LINE_END = re.compile(r"[\r\n]+\s*")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name as written and its value as it stood, folding included."""

    name: str
    raw: bytes

    @property
    def unfolded(self) -> bytes:
        """The value in one line (RFC 5322 §2.2.3), without the white space around it."""
        return _FOLD.sub(b"", self.raw).replace(b"\r", b" ").replace(b"\n", b" ").strip()

    @property
    def text(self) -> str:
        """The value decoded: charsets, encoded words."""
        return decode_header_bytes(self.unfolded)


class Headers:
    """The fields of one header section in their order."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[Field] = ()) -> None:
        self._fields = tuple(fields)

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def all(self, name: str) -> list[Field]:
        """Every field of that name, in any case, in order."""
        wanted = name.lower()
        return [field for field in self._fields if field.name.lower() == wanted]

    def first(self, name: str) -> Field | None:
        """The first field of that name, None when there is none."""
        wanted = name.lower()
        return next((field for field in self._fields if field.name.lower() == wanted), None)

    def text(self, name: str) -> str | None:
        """The decoded value of the first field of that name."""
        field = self.first(name)
        return None if field is None else field.text

    def decoded(self) -> dict[str, list[str]]:
        """Lower-case name to the list of decoded values, in the order of first appearance."""
        lines: dict[str, list[str]] = {}
        for field in self._fields:
            lines.setdefault(field.name.lower(), []).append(field.text)
        return lines


def parse_header(data: bytes) -> Headers:
    """Read a header section, with or without its closing blank line.

    Lenient: any kind of line end, an mbox "From " line before the first field, space before the colon. Lines that are
    no field and continue none are left out.
    """
    block = data[:MAX_HEADER_BYTES]
    if b"\n" not in block:
        block = block.replace(b"\r", b"\n")
    fields: list[Field] = []
    name = ""
    value: list[bytes] = []
    for line in block.split(b"\n"):
        if line[:1] in (b" ", b"\t") and value:
            value.append(line)
            continue
        if value:
            fields.append(Field(name, b"\n".join(value)))
            value = []
        if len(fields) >= MAX_FIELDS:
            break
        match = _FIELD_NAME.match(line)
        if match is not None:
            name, value = match[1].decode("ascii"), [line[match.end() :]]
    if value:
        fields.append(Field(name, b"\n".join(value)))
    return Headers(fields)


def check_name(name: str) -> str:
    """`name` itself when it may stand as a field name (RFC 5322 §3.6.8); raises InvalidRequest otherwise."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name[:80]!r} cannot be the name of a header field")
    return name


def check_value(name: str, value: str) -> str:
    """`value` itself when it cannot break out of its line.

    Raises InvalidRequest that names the field for CR, LF, NUL, other controls and lone surrogates.
    """
    if _CONTROL.search(value) or _LONE_SURROGATE.search(value):
        raise InvalidRequest(f"The value of {name} contains a line break or another control character")
    if len(value) > MAX_VALUE_CHARACTERS:
        raise InvalidRequest(f"The value of {name} is longer than {MAX_VALUE_CHARACTERS} characters")
    return value


def encode_unstructured(name: str, value: str, *, utf8: bool = False) -> bytes:
    """A whole field with free text as value, folded, ended by CRLF.

    Non-ASCII text becomes encoded words (RFC 2047 §5 rule 1), or stays UTF-8 when `utf8` (RFC 6532 §3.2).
    Raises InvalidRequest for a name or value that cannot stand in a header.
    """
    check_name(name)
    words = _WORD.findall(check_value(name, value).replace("\t", " ").strip())
    tokens: list[str] = []
    pending: list[str] = []
    for word in words:
        if (word.isascii() or utf8) and len(word.encode("utf-8")) < MAX_LINE_OCTETS - 80 and "=?" not in word:
            tokens += _encoded(pending, first=not tokens, name=name)
            pending = []
            tokens.append(word)
        else:
            pending.append(word)
    tokens += _encoded(pending, first=not tokens, name=name)
    return fold(name, tokens)


def _encoded(words: list[str], *, first: bool, name: str) -> list[str]:
    if not words:
        return []
    width = LINE_WIDTH - len(name) - 2 if first else LINE_WIDTH - 1
    return encode_words(" ".join(words), first_width=min(width, 75))


def fold(name: str, tokens: Iterable[str]) -> bytes:
    """Write the field `name` with `tokens` one space apart, folded where a line would exceed 76 octets.

    Raises InvalidRequest when a token is too long for any line.
    """
    lines = [f"{name}:".encode("ascii")]
    for token in tokens:
        encoded = token.encode("utf-8")
        if len(lines[-1]) + 1 + len(encoded) > LINE_WIDTH and (len(lines) > 1 or len(lines[0]) > len(name) + 1):
            lines.append(b" " + encoded)
        else:
            lines[-1] += b" " + encoded
    if any(len(line) > MAX_LINE_OCTETS for line in lines):
        raise InvalidRequest(f"The value of {name} has a word that does not fit on a line of {MAX_LINE_OCTETS} octets")
    return b"\r\n".join(lines) + b"\r\n"


def one_line(value: str) -> str:
    """A text for a header: a line end in it is meant as a space."""
    return _LINE_END.sub(" ", value).replace("\x00", "")
