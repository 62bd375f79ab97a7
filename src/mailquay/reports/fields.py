"""Blocks of fields, as the machine-readable parts of reports have them (RFC 3464 §2.1, RFC 5965 §3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BLOCKS = 2000
"""How many blocks of one part are read: one for the message, one for each recipient."""

MAX_FIELDS = 20_000
"""How many fields of one part are read."""

MAX_VALUE_CHARACTERS = 20_000
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,99})[ \t]{0,20}:")
_ESCAPED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


@dataclass(frozen=True, slots=True)
class TypedValue:
    """A value that says what kind it is: `rfc822; a@example.com` (RFC 3464 §2.1.2). `label` is in lower case."""

    label: str
    value: str


class Fields:
    """The fields of a block, in order; names in any case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def __add__(self, other: Fields) -> Fields:
        return Fields(self._fields + other._fields)

    def get(self, name: str) -> str | None:
        """The first value that is not empty."""
        return next((value for key, value in self._fields if key.lower() == name and value), None)

    def typed(self, name: str) -> TypedValue | None:
        """The first value of that name, split; one that names no type has an empty label."""
        value = self.get(name)
        return None if value is None else typed_value(value)


def read_blocks(text: str) -> list[Fields]:
    """Split at blank lines, unfold, and read the fields of each block; what is no field is left out."""
    blocks: list[Fields] = []
    current: list[tuple[str, str]] = []
    count = 0
    for line in text.split("\n"):
        if not line.strip():
            if current:
                blocks.append(Fields(current))
                current = []
        elif line[0] in " \t" and current:
            name, value = current[-1]
            if len(value) < MAX_VALUE_CHARACTERS:
                current[-1] = (name, f"{value} {line.strip()}".strip()[:MAX_VALUE_CHARACTERS])
        elif (match := _FIELD.match(line)) is not None:
            count += 1
            current.append((match[1], line[match.end() :].strip()[:MAX_VALUE_CHARACTERS]))
        if len(blocks) >= MAX_BLOCKS or count >= MAX_FIELDS:
            break
    if current:
        blocks.append(Fields(current))
    return blocks


def typed_value(value: str) -> TypedValue:
    """Split at the first semicolon. Addresses of type `utf-8` have their escapes undone (RFC 6533 §3)."""
    label, semicolon, rest = value.partition(";")
    label = label.strip().lower()
    if not semicolon or not label.isascii() or len(label) > 40 or " " in label:
        return TypedValue("", value.strip())
    rest = rest.strip()
    if label == "utf-8" and "\\x{" in rest:
        rest = _ESCAPED.sub(_character, rest)
    return TypedValue(label, rest)


def camel_case(name: str) -> str:
    """`Reporting-MTA` as `reportingMta`."""
    first, *others = name.lower().split("-")
    return first + "".join(word.capitalize() for word in others)


def _character(escape: re.Match[str]) -> str:
    code = int(escape[1], 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF and code >= 0x20 else "\ufffd"
