from __future__ import annotations

import asyncio

import pytest

from mailquay.errors import LocalProtocolError, RemoteProtocolError, Unavailable
from mailquay.net.connect import connect
from mailquay.net.tls import TlsSettings, client_context
from tests.net.certificate import Certificate
from tests.net.peer import serve

LIMIT = 5.0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def test_bytes_go_out_and_come_back() -> None:
    async with serve(echo) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        await stream.write(b"hello", LIMIT)
        assert await stream.read(3, LIMIT) == b"hel"
        assert await stream.read(100, LIMIT) == b"lo"
        assert stream.info("peername") == ("127.0.0.1", port)
        assert stream.info("tls_version") is None
        await stream.aclose()
        await stream.aclose()


async def test_end_of_stream_is_an_empty_read() -> None:
    async def say_and_leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        await writer.drain()

    async with serve(say_and_leave) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        assert await stream.read(100, LIMIT) == b"bye"
        assert await stream.read(100, LIMIT) == b""
        assert await stream.read(100, LIMIT) == b""
        await stream.aclose()


async def test_silence_is_a_timeout_and_the_stream_lives_on() -> None:
    speak = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speak.wait()
        writer.write(b"late")
        await writer.drain()

    async with serve(wait) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        with pytest.raises(Unavailable) as caught:
            await stream.read(100, 0.02)
        assert caught.value.code == "ETIMEDOUT"
        assert caught.value.retryable
        speak.set()
        assert await stream.read(100, LIMIT) == b"late"
        await stream.aclose()


async def test_peer_that_takes_nothing_times_out_a_write() -> None:
    stop = asyncio.Event()

    async def deaf(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await stop.wait()

    async with serve(deaf) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        with pytest.raises(Unavailable) as caught:
            for _ in range(1000):
                await stream.write(bytes(1024 * 1024), 0.05)
        assert caught.value.code == "ETIMEDOUT"
        await stream.aclose()


async def test_reading_pauses_while_nobody_reads() -> None:
    sent = 0
    full = asyncio.Event()

    async def pour(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(512):
            writer.write(bytes(64 * 1024))
            try:
                await asyncio.wait_for(writer.drain(), 0.2)
            except TimeoutError:
                full.set()
                await writer.drain()
            sent += 64 * 1024

    async with serve(pour) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        await asyncio.wait_for(full.wait(), LIMIT)
        assert sent < 512 * 64 * 1024
        received = 0
        while data := await stream.read(1024 * 1024, LIMIT):
            received += len(data)
        assert received == 512 * 64 * 1024
        await stream.aclose()


async def test_two_readers_are_refused() -> None:
    async with serve(echo) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        first = asyncio.create_task(stream.read(1, LIMIT))
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError):
            await stream.read(1, LIMIT)
        await stream.write(b"x", LIMIT)
        assert await first == b"x"
        await stream.aclose()


async def test_reset_is_reported_to_reader_and_writer() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    async with serve(reset) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        await stream.write(b"x" + bytes(100_000), LIMIT)
        with pytest.raises(Unavailable) as caught:
            while await stream.read(100, LIMIT):
                pass
            await stream.write(b"y", LIMIT)
        assert caught.value.code == "ECONNRESET"
        with pytest.raises(Unavailable):
            await stream.write(b"z", LIMIT)
        await stream.aclose()


async def test_start_tls_upgrades_in_place(certificate: Certificate) -> None:
    async def starttls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"go\r\n")
        await writer.start_tls(certificate.context)
        writer.write(b"secret " + await reader.readline())
        await writer.drain()

    async with serve(starttls) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        await stream.write(b"STARTTLS\r\n", LIMIT)
        assert await stream.read(100, LIMIT) == b"go\r\n"
        context = client_context(TlsSettings(ca=(certificate.pem,)))
        await stream.start_tls(context, "localhost", LIMIT)
        await stream.write(b"word\r\n", LIMIT)
        assert await stream.read(100, LIMIT) == b"secret word\r\n"
        assert stream.info("tls_version") == "TLSv1.3"
        assert stream.info("cipher")
        await stream.aclose()


async def test_start_tls_refuses_plaintext_that_came_first(certificate: Certificate) -> None:
    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"go\r\n250 injected\r\n")
        await reader.read()

    async with serve(inject) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        assert await stream.read(4, LIMIT) == b"go\r\n"
        with pytest.raises(RemoteProtocolError, match="plaintext"):
            await stream.start_tls(client_context(TlsSettings(ca=(certificate.pem,))), "localhost", LIMIT)
        await stream.aclose()


async def test_start_tls_has_a_deadline() -> None:
    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve(mute) as port:
        stream = await connect("127.0.0.1", port, tls=None, timeout_seconds=LIMIT)
        with pytest.raises(Unavailable) as caught:
            await stream.start_tls(client_context(TlsSettings()), "localhost", 0.05)
        assert caught.value.code == "ETIMEDOUT"
        await stream.aclose()
