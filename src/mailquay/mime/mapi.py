"""MAPI properties as TNEF carries them ([MS-OXTNEF] §2.1.3.4): numbers, texts, binaries, objects."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass

_MAX_PROPERTIES = 5000
_MAX_VALUES = 5000
_NAMED = 0x8000
_GUID_BYTES = 16
_MULTIPLE = 0x1000
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_TEXT8, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_MESSAGE_INTERFACE = bytes.fromhex("0703020000000000c000000000000046")


@dataclass(frozen=True, slots=True)
class MapiValue:
    """The (first) value of a property. `embedded`: it is a message, wrapped as TNEF again."""

    data: memoryview
    unicode: bool = False
    embedded: bool = False

    @property
    def text(self) -> str:
        """The value as UTF-16, up to its closing NUL."""
        return bytes(self.data).decode("utf-16-le", "replace").partition("\0")[0]

    @property
    def number(self) -> int:
        """The value as a number of 32 bits; 0 when it is too short for one."""
        return int.from_bytes(self.data[:4], "little") if len(self.data) >= 4 else 0


def read_properties(data: memoryview) -> dict[int, MapiValue]:
    """The unnamed properties by number, as far as they can be read; the first of a number counts."""
    found: dict[int, MapiValue] = {}
    # Cut off, or of a type that nobody knows: what came before still stands.
    with contextlib.suppress(struct.error, ValueError):
        _Properties(data).read_into(found)
    return found


class _Properties:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def read_into(self, found: dict[int, MapiValue]) -> None:
        """Raises ValueError and struct.error where no further property can be read."""
        for _ in range(min(self._number(), _MAX_PROPERTIES)):
            kind, number = struct.unpack("<HH", self._take(4))
            if number >= _NAMED:
                self._skip_name()
            value = self._value(kind)
            if value is not None and number < _NAMED:
                found.setdefault(number, value)

    def _value(self, kind: int) -> MapiValue | None:
        base = kind & ~_MULTIPLE
        multiple = bool(kind & _MULTIPLE)
        variable = base in (_TEXT8, _UNICODE, _BINARY, _OBJECT)
        count = self._number() if variable or multiple else 1
        if count > _MAX_VALUES:
            raise ValueError("a property with too many values")
        values: list[MapiValue] = []
        for _ in range(count):
            if variable:
                values.append(self._variable(base))
            elif base in _FIXED:
                values.append(MapiValue(self._take(_FIXED[base])))
            else:
                raise ValueError("a property of an unknown type")
        return values[0] if values else None

    def _variable(self, base: int) -> MapiValue:
        length = self._number()
        data = self._take(length)
        self._position += -length % 4
        if base != _OBJECT:
            return MapiValue(data, unicode=base == _UNICODE)
        return MapiValue(data[_GUID_BYTES:], embedded=bytes(data[:_GUID_BYTES]) == _MESSAGE_INTERFACE)

    def _skip_name(self) -> None:
        self._take(_GUID_BYTES)
        if self._number() == 0:
            self._take(4)
        else:
            length = self._number()
            self._take(length)
            self._position += -length % 4

    def _number(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _take(self, count: int) -> memoryview:
        if count > len(self._data) - self._position:
            raise ValueError("cut off")
        self._position += count
        return self._data[self._position - count : self._position]
