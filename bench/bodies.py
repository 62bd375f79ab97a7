"""Large messages: what uploading many at once, and downloading one, takes of memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import aiohttp

from bench.world import account_body, bench_dovecot, pid_of, pss_mb, row, server_in
from tests.e2e.server import Server

_UPLOADS = 20
_BODY_BYTES = 40 * 1024 * 1024
_ATTACHMENT_BYTES = 100 * 1000 * 1000
_PIECE_BYTES = 1024 * 1024
_LOOK_SECONDS = 0.02
_TIMEOUT = aiohttp.ClientTimeout(total=600)
T = TypeVar("T")


async def main() -> None:
    """Uploads, submissions, and downloads, on a server that takes bodies of that size."""
    with bench_dovecot() as (folder, dovecot):
        reader, writer = dovecot.new_user(), dovecot.new_user()
        await asyncio.to_thread(dovecot.fill, reader.login, [_large_message()])
        async with server_in(folder, "bodies", max_attachment_size="50MB", max_body_size="60MB") as server:
            for name, user in (("reads", reader), ("writes", writer)):
                await server.ok("POST", "/v1/account", account_body(dovecot, user, name))
                await server.wait_connected(name)
            async with aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {server.token}"}, timeout=_TIMEOUT
            ) as http:
                await _downloads(server, http)
                await _uploads(server, http, folder)


async def _downloads(server: Server, http: aiohttp.ClientSession) -> None:
    [listed] = (await server.ok("GET", "/v1/account/reads/messages?path=INBOX"))["messages"]
    [attachment] = listed["attachments"]
    for what, path in (("attachment", f"attachment/{attachment['id']}"), ("source", f"message/{listed['id']}/source")):

        async def download(path: str = path) -> int:
            size = 0
            async with http.get(f"{server.base_url}/v1/account/reads/{path}") as answer:
                answer.raise_for_status()
                async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                    size += len(piece)
            return size

        size, seconds, before_mb, grown_mb = await _weighed(server, download)
        row(
            f"{what} of {size / 1e6:.0f} MB downloaded: seconds; memory (PSS) before, most while doing it",
            f"{seconds:.1f} s; {before_mb:.0f} MB, +{grown_mb:.1f} MB",
        )


async def _uploads(server: Server, http: aiohttp.ClientSession, folder: Path) -> None:
    body = folder / "body.json"
    raw = b"From: a@b.example\r\nSubject: large\r\n\r\n" + b"x" * (_BODY_BYTES * 3 // 4 - 100) + b"\r\n"
    body.write_bytes(b'{"path": "INBOX", "raw": "' + base64.b64encode(raw) + b'"}')
    turned_away = 0

    async def upload() -> None:
        nonlocal turned_away
        while True:
            headers = {"Content-Type": "application/json", "Content-Length": str(body.stat().st_size)}
            headers["X-EE-Timeout"] = "120000"  # they wait for the few connections of one account
            url = f"{server.base_url}/v1/account/writes/message"
            async with http.post(url, data=_pieces(body), headers=headers) as answer:
                if answer.status != 503:
                    answer.raise_for_status()
                    return
                turned_away += 1
                await answer.read()
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))  # as the answer asks for

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_UPLOADS):
                tasks.create_task(upload())

    _, seconds, before_mb, grown_mb = await _weighed(server, all_of_them)
    row(
        f"{_UPLOADS} uploads of {_BODY_BYTES // 2**20} MiB at once: seconds (answers 503); "
        "memory (PSS) before, most while doing it",
        f"{seconds:.1f} s ({turned_away}); {before_mb:.0f} MB, +{grown_mb:.0f} MB",
    )


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


async def _weighed(server: Server, work: Callable[[], Awaitable[T]]) -> tuple[T, float, float, float]:
    """The result, the seconds, the server's memory before in MB, and by how much it grew at most."""
    pid = pid_of(server)
    before_mb, most_mb = pss_mb(pid), 0.0

    async def look() -> None:
        nonlocal most_mb
        while True:
            most_mb = max(most_mb, await asyncio.to_thread(pss_mb, pid))
            await asyncio.sleep(_LOOK_SECONDS)

    looking, began = asyncio.create_task(look()), time.perf_counter()
    try:
        result = await work()
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    seconds = time.perf_counter() - began
    return result, seconds, before_mb, most_mb - before_mb


def _large_message() -> bytes:
    content = base64.encodebytes(bytes(range(256)) * (_ATTACHMENT_BYTES // 256)).replace(b"\n", b"\r\n")
    return (
        b"From: a@b.example\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n'
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=large.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + content + b"--b--\r\n"
    )
