"""uvicorn's HTTP protocol with bounds on what is no body: the size of head and trailers, the time to send a head."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """Cuts a connection whose request line, headers or trailers are too long, or whose head does not end in time.

    What belongs to no body is counted: the parser keeps it in memory, whether anybody waits for it or not.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._advanced = False
        self._kept_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._advanced = False
        super().data_received(data)
        # What begins in bytes that also brought something to its end is counted from the next bytes on.
        self._kept_bytes = 0 if self._advanced else self._kept_bytes + len(data)
        if self._kept_bytes > MAX_HEAD_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._advanced = True
        if self._head_timer is None:
            self._wait_for_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are complete."""
        self._advanced = True
        self._stop_waiting()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """A chunk begins; behind the last one, which is empty, stand the trailers."""
        self._advanced = True

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._advanced = True
        super().on_body(body)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_too_slow)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
