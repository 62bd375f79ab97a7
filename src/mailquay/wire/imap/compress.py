"""COMPRESS=DEFLATE: both directions become raw deflate streams behind the tagged OK (RFC 4978)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.writer import Writer

_RAW: Final = -15
"""Window bits of zlib: 32 KiB, without header and checksum (RFC 4978 §4)."""
_SMALL_RAW: Final = -12
_MEMORY_LEVEL: Final = 4
_PIECE_BYTES: Final = 64 * 1024
_USUAL_RATIO: Final = 200
_MAX_SURPLUS_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """COMPRESS. Nothing may follow it before it is answered; behind an OK everything is compressed."""

    name = "COMPRESS"

    mechanism: str = "DEFLATE"

    def write(self, w: Writer) -> None:
        w.raw(b"COMPRESS ")
        w.atom(self.mechanism)


def read_compress(r: Reader) -> Compress:
    """Read the arguments of COMPRESS."""
    return Compress(r.atom().decode("latin-1").upper())


class Deflater:
    """Compresses what goes out. What is given is complete: the peer can read it at once.

    Commands are short and connections many: a small window keeps 24 KiB for each instead of 256.
    """

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _SMALL_RAW, _MEMORY_LEVEL)

    def compress(self, data: bytes) -> bytes:
        """The compressed bytes of `data` and whatever is needed to read them."""
        if not data:
            return b""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class Inflater:
    """Expands what comes in, in pieces of bounded size.

    A message full of zeros shrinks to a thousandth, so that a high ratio alone proves nothing. But what is more
    than 200 times its compressed size may not add up to more than 64 MiB.
    """

    def __init__(self, max_surplus_bytes: int = _MAX_SURPLUS_BYTES) -> None:
        self._inflate = zlib.decompressobj(_RAW)
        self._max_surplus_bytes = max_surplus_bytes
        self._surplus_bytes = 0

    def expand(self, data: bytes) -> Iterator[bytes]:
        """What `data` stands for, 64 KiB at most at a time; take all of it before giving more.

        Raises RemoteProtocolError for what is no deflate stream, for its end, and for a bomb.
        """
        self._surplus_bytes = max(0, self._surplus_bytes - _USUAL_RATIO * len(data))
        full = True
        # zlib may have read all its input and still hold output that did not fit.
        while data or full:
            try:
                piece = self._inflate.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise RemoteProtocolError(f"the compressed stream is broken: {error}") from error
            data, full = self._inflate.unconsumed_tail, len(piece) == _PIECE_BYTES
            self._surplus_bytes += len(piece)
            if self._surplus_bytes > self._max_surplus_bytes:
                raise RemoteProtocolError("the compressed stream expands beyond all measure")
            if piece:
                yield piece
            if self._inflate.eof:
                raise RemoteProtocolError("the compressed stream has ended")
