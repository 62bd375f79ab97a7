"""COMPRESS over real sockets: where the compressed bytes begin, and what is done about hostile ones."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable

import pytest

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.pump import DriverOptions
from mailquay.errors import LocalProtocolError, RemoteProtocolError, Unavailable
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.compress import Deflater
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.response import Exists, UntaggedResponse
from tests.backends.imap.scripted_server import Expect, ScriptedServer, Send, Step

GREETING = Send(b"* PREAUTH [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] hi\r\n")
COMPRESS = Expect("A1 COMPRESS DEFLATE")


def answer_compressed(pattern: bytes, answer: bytes, deflater: Deflater) -> Step:
    """Read one compressed command and answer it."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inflate, heard = zlib.decompressobj(-15), b""
        while not heard.endswith(b"\r\n"):
            heard += inflate.decompress(await reader.read(1000))
        assert heard == pattern
        writer.write(deflater.compress(answer))
        await writer.drain()

    return play


async def opened(server: ScriptedServer, news: list[UntaggedResponse]) -> ImapConnection:
    return await ImapConnection.open(await server.connect(), on_unsolicited=news.append)


@pytest.mark.parametrize("cut", [0, 1, 9])
async def test_what_comes_with_the_tagged_ok_is_compressed(cut: int) -> None:
    deflater, news = Deflater(), list[UntaggedResponse]()
    early = deflater.compress(b"* 5 EXISTS\r\n")
    script = (
        GREETING,
        COMPRESS,
        Send(b"A1 OK go\r\n" + early[:cut]),
        Send(early[cut:]),
        answer_compressed(b"A2 NOOP\r\n", b"* 6 EXISTS\r\nA2 OK done\r\n", deflater),
    )
    async with ScriptedServer(*script) as server:
        connection = await opened(server, news)
        assert await connection.compress()
        await connection.execute(Noop())
        assert news == [Exists(5), Exists(6)]
        assert connection.info("compression") == "DEFLATE"
        assert connection.info("peername") is not None
        assert await connection.compress()
        await connection.aclose()


@pytest.mark.parametrize(
    ("hostile", "complaint"),
    [
        (lambda deflater: b"\xff\xff not deflate", "broken"),
        (lambda deflater: b"A2 OK in the clear\r\n", "broken"),
        (lambda deflater: deflater.compress(b"* X " + b"x" * 20_000_000), "line longer"),
        (lambda deflater: deflater.compress(b"* 5 EXISTS\r\n" * 100_000), "untagged responses"),
    ],
    ids=["garbage", "plain", "long line", "endless lines"],
)
async def test_hostile_streams_end_the_connection(hostile: Callable[[Deflater], bytes], complaint: str) -> None:
    data = hostile(Deflater())
    async with ScriptedServer(GREETING, COMPRESS, Send(b"A1 OK go\r\n" + data)) as server:
        options = DriverOptions(limits=Limits(max_untagged_responses_per_command=1000))
        connection = await ImapConnection.open(await server.connect(), options=options)
        with pytest.raises(RemoteProtocolError, match=complaint):
            await connection.compress()
            await connection.execute(Noop())
        assert not connection.usable
        await connection.aclose()


async def test_a_server_that_goes_is_noticed_behind_compression() -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with ScriptedServer(GREETING, COMPRESS, Send(b"A1 OK go\r\n"), close) as server:
        connection = await opened(server, [])
        with pytest.raises(Unavailable):
            await connection.compress()
            await connection.execute(Noop())
        await connection.aclose()


async def test_tls_cannot_begin_behind_compression() -> None:
    async with ScriptedServer(GREETING, COMPRESS, Send(b"A1 OK go\r\n")) as server:
        connection = await opened(server, [])
        await connection.compress()
        with pytest.raises(LocalProtocolError):
            await connection._pump.stream.start_tls(client_context(TlsSettings()), None, 1)
        await connection.aclose()
