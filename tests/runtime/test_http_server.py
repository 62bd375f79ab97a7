"""What strangers may send before a request is a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mailquay.errors import ConfigError
from mailquay.runtime import http_protocol
from mailquay.runtime.http_server import HttpServer, private_socket, public_socket


async def _app(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        continue
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = public_socket("127.0.0.1", 0, shared=False)
    server = HttpServer(_app, [listener], drain_seconds=1)
    await server.start()
    yield listener.getsockname()[1]
    await server.stop()


async def _exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(10):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answer = await reader.read(15)
    except ConnectionError:
        return b""
    finally:
        writer.close()
    return answer


async def test_requests_follow_each_other_on_one_connection(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b"x" * 300_000
    for _ in range(3):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + body)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(2) == b"ok"
    writer.close()


@pytest.mark.parametrize("start", [b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000])
async def test_an_endless_head_is_cut_off(port: int, start: bytes) -> None:
    assert await _exchange(port, *[start] * 10) in (b"", b"HTTP/1.1 400 Ba")


async def test_a_head_that_does_not_end_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.1)
    assert await _exchange(port, b"GET / HTTP/1.1\r\nHost: x\r\n") == b""


def test_a_taken_port_is_one_clear_line() -> None:
    first = public_socket("127.0.0.1", 0, shared=False)
    taken = first.getsockname()[1]
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{taken}"):
        public_socket("127.0.0.1", taken, shared=False)
    first.close()


def test_a_long_data_directory_still_gets_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    (deep / "nodes").mkdir(parents=True)
    listener, address = private_socket("n" * 32, deep, None)
    path = Path(address.removeprefix("unix:"))
    assert path.is_socket()
    assert path.stat().st_mode & 0o777 == 0o600
    listener.close()
    path.unlink()
