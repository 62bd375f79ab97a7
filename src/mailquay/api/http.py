"""Requests and answers over ASGI: just what the API needs of them, read once, bounded.

A framework's request object would cost more than everything else that a read of an account does.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from mailquay.api.errors import HttpError
from mailquay.services.message_request import Download

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_TARGET_BYTES = 32 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_QUERY_FIELDS = 200

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_request_prefix = secrets.token_hex(4)
_request_numbers = itertools.count(1)


class Request:
    """One HTTP request. Header names are lower case; of a repeated header all values are joined by ", "."""

    __slots__ = ("headers", "id", "method", "peer", "query_string", "receive", "scheme", "segments", "target")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Read what stands before the body.

        Raises HttpError (400, 414, 431) when it is malformed or too long.
        """
        self.receive = receive
        self.id = f"{_request_prefix}-{next(_request_numbers):x}"
        self.method: str = scope["method"]
        self.scheme: str = scope.get("scheme", "http")
        client = scope.get("client")
        self.peer: str | None = client[0] if client else None
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.query_string: bytes = scope["query_string"]
        if len(raw) + len(self.query_string) > MAX_TARGET_BYTES:
            raise HttpError(414, f"the address is longer than {MAX_TARGET_BYTES} bytes", close=True)
        self.target = raw.decode("latin-1")
        self.segments = _segments(self.target)
        self.headers = _headers(scope["headers"])

    @property
    def path(self) -> str:
        """The path with its segments decoded, for logs and pages."""
        return "/" + "/".join(self.segments)

    def query(self) -> dict[str, str | list[str]]:
        """The query; a key that comes several times has a list.

        Raises HttpError (400) when it cannot be read.
        """
        if not self.query_string:
            return {}
        try:
            pairs = parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_QUERY_FIELDS,
            )
        except ValueError as error:
            raise HttpError(400, "the query of the address cannot be read") from error
        if any("\0" in text for pair in pairs for text in pair):
            raise HttpError(400, "the query of the address cannot be read")
        values: dict[str, str | list[str]] = {}
        for key, value in pairs:
            known = values.get(key)
            if known is None:
                values[key] = value
            elif isinstance(known, list):
                known.append(value)
            else:
                values[key] = [known, value]
        return values


def _segments(target: str) -> tuple[str, ...]:
    """The decoded parts of a path; a trailing slash makes no difference."""
    path = target.strip("/") if target != "/" else ""
    if "%" not in path:
        return tuple(path.split("/")) if path else ()
    try:
        segments = tuple(unquote(part, errors="strict") for part in path.split("/"))
    except UnicodeDecodeError as error:
        raise HttpError(400, "the path of the address is not UTF-8") from error
    if any(_CONTROL.search(segment) for segment in segments):
        # No name of ours has them; logs on a terminal would obey them, and PostgreSQL has no text with a NUL.
        raise HttpError(400, "the path of the address holds control characters")
    return segments


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    if len(pairs) > MAX_HEADERS or sum(len(name) + len(value) for name, value in pairs) > MAX_HEADER_BYTES:
        raise HttpError(431, "the header is too long", close=True)
    headers: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Streamed:
    """An answer that is sent piece by piece: opened first, so that what fails then still gets its own status."""

    source: AbstractAsyncContextManager[Download]
    headers: Callable[[Download], Mapping[str, str]]


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers in the form of ASGI; ours hold nothing but Latin-1 and no line ends."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def send_answer(send: Send, answer: Answer, headers: Mapping[str, str], *, head: bool = False) -> None:
    """Send a whole answer; `head` leaves out the body (RFC 9110 §9.3.2)."""
    fields = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        *encode_headers({"cache-control": "no-cache", **headers, **answer.headers}),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
