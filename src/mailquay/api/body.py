"""Reading request bodies: bounded in size, in time, and all together in memory."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from mailquay.api.errors import HttpError
from mailquay.api.http import Request
from mailquay.services.memory_budget import MemoryBudget

OFF_LOOP_BYTES = 256 * 1024
MAX_VALUES = 100_000
_MOST_FIELDS = 20
_RETRY_AFTER_SECONDS = "2"
_NUL, _BACKSLASH = b"\\u0000", b"\\\\"
# Up to the next value, or to the end of them. Takes whatever begins with a quote, also what never ends: nothing is
# looked at twice.
_VALUE = re.compile(rb'(?:[^",\[{]++|"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))*+(?:[,\[{]|\Z)', re.DOTALL)
_DISCARDED_BYTES, _DISCARD_SECONDS = 64 * 1024 * 1024, 10.0
# Slower than this nobody uploads: below it a body would hold its memory for no good reason.
_SLOWEST_BYTES_PER_SECOND = 16 * 1024


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


class BodyReader:
    """Reads the body of one request; what it took of the budget is free again when the `with` block ends.

    What has arrived counts, not what was announced: a client that announces much and sends nothing shuts nobody out.
    """

    def __init__(self, request: Request, budget: MemoryBudget, *, limit_bytes: int, timeout_seconds: float) -> None:
        self._request = request
        self._budget = budget
        self._limit_bytes = limit_bytes
        self._timeout_seconds = timeout_seconds
        self._taken_bytes = 0

    def __enter__(self) -> BodyReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self._taken_bytes)

    async def read(self) -> bytes | bytearray:
        """The whole body.

        Raises HttpError: 408 too slow, 413 too long, 415 compressed, 503 beyond the budget; ClientGone.
        """
        headers = self._request.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HttpError(415, "compressed request bodies are not accepted", close=True)
        declared = headers.get("content-length", "")
        try:
            if declared.isdecimal():
                self._check_size(int(declared))
            async with asyncio.timeout(self._timeout_seconds) as deadline:
                return await self._receive(deadline)
        except TimeoutError:
            raise HttpError(408, "the request body took too long to arrive", close=True) from None
        except HttpError as error:
            # Without the traceback, which holds what has arrived.
            refusal = error.with_traceback(None)
        self._budget.give_back(self._taken_bytes)
        self._taken_bytes = 0
        await self._discard()
        raise refusal

    async def _discard(self) -> None:
        """Let a client that is still sending finish, within reason: one that is cut off does not read the answer."""
        if self._request.headers.get("expect") is not None:
            return
        left = _DISCARDED_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while left > 0:
                    message = await self._request.receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise HttpError(413, f"the request body is longer than {self._limit_bytes} bytes", close=True)

    def _take(self, total_bytes: int) -> None:
        if total_bytes > self._taken_bytes:
            _take(self._budget, total_bytes - self._taken_bytes)
            self._taken_bytes = total_bytes

    async def _receive(self, deadline: asyncio.Timeout) -> bytes | bytearray:
        """Receive until the end, with a pause no longer than the timeout, and no slower than the slowest rate."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        # Grown in place: the parts and the whole would be twice as much.
        body = bytearray()
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            self._check_size(len(body) + len(chunk))
            self._take(len(body) + len(chunk))
            if not body and not message.get("more_body", False):
                return bytes(chunk)
            body += chunk
            if not message.get("more_body", False):
                return body
            earned = began + len(body) / _SLOWEST_BYTES_PER_SECOND
            deadline.reschedule(min(loop.time(), earned) + self._timeout_seconds)


def _take(budget: MemoryBudget, size_bytes: int) -> None:
    if not budget.take(size_bytes):
        raise HttpError(
            503,
            "too many large requests at once; try again in a moment",
            code="ServerBusy",
            headers={"retry-after": _RETRY_AFTER_SECONDS},
            close=True,
        )


def check_media_type(request: Request) -> None:
    """A body is JSON, whether it says so or says nothing.

    Raises HttpError (415) when it says something else.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared and declared != "application/json" and not declared.endswith("+json"):
        raise HttpError(415, f"the request body must be application/json, not {declared[:100]}")


def decode_json(raw: bytes | bytearray) -> Any:
    """The JSON value of a body; an empty body is an empty object.

    Raises HttpError: 400 when it is no JSON (RFC 8259) or nested too deeply, 413 when it holds too many values.
    """
    if not raw or raw.isspace():
        return {}
    try:
        if _too_many(raw):
            raise HttpError(413, f"the request body holds more than {MAX_VALUES} values")
        if _NUL in raw and _NUL in raw.replace(_BACKSLASH, b""):
            # No text of ours needs it, and not every database can hold it.
            raise HttpError(400, "the request body holds a NUL character")
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, "Invalid request payload JSON format") from error


def decode_form(raw: bytes | bytearray) -> dict[str, str]:
    """The fields of a form (application/x-www-form-urlencoded), the first of each name.

    Raises HttpError (400) for more than a form of ours could hold, and for bytes that are no UTF-8.
    """
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except (UnicodeDecodeError, ValueError) as error:
        raise HttpError(400, "Invalid form") from error
    return dict(reversed(pairs))


def _too_many(raw: bytes | bytearray) -> bool:
    """Whether there are more than MAX_VALUES: each takes some hundred bytes of memory where it took two on the wire.

    Raises msgspec.DecodeError and RecursionError when it would have to look into what is no JSON.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= MAX_VALUES:
        return False
    # One search is one step in which no other thread runs, the event loop neither: it has to end at a separator, and
    # only in JSON there is one behind every string.
    msgspec.json.decode(raw, type=msgspec.Raw)
    beyond = next(islice(_VALUE.finditer(raw), MAX_VALUES, None), None)
    return beyond is not None and raw[beyond.end() - 1] in b",[{"
