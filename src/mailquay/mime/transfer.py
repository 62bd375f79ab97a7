"""Content-Transfer-Encodings (RFC 2045 §6): lenient incremental decoders, strict encoders."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Protocol

_BASE64_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64_ALPHABET) - set(b"="))
_BASE64_LINE_BYTES = 57
_ENCODE_PIECE_BYTES = 57 * 1024
_MAX_QP_LINE_BYTES = 64 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Decoder(Protocol):
    """Turns transferred bytes into content, piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """Decode as much of what has come so far as is certain."""
        ...

    def finish(self) -> bytes:
        """What was held back."""
        ...


class IdentityDecoder:
    """7bit, 8bit, binary, and encodings that nobody knows."""

    def feed(self, data: bytes) -> bytes:
        """The bytes themselves."""
        return data

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class Base64Decoder:
    """RFC 2045 §6.8; what is not in the alphabet is skipped, padding may be missing or stand between pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Decode every whole quantum."""
        data = self._rest + data.translate(None, _NOT_BASE64)
        self._rest = b""
        pieces: list[bytes] = []
        if b"=" in data:
            *padded, data = data.split(b"=")
            pieces = [_decode_quanta(piece) for piece in padded if piece]
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        pieces.append(binascii.a2b_base64(data[:whole]))
        return b"".join(pieces)

    def finish(self) -> bytes:
        """Decode a last quantum that lacks its padding."""
        rest, self._rest = self._rest, b""
        return _decode_quanta(rest)


def _decode_quanta(data: bytes) -> bytes:
    if len(data) % 4 == 1:
        data = data[:-1]
    return binascii.a2b_base64(data + b"=" * (-len(data) % 4))


class QuotedPrintableDecoder:
    """RFC 2045 §6.7; a broken escape stays as it is."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Decode up to the last line end; an endless line is cut where no escape can be."""
        data = self._rest + data
        stop = data.rfind(b"\n") + 1
        if not stop and len(data) > _MAX_QP_LINE_BYTES:
            stop = max(len(data.rstrip(b"= \t\r")) - 2, 0)
            if data[stop - 2 : stop].startswith(b"="):
                stop -= 2
            elif data[stop - 1 : stop] == b"=":
                stop -= 1
            if len(data) - stop > _MAX_QP_LINE_BYTES:
                stop = len(data)
        self._rest = data[stop:]
        return _decode_quoted_printable(data[:stop])

    def finish(self) -> bytes:
        """Decode the last line."""
        rest, self._rest = self._rest, b""
        return _decode_quoted_printable(rest)


def _decode_quoted_printable(data: bytes) -> bytes:
    if any(end in data for end in (b" \n", b"\t\n", b" \r\n", b"\t\r\n")):
        # White space at the end of a line was added on the way (RFC 2045 §6.7 rule 3).
        data = b"\n".join(map(_without_trailing_space, data.split(b"\n")))
    return binascii.a2b_qp(data)


def _without_trailing_space(line: bytes) -> bytes:
    if line.endswith(b"\r"):
        return line[:-1].rstrip(b" \t") + b"\r"
    return line.rstrip(b" \t")


class UuencodeDecoder:
    """The uuencoding of old Unix mailers, with or without its begin and end lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """Decode every whole line."""
        data = self._rest + data
        stop = data.rfind(b"\n") + 1
        self._rest = data[stop:][:_MAX_QP_LINE_BYTES]
        return b"".join(self._line(line) for line in data[:stop].splitlines())

    def finish(self) -> bytes:
        """Decode a last line without an end."""
        rest, self._rest = self._rest, b""
        return self._line(rest)

    def _line(self, line: bytes) -> bytes:
        if self._ended or not line or line.startswith(b"begin "):
            return b""
        if line in (b"end", b"`", b" "):
            self._ended = line == b"end"
            return b""
        try:
            return binascii.a2b_uu(line)
        except binascii.Error:
            # Some encoders pad lines wrongly: take what the length octet asks for.
            count = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                return binascii.a2b_uu(line[:count])
            except binascii.Error:
                return b""


def decoder_for(encoding: str | None) -> Decoder:
    """The decoder for the value of a Content-Transfer-Encoding field, whatever its case."""
    name = (encoding or "").strip().strip("\"'").lower().partition(";")[0].strip()
    if name == "base64":
        return Base64Decoder()
    if name == "quoted-printable":
        return QuotedPrintableDecoder()
    if name in ("uuencode", "x-uuencode", "x-uue", "uue"):
        return UuencodeDecoder()
    return IdentityDecoder()


def decode_transfer(data: bytes, encoding: str | None) -> bytes:
    """Decode a whole body."""
    decoder = decoder_for(encoding)
    return decoder.feed(data) + decoder.finish()


def encode_base64(data: bytes) -> Iterator[bytes]:
    """`data` as base64 lines of 76 characters, each ended by CRLF, in pieces of about 80 KB."""
    for start in range(0, len(data), _ENCODE_PIECE_BYTES):
        piece = data[start : start + _ENCODE_PIECE_BYTES]
        encoded = binascii.b2a_base64(piece, newline=False)
        yield b"".join(encoded[i : i + 76] + b"\r\n" for i in range(0, len(encoded), 76))


def encode_quoted_printable(data: bytes) -> bytes:
    """Text as quoted-printable: line ends become CRLF, lines stay within 76 octets (RFC 2045 §6.7)."""
    text = _LINE_END.sub(b"\n", data) if b"\r" in data else data
    return binascii.b2a_qp(text, quotetabs=False, istext=True, header=False).replace(b"\n", b"\r\n")


def normalize_line_ends(data: bytes) -> bytes:
    """Every CRLF, bare CR and bare LF as CRLF (RFC 5322 §2.3 allows no others)."""
    if data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n"):
        return data
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    return _LINE_END.sub(b"\r\n", data)
