"""Zip archives that are written from the front to the end, never sought in (APPNOTE.TXT 6.3.9), with zip64.

An entry is a local header, its deflated content and a data descriptor. What the directory at the end says of it is
given at once, so that nobody has to remember the entries.
"""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime
from typing import Final

_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_DESCRIPTOR: Final = struct.Struct("<4sIII")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_END64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR: Final = struct.Struct("<4sIQI")
_VERSION: Final = 20
_VERSION64: Final = 45
_UNIX: Final = 3 << 8
_FLAGS: Final = 0x0808  # sizes follow the content; names are UTF-8
_DEFLATED: Final = 8
_REGULAR_FILE: Final = 0o100600 << 16
_MAX32: Final = 0xFFFFFFFF
_MAX16: Final = 0xFFFF


class ZipEntry:
    """One file of an archive, which begins at `offset`; of less than 4 GB."""

    def __init__(self, name: str, modified_ms: int, offset: int) -> None:
        self._name = name.encode("utf-8")
        self._offset = offset
        self._time = _dos_time(modified_ms)
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._size = 0
        self._packed = 0

    def begin(self) -> bytes:
        """What stands before the content."""
        header = (b"PK\3\4", _VERSION, _FLAGS, _DEFLATED, *self._time, 0, 0, 0, len(self._name), 0)
        return _LOCAL.pack(*header) + self._name

    def feed(self, data: bytes) -> bytes:
        """Pack a piece of the content."""
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        packed = self._deflate.compress(data)
        self._packed += len(packed)
        return packed

    def finish(self) -> bytes:
        """What is left of the content, and what stands behind it.

        Raises ValueError when there was more than such an entry can hold.
        """
        packed = self._deflate.flush()
        self._packed += len(packed)
        if max(self._size, self._packed) >= _MAX32:
            raise ValueError("an entry of a zip holds less than 4 GB")
        return packed + _DESCRIPTOR.pack(b"PK\7\b", self._crc, self._packed, self._size)

    def directory_record(self) -> bytes:
        """The entry in the directory; to be had when it is finished."""
        far = self._offset >= _MAX32
        extra = struct.pack("<HHQ", 1, 8, self._offset) if far else b""
        return (
            _CENTRAL.pack(
                b"PK\1\2",
                _UNIX | _VERSION64,
                _VERSION64 if far else _VERSION,
                _FLAGS,
                _DEFLATED,
                *self._time,
                self._crc,
                self._packed,
                self._size,
                len(self._name),
                len(extra),
                0,
                0,
                0,
                _REGULAR_FILE,
                _MAX32 if far else self._offset,
            )
            + self._name
            + extra
        )


def archive_end(entries: int, directory_offset: int, directory_bytes: int) -> bytes:
    """What stands behind the directory; with zip64 records where the numbers ask for them."""
    large = entries >= _MAX16 or directory_offset >= _MAX32 or directory_bytes >= _MAX32
    records = b""
    if large:
        size = _END64.size - 12
        numbers = (entries, entries, directory_bytes, directory_offset)
        records += _END64.pack(b"PK\6\6", size, _UNIX | _VERSION64, _VERSION64, 0, 0, *numbers)
        records += _LOCATOR.pack(b"PK\6\7", 0, directory_offset + directory_bytes, 1)
    count = min(entries, _MAX16)
    sizes = (min(directory_bytes, _MAX32), min(directory_offset, _MAX32))
    return records + _END.pack(b"PK\5\6", 0, 0, count, count, *sizes, 0)


def _dos_time(time_ms: int) -> tuple[int, int]:
    """Time and date in the form of the archive: UTC, to two seconds, from 1980 to 2107."""
    at = datetime.fromtimestamp(time_ms // 1000, UTC)
    if at.year < 1980:
        at = datetime(1980, 1, 1, tzinfo=UTC)
    elif at.year > 2107:
        at = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
    return at.hour << 11 | at.minute << 5 | at.second // 2, (at.year - 1980) << 9 | at.month << 5 | at.day
