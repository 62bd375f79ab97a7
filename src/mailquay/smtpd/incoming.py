"""What a client sends, as lines and as pieces of a message, and what it is told; every wait has a deadline."""

from __future__ import annotations

import asyncio
import ssl

from mailquay.errors import RemoteProtocolError
from mailquay.net.stream import TransportStream
from mailquay.wire.smtp.server import Refusal

_READ_BYTES = 64 * 1024


class ClientGone(Exception):
    """The client closed the connection."""


class Conversation:
    """Lines in, replies out. Only CRLF ends a line: what others take for one must not be taken for two by us."""

    def __init__(self, stream: TransportStream, *, write_timeout: float) -> None:
        self._stream = stream
        self._write_timeout = write_timeout
        self._buffer = bytearray()
        self._scanned = 0
        self.encrypted = stream.info("tls_version") is not None

    async def line(self, max_octets: int, timeout_seconds: float) -> bytes:
        """The next line without its CRLF.

        Raises Refusal for one that is too long, or ends otherwise: nothing of what follows can be trusted then;
        ClientGone, and Unavailable when nothing came in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while (end := self._buffer.find(b"\n", self._scanned)) < 0:
            if len(self._buffer) > max_octets + 1:
                raise Refusal(500, "5.5.6", f"A line must not be longer than {max_octets} octets")
            self._scanned = len(self._buffer)
            self._buffer += await self.read(max(deadline - asyncio.get_running_loop().time(), 0))
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        if not line.endswith(b"\r") or line.count(b"\r") > 1:
            raise Refusal(500, "5.5.2", "Lines must end with CRLF")
        if len(line) > max_octets + 1:
            raise Refusal(500, "5.5.6", f"A line must not be longer than {max_octets} octets")
        return line[:-1]

    async def piece(self, timeout_seconds: float) -> bytes:
        """Whatever has arrived, at least a byte; raises as `line` does."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._scanned = 0
            return data
        return await self.read(timeout_seconds)

    async def read(self, timeout_seconds: float) -> bytes:
        """The next bytes off the wire."""
        data = await self._stream.read(_READ_BYTES, timeout_seconds)
        if not data:
            raise ClientGone
        return data

    def put_back(self, data: bytes) -> None:
        """Have bytes read again that followed a message."""
        self._buffer[:0] = data

    async def reply(self, *lines: str) -> None:
        """Send a reply: `CODE text` in each line; all but the last are marked as such (RFC 5321 §4.2.1)."""
        *first, last = lines
        text = "".join(f"{line[:3]}-{line[4:]}\r\n" for line in first) + f"{last}\r\n"
        await self._stream.write(text.encode("ascii", "replace"), self._write_timeout)

    async def start_tls(self, context: ssl.SSLContext, timeout_seconds: float) -> None:
        """Go on encrypted, with nothing that came before (RFC 3207 §4.2).

        Raises RemoteProtocolError when something came already: it would count as said over TLS.
        """
        if self._buffer:
            raise RemoteProtocolError("the client went on in the clear after STARTTLS")
        await self._stream.accept_tls(context, timeout_seconds)
        self.encrypted = True

    async def close(self) -> None:
        """Close politely, within a second."""
        await self._stream.aclose()
