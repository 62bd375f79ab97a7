"""Compressed RTF as TNEF carries it ([MS-OXRTFCP]): LZ77 over a window that begins with common RTF words."""

from __future__ import annotations

import struct

MAX_COMPRESSED_BYTES = 2 * 1024 * 1024
MAX_RTF_BYTES = 16 * 1024 * 1024

_HEADER = struct.Struct("<IIII")
_COMPRESSED = 0x75465A4C
_STORED = 0x414C454D
_WINDOW = 4096
_COMMON = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier"
    b"{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def decompress_rtf(data: bytes) -> bytes | None:
    """The RTF; None when it is broken, or larger than anything that a person wrote."""
    if len(data) < _HEADER.size or len(data) > MAX_COMPRESSED_BYTES:
        return None
    _, size, magic, _ = _HEADER.unpack_from(data)
    if size > MAX_RTF_BYTES:
        return None
    if magic == _STORED:
        rtf = data[_HEADER.size : _HEADER.size + size]
    elif magic == _COMPRESSED:
        rtf = _expand(data, size)
    else:
        return None
    return rtf if len(rtf) == size else None


def _expand(data: bytes, size: int) -> bytes:
    """What the tokens stand for, up to `size` bytes; less when they end early.

    The window is what was written last, so that the output itself serves for it, behind the common words.
    """
    out = bytearray(_COMMON)
    stop = len(_COMMON) + size
    position, total = _HEADER.size, len(data)
    while position < total and len(out) < stop:
        flags = data[position]
        position += 1
        for bit in range(8):
            if position >= total or len(out) >= stop:
                break
            if not flags >> bit & 1:
                out.append(data[position])
                position += 1
                continue
            if position + 2 > total:
                return bytes(out[len(_COMMON) : stop])
            token = data[position] << 8 | data[position + 1]
            position += 2
            # Places in the window are counted modulo its size; the one that would be written next is the end mark.
            distance = (len(out) - (token >> 4)) % _WINDOW
            if distance == 0:
                return bytes(out[len(_COMMON) : stop])
            if distance > len(out):
                return b""
            _repeat(out, distance, (token & 15) + 2)
    return bytes(out[len(_COMMON) : stop])


def _repeat(out: bytearray, distance: int, length: int) -> None:
    """Copy from `distance` back; what is copied may itself be copied on."""
    piece = out[-distance:][:length]
    out += (piece * (length // len(piece) + 1))[:length]
