"""A stream that shows what goes over it to somebody who reads along."""

from __future__ import annotations

import ssl
from typing import Protocol

from mailquay.net.stream import Stream


class Tap(Protocol):
    """Reads along. None of its methods may wait or raise: the connection must not depend on it."""

    def sent(self, data: bytes) -> None:
        """These bytes are about to go out; inside TLS, where there is TLS."""
        ...

    def received(self, data: bytes) -> None:
        """These bytes have come in; inside TLS, where there is TLS."""
        ...

    def closed(self) -> None:
        """The connection is closed; called once."""
        ...


class TappedStream:
    """A Stream like the one inside, and a tap on it."""

    def __init__(self, stream: Stream, tap: Tap) -> None:
        self._stream = stream
        self._tap = tap
        self._closed = False

    async def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """As `Stream.read`."""
        data = await self._stream.read(max_bytes, timeout_seconds)
        self._tap.received(data)
        return data

    async def write(self, data: bytes, timeout_seconds: float) -> None:
        """As `Stream.write`. What goes out is shown first, so that no answer is seen before its question."""
        self._tap.sent(data)
        await self._stream.write(data, timeout_seconds)

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, timeout_seconds: float) -> None:
        """As `Stream.start_tls`."""
        await self._stream.start_tls(context, server_hostname, timeout_seconds)

    async def aclose(self) -> None:
        """As `Stream.aclose`."""
        if not self._closed:
            self._closed = True
            self._tap.closed()
        await self._stream.aclose()

    def info(self, name: str) -> object:
        """As `Stream.info`."""
        return self._stream.info(name)
