"""A byte stream over TCP or TLS: five methods, every wait with a deadline, little memory while idle."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Protocol

from mailquay.errors import LocalProtocolError, RemoteProtocolError, Unavailable
from mailquay.net.tls import tls_failure

_PAUSE_READING_BYTES = 64 * 1024
_RESUME_READING_BYTES = 16 * 1024
_PAUSE_WRITING_BYTES = 128 * 1024
_CLOSE_GRACE_SECONDS = 1.0


class Stream(Protocol):
    """Bytes to and from one peer. At most one `read` and one `write` may be waiting at a time."""

    async def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        """Wait for bytes and return up to `max_bytes` of them; b"" when the peer has closed its side.

        Raises Unavailable: ETIMEDOUT when nothing came in time, ECONNRESET when the connection broke.
        """
        ...

    async def write(self, data: bytes, timeout_seconds: float) -> None:
        """Send `data`; returns when little enough of it is still waiting in our own buffers.

        Raises Unavailable: ETIMEDOUT when the peer takes nothing, ECONNRESET when the connection is gone.
        """
        ...

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, timeout_seconds: float) -> None:
        """Turn the connection into TLS as its client.

        Raises RemoteProtocolError when plaintext bytes are already waiting: they would be read as if they had come
        through TLS (RFC 3207 §6 asks to discard what was learnt before). Raises Unavailable for a failed handshake.
        """
        ...

    async def aclose(self) -> None:
        """Close politely, abort after a second; may be called twice."""
        ...

    def info(self, name: str) -> object:
        """`peername`, `sockname`, `tls_version`, `cipher` or `peercert`; None where it does not apply."""
        ...


class TransportStream(asyncio.Protocol):
    """Stream over an asyncio transport, of uvloop or of the standard loop.

    It keeps no buffer of its own while idle: received chunks are handed on as they came, and the transport is paused
    while more than 64 KiB wait for a reader.
    """

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._head_offset = 0
        self._buffered_bytes = 0
        self._reading_paused = False
        self._writing_paused = False
        self._eof = False
        self._lost = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._closer: asyncio.Future[None] | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._use(transport)  # type: ignore[arg-type]  # uvloop's transports do not derive from asyncio.Transport

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes > _PAUSE_READING_BYTES and not self._reading_paused and self._transport:
            self._reading_paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._eof = True
        _wake(self._reader)
        return False

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        _wake(self._writer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._error = exc
        for waiter in (self._reader, self._writer, self._closer):
            _wake(waiter)

    # What our callers call.

    async def read(self, max_bytes: int, timeout_seconds: float) -> bytes:
        if not self._chunks and not self._eof and not self._lost:
            if self._reader is not None:
                raise LocalProtocolError("two reads at once on one stream")
            self._reader = self._loop.create_future()
            try:
                await self._wait(self._reader, timeout_seconds, "sent nothing")
            finally:
                self._reader = None
        if self._chunks:
            return self._take(max_bytes)
        if self._error is not None:
            raise self._broken()
        return b""

    async def write(self, data: bytes, timeout_seconds: float) -> None:
        if self._lost or self._transport is None or self._transport.is_closing():
            raise self._broken()
        self._transport.write(data)
        if self._writing_paused:
            if self._writer is not None:
                raise LocalProtocolError("two writes at once on one stream")
            self._writer = self._loop.create_future()
            try:
                await self._wait(self._writer, timeout_seconds, "accepted no data")
            finally:
                self._writer = None
            if self._lost:
                raise self._broken()

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, timeout_seconds: float) -> None:
        await self._upgrade(context, server_hostname, timeout_seconds)

    async def accept_tls(self, context: ssl.SSLContext, timeout_seconds: float) -> None:
        """Turn an accepted connection into TLS as its server; raises as `start_tls` does."""
        await self._upgrade(context, None, timeout_seconds, server_side=True)

    async def _upgrade(
        self, context: ssl.SSLContext, server_hostname: str | None, timeout_seconds: float, *, server_side: bool = False
    ) -> None:
        if self._lost or self._transport is None:
            raise self._broken()
        if self._chunks:
            self._transport.abort()
            raise RemoteProtocolError(f"{self._peer} sent data in plaintext after it agreed to start TLS")
        try:
            async with asyncio.timeout(timeout_seconds):
                upgraded = await self._loop.start_tls(
                    self._transport,
                    self,
                    context,
                    server_side=server_side,
                    server_hostname=server_hostname,
                    ssl_handshake_timeout=timeout_seconds + 1,
                    ssl_shutdown_timeout=_CLOSE_GRACE_SECONDS,
                )
        except TimeoutError:
            self._transport.abort()
            raise Unavailable(
                f"{self._peer} did not finish the TLS handshake within {timeout_seconds:g} s", code="ETIMEDOUT"
            ) from None
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except (OSError, ValueError) as error:
            self._transport.abort()
            raise tls_failure(error, self._peer) from error
        if upgraded is None:
            raise self._broken()
        self._use(upgraded)

    async def aclose(self) -> None:
        if self._transport is None or self._lost:
            return
        self._transport.close()
        self._closer = self._closer or self._loop.create_future()
        try:
            async with asyncio.timeout(_CLOSE_GRACE_SECONDS):
                await asyncio.shield(self._closer)
        except TimeoutError:
            self._transport.abort()
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    def info(self, name: str) -> object:
        if self._transport is None:
            return None
        if name == "tls_version":
            tls = self._transport.get_extra_info("ssl_object")
            return tls.version() if tls is not None else None
        if name == "cipher":
            cipher = self._transport.get_extra_info("cipher")
            return cipher[0] if cipher else None
        return self._transport.get_extra_info(name)

    # Our own means.

    def _use(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=_PAUSE_WRITING_BYTES)
        self._transport = transport

    def _take(self, max_bytes: int) -> bytes:
        head = self._chunks[0]
        start = self._head_offset
        if len(head) - start <= max_bytes:
            self._chunks.popleft()
            self._head_offset = 0
            taken = head[start:] if start else head
        else:
            self._head_offset = start + max_bytes
            taken = head[start : self._head_offset]
        self._buffered_bytes -= len(taken)
        if self._reading_paused and self._buffered_bytes < _RESUME_READING_BYTES and self._transport:
            self._reading_paused = False
            if not self._lost:
                self._transport.resume_reading()
        return taken

    async def _wait(self, waiter: asyncio.Future[None], timeout_seconds: float, what: str) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter
        except TimeoutError:
            raise Unavailable(f"{self._peer} {what} for {timeout_seconds:g} s", code="ETIMEDOUT") from None

    def _broken(self) -> Unavailable:
        if isinstance(self._error, ssl.SSLError):
            failure = tls_failure(self._error, self._peer)
        else:
            failure = Unavailable(f"The connection to {self._peer} was lost", code="ECONNRESET")
        failure.__cause__ = self._error
        return failure


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
