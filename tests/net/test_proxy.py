from __future__ import annotations

import asyncio
import base64
import struct

import pytest

from mailquay.errors import InvalidRequest, Unavailable
from mailquay.net.connect import connect
from mailquay.net.proxy import ProxySettings
from mailquay.net.tls import TlsSettings
from tests.net.certificate import Certificate
from tests.net.peer import Handler, serve

LIMIT = 5.0


async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Hand a connection on to a port of this machine."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


def socks_proxy(*, user: bytes | None = None, password: bytes = b"", reply: int = 0) -> Handler:
    """A SOCKS5 proxy that asks for a password when `user` is given and answers requests with `reply`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if user is not None else 0
        if wanted not in methods:
            writer.write(b"\x05\xff")
            await writer.drain()
            return
        writer.write(bytes([5, wanted]))
        if user is not None:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            secret = await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x01\x00" if (name, secret) == (user, password) else b"\x01\x01")
        _, _, _, kind = await reader.readexactly(4)
        length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        await reader.readexactly(length)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        writer.write(bytes([5, reply, 0, 3, 4]) + b"name" + b"\x00\x00")
        await writer.drain()
        if reply == 0:
            await join(reader, writer, port)

    return handle


def socks4_proxy(*, user: bytes = b"", reply: int = 90) -> Handler:
    """A SOCKS4 proxy that takes names (4a) and knows one user."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, command, port = struct.unpack("!BBH", await reader.readexactly(4))
        address = await reader.readexactly(4)
        assert (version, command) == (4, 1)
        assert await reader.readuntil(b"\x00") == user + b"\x00"
        if address == b"\x00\x00\x00\x01":
            assert await reader.readuntil(b"\x00") == b"localhost\x00"
        else:
            assert address == b"\x7f\x00\x00\x01"
        writer.write(bytes([0, reply]) + b"\x00" * 6)
        await writer.drain()
        if reply == 90:
            await join(reader, writer, port)

    return handle


def http_proxy(status: str = "200 Connection established", *, authorization: str | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split()[1]
        if authorization is not None:
            assert f"Proxy-Authorization: {authorization}\r\n" in head
        writer.write(f"HTTP/1.1 {status}\r\nX-Proxy: test\r\n\r\n".encode())
        await writer.drain()
        if status.startswith("200"):
            await join(reader, writer, int(target.rpartition(":")[2]))

    return handle


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n")
    await writer.drain()
    writer.write(await reader.readline())
    await writer.drain()


async def _talk(port: int, proxy_url: str, *, host: str = "127.0.0.1", tls: TlsSettings | None = None) -> bytes:
    proxy = ProxySettings.from_url(proxy_url)
    stream = await connect(host, port, tls=tls, timeout_seconds=LIMIT, proxy=proxy)
    received = await stream.read(100, LIMIT)
    await stream.write(b"ping\r\n", LIMIT)
    while not received.endswith(b"ping\r\n"):
        received += await stream.read(100, LIMIT)
    await stream.aclose()
    return received


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_socks5(host: str) -> None:
    async with serve(greet) as port, serve(socks_proxy()) as proxy_port:
        assert await _talk(port, f"socks5://127.0.0.1:{proxy_port}", host=host) == b"220 hello\r\nping\r\n"


async def test_socks5_with_a_password() -> None:
    async with serve(greet) as port, serve(socks_proxy(user=b"me@x", password=b"p:w")) as proxy_port:
        assert await _talk(port, f"socks://me%40x:p%3Aw@127.0.0.1:{proxy_port}") == b"220 hello\r\nping\r\n"
        with pytest.raises(Unavailable, match="did not accept"):
            await _talk(port, f"socks5://me:wrong@127.0.0.1:{proxy_port}")
        with pytest.raises(Unavailable, match="wants a user name"):
            await _talk(port, f"socks5://127.0.0.1:{proxy_port}")


async def test_socks5_refusal_names_the_reason() -> None:
    async with serve(socks_proxy(reply=5)) as proxy_port:
        with pytest.raises(Unavailable, match="connection refused") as caught:
            await _talk(25, f"socks5://127.0.0.1:{proxy_port}")
    assert caught.value.code == "EPROXY"


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_socks4(scheme: str, host: str) -> None:
    async with serve(greet) as port, serve(socks4_proxy(user=b"me")) as proxy_port:
        assert await _talk(port, f"{scheme}://me@127.0.0.1:{proxy_port}", host=host) == b"220 hello\r\nping\r\n"


async def test_socks4_refusals() -> None:
    async with serve(socks4_proxy(reply=91)) as proxy_port:
        for host, reason in (("127.0.0.1", "refused"), ("::1", "IPv6"), ("no.such.invalid", "IPv4 address")):
            with pytest.raises(Unavailable, match=reason):
                await _talk(25, f"socks4://127.0.0.1:{proxy_port}", host=host)


async def test_http_connect_with_a_password() -> None:
    credentials = "Basic " + base64.b64encode(b"me:secret").decode()
    async with serve(greet) as port, serve(http_proxy(authorization=credentials)) as proxy_port:
        assert await _talk(port, f"http://me:secret@127.0.0.1:{proxy_port}") == b"220 hello\r\nping\r\n"


async def test_tls_through_a_proxy(certificate: Certificate) -> None:
    settings = TlsSettings(ca=(certificate.pem,))
    async with serve(greet, context=certificate.context) as port, serve(http_proxy()) as proxy_port:
        received = await _talk(port, f"http://127.0.0.1:{proxy_port}", host="localhost", tls=settings)
    assert received == b"220 hello\r\nping\r\n"


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_http_connect_refused(status: str) -> None:
    async with serve(http_proxy(status)) as proxy_port:
        with pytest.raises(Unavailable, match=status) as caught:
            await _talk(25, f"http://127.0.0.1:{proxy_port}")
    assert caught.value.code == "EPROXY"


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"\x04\x00\x00\x00", b"", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000]
)
@pytest.mark.parametrize("scheme", ["http", "socks4", "socks5"])
async def test_what_is_no_proxy(answer: bytes, scheme: str) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        writer.write_eof()
        await reader.read()

    async with serve(babble) as proxy_port:
        with pytest.raises(Unavailable) as caught:
            await _talk(25, f"{scheme}://127.0.0.1:{proxy_port}")
    assert caught.value.code == "EPROXY"


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host:99999", "http://a b"])
def test_what_is_no_proxy_url(url: str) -> None:
    with pytest.raises(InvalidRequest):
        ProxySettings.from_url(url)


def test_password_is_not_in_the_representation() -> None:
    assert "s3cret" not in repr(ProxySettings.from_url("http://me:s3cret@proxy.example"))
