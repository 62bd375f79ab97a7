"""A stream whose both directions are compressed, once the server has agreed to COMPRESS (RFC 4978)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

from mailquay.errors import LocalProtocolError
from mailquay.net.stream import Stream
from mailquay.wire.imap.compress import Deflater, Inflater


class DeflateStream:
    """See Stream. `received` is what has come behind the tagged OK and was read with it."""

    def __init__(self, stream: Stream, received: bytes) -> None:
        self._stream = stream
        self._deflater = Deflater()
        self._inflater = Inflater()
        self._pieces: Iterator[bytes] = self._inflater.expand(received)
        self._rest = b""

    async def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """See Stream.read. Raises RemoteProtocolError for what is no deflate stream, or expands without end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                data = await self._stream.read(max_bytes, timeout_seconds)
                if not data:
                    return b""
                self._pieces = self._inflater.expand(data)
            else:
                self._rest = piece
                # A little input may hold much work: others have their turn between the pieces.
                await asyncio.sleep(0)
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def write(self, data: bytes, timeout_seconds: float) -> None:
        """See Stream.write."""
        await self._stream.write(self._deflater.compress(data), timeout_seconds)

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, timeout_seconds: float) -> None:
        """TLS lies below compression. Raises LocalProtocolError."""
        raise LocalProtocolError("TLS has to be started before compression")

    async def aclose(self) -> None:
        """See Stream.aclose."""
        await self._stream.aclose()

    def info(self, name: str) -> object:
        """See Stream.info; `compression` is DEFLATE."""
        return "DEFLATE" if name == "compression" else self._stream.info(name)
