from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from mailquay.errors import EgressBlocked, InvalidRequest, RemoteProtocolError, Unavailable
from mailquay.net.egress import EgressPolicy
from mailquay.net.http import HttpClient
from tests.net.certificate import Certificate
from tests.net.peer import serve
from tests.net.test_connect import unused_port
from tests.net.test_proxy import greet

LIMIT = 5.0


@asynccontextmanager
async def client(policy: EgressPolicy = EgressPolicy.LINK_LOCAL) -> AsyncIterator[HttpClient]:
    http = HttpClient(policy=policy, user_agent="mailquay-test/1")
    try:
        yield http
    finally:
        await http.aclose()


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {"X-Seen-Agent": request.headers["User-Agent"], "X-Custom": request.headers.get("X-Custom", "")}
        return web.Response(body=body, status=202, headers=headers)

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(50 * 1024 * 1024)), headers={"Content-Encoding": "gzip"})

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/redirect", redirect)
    app.router.add_get("/bomb", bomb)
    app.router.add_get("/hang", hang)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_request_and_answer() -> None:
    async with site() as base, client() as http:
        answer = await http.request(
            "POST", base + "/echo", headers={"X-Custom": "1"}, body=b"x" * 100_000, timeout_seconds=LIMIT
        )
    assert answer.status == 202
    assert answer.body == b"x" * 100_000
    assert answer.headers["x-seen-agent"] == "mailquay-test/1"
    assert answer.headers["x-custom"] == "1"


async def test_redirects_are_an_answer_unless_followed() -> None:
    async with site() as base, client() as http:
        answer = await http.request("GET", base + "/redirect", timeout_seconds=LIMIT)
        assert answer.status == 302
        answer = await http.request("GET", base + "/redirect", timeout_seconds=LIMIT, follow_redirects=True)
        assert answer.status == 202


async def test_answers_are_cut_off_at_the_limit() -> None:
    async with site() as base, client() as http:
        with pytest.raises(RemoteProtocolError) as caught:
            await http.request("GET", base + "/bomb", timeout_seconds=LIMIT)
    assert caught.value.code == "ERESPONSETOOLARGE"


async def test_deadline_covers_everything() -> None:
    async with site() as base, client() as http:
        with pytest.raises(Unavailable) as caught:
            await http.request("GET", base + "/hang", timeout_seconds=0.05)
    assert caught.value.code == "ETIMEDOUT"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_policy_stops_literals_and_names(host: str) -> None:
    async with client(EgressPolicy.PRIVATE) as http:
        with pytest.raises(EgressBlocked):
            await http.request("GET", f"http://{host}:9/", timeout_seconds=LIMIT)


async def test_policy_holds_after_a_redirect() -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with serve(redirect) as port, client() as http:
        with pytest.raises(EgressBlocked):
            await http.request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=LIMIT, follow_redirects=True)


@pytest.mark.parametrize("url", ["http://2130706433/", "http://127.1/", "http://0x7f.1/"])
async def test_odd_spellings_of_loopback_do_not_connect(url: str) -> None:
    async with client(EgressPolicy.PRIVATE) as http:
        with pytest.raises((EgressBlocked, InvalidRequest, Unavailable)):
            await http.request("GET", url, timeout_seconds=LIMIT)


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://", "gopher://x", "http://a:b:c/", "//host"])
async def test_what_is_no_http_url(url: str) -> None:
    async with client() as http:
        with pytest.raises(InvalidRequest):
            await http.request("GET", url, timeout_seconds=LIMIT)


async def test_header_injection_is_refused() -> None:
    async with site() as base, client() as http:
        with pytest.raises(InvalidRequest):
            await http.request("GET", base + "/echo", headers={"X-A": "1\r\nX-B: 2"}, timeout_seconds=LIMIT)


async def test_network_failures_have_codes(certificate: Certificate) -> None:
    async def vanish(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readline()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 hello\r\n")
        await reader.read()

    async def code_of(url: str) -> str:
        with pytest.raises((Unavailable, RemoteProtocolError)) as caught:
            await http.request("GET", url, timeout_seconds=LIMIT)
        return caught.value.code

    async with client() as http:
        with unused_port() as port:
            assert await code_of(f"http://127.0.0.1:{port}/") == "ECONNREFUSED"
        assert await code_of("http://host.invalid/") == "ENOTFOUND"
        async with serve(vanish) as port:
            assert await code_of(f"http://127.0.0.1:{port}/") == "ECONNRESET"
        async with serve(babble) as port:
            assert await code_of(f"http://127.0.0.1:{port}/") == "ProtocolError"
        async with serve(greet, context=certificate.context) as port:
            assert await code_of(f"https://localhost:{port}/") == "DEPTH_ZERO_SELF_SIGNED_CERT"
