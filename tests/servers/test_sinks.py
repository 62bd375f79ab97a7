"""The sinks and the proxy behave as scripted; they need nothing installed."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.servers.smtp_sink import Phase, Reply, SmtpSink
from tests.servers.tcp_proxy import Fault, Strike, TcpProxy
from tests.servers.webhook_sink import Answer, WebhookRequest, WebhookSink

MESSAGE = b"Subject: x\r\n\r\n.hidden dot\r\nend\r\n"


async def post(sink: WebhookSink, event: str, account: str = "ann") -> int:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
        session.post(sink.url, json={"event": event, "account": account}) as response,
    ):
        return response.status


async def test_webhook_sink_answers_as_scripted_and_records(webhook_sink: WebhookSink) -> None:
    webhook_sink.answer_next(Answer(500), Answer(drop=True))
    waiting = asyncio.create_task(webhook_sink.wait_for_events("messageNew", account="ann"))
    assert await post(webhook_sink, "messageNew") == 500
    with pytest.raises(aiohttp.ClientError):
        await post(webhook_sink, "messageNew")
    assert await post(webhook_sink, "messageNew", account="bob") == 200
    assert not waiting.done()
    assert await post(webhook_sink, "messageNew") == 200
    (request,) = await waiting
    assert (request.event, request.payload["account"], request.path) == ("messageNew", "ann", "/hook")
    assert len(webhook_sink.requests) == 4


async def test_webhook_sink_can_decide_by_request(webhook_sink: WebhookSink) -> None:
    def poisonous(request: WebhookRequest) -> Answer | None:
        return Answer(503) if request.payload["account"] == "bob" else None

    webhook_sink.decide = poisonous
    assert [await post(webhook_sink, "x", account) for account in ("ann", "bob", "ann")] == [200, 503, 200]


async def test_webhook_sink_says_what_came_instead(webhook_sink: WebhookSink) -> None:
    await post(webhook_sink, "messageDeleted")
    with pytest.raises(AssertionError, match="messageDeleted -> 200"):
        await webhook_sink.wait_for_events("messageNew", timeout_seconds=0.05)


async def test_webhook_sink_delays_until_it_closes(webhook_sink: WebhookSink) -> None:
    webhook_sink.answer_next(Answer(delay_seconds=60))
    slow = asyncio.create_task(post(webhook_sink, "x"))
    await webhook_sink.wait_for(lambda request: request.event == "x")
    assert not slow.done()
    await webhook_sink.close()
    assert await slow == 200


def send(sink: SmtpSink, *recipients: str, login: tuple[str, str] | None = None) -> Callable[[], object]:
    def run() -> object:
        with smtplib.SMTP(sink.host, sink.port, timeout=10) as session:
            if login:
                session.login(*login)
            return session.sendmail("ann@example.test", recipients or ("bob@sink.test",), MESSAGE)

    return run


async def test_smtp_sink_records_the_exact_bytes(smtp_sink: SmtpSink) -> None:
    await asyncio.to_thread(send(smtp_sink, "bob@sink.test", "eve@sink.test"))
    (received,) = await smtp_sink.wait_for()
    assert received.content == MESSAGE
    assert (received.sender, received.recipients) == ("ann@example.test", ("bob@sink.test", "eve@sink.test"))
    assert not received.tls
    assert received.login is None


async def test_smtp_sink_replies_by_recipient(smtp_sink: SmtpSink) -> None:
    smtp_sink.script(Phase.RCPT, "550 5.1.1 no such user", argument="eve@sink.test", times=None)
    refused = await asyncio.to_thread(send(smtp_sink, "bob@sink.test", "eve@sink.test"))
    assert refused == {"eve@sink.test": (550, b"5.1.1 no such user")}
    assert (await smtp_sink.wait_for())[0].recipients == ("bob@sink.test",)


@pytest.mark.parametrize("phase", [Phase.MAIL, Phase.DATA, Phase.BODY])
async def test_smtp_sink_refuses_once_in_any_phase(smtp_sink: SmtpSink, phase: Phase) -> None:
    smtp_sink.script(phase, "451 4.3.0 later")
    with pytest.raises(smtplib.SMTPResponseException, match="later"):
        await asyncio.to_thread(send(smtp_sink))
    assert smtp_sink.received == []
    await asyncio.to_thread(send(smtp_sink))
    assert len(await smtp_sink.wait_for()) == 1


async def test_smtp_sink_accepts_and_never_says_so(smtp_sink: SmtpSink) -> None:
    smtp_sink.script(Phase.BODY, Reply(drop=True, keep=True))
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await asyncio.to_thread(send(smtp_sink))
    assert len(await smtp_sink.wait_for()) == 1


async def test_smtp_sink_stalls_until_it_closes(smtp_sink: SmtpSink) -> None:
    smtp_sink.script(Phase.BODY, Reply(stall=True))
    sending = asyncio.create_task(asyncio.to_thread(send(smtp_sink)))
    await smtp_sink.wait_for_command(Phase.BODY)
    assert not sending.done()
    await smtp_sink.close()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await sending


async def test_smtp_sink_wants_the_right_password() -> None:
    async with SmtpSink(credentials={"ann": "secret"}) as sink:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            await asyncio.to_thread(send(sink, login=("ann", "wrong")))
        with pytest.raises(smtplib.SMTPSenderRefused):
            await asyncio.to_thread(send(sink))
        await asyncio.to_thread(send(sink, login=("ann", "secret")))
        assert [received.login for received in sink.received] == ["ann"]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, then end in order."""
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return  # the test cut the connection, which is what it is about
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def echo_proxy() -> AsyncIterator[TcpProxy]:
    """A proxy in front of an echo server; whatever a test does with it has ten seconds."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as proxy, asyncio.timeout(10):
        yield proxy


async def test_tcp_proxy_passes_on_a_whole_conversation() -> None:
    async with echo_proxy() as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        sent = bytes(range(256)) * 4000
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == sent
        writer.close()


async def test_tcp_proxy_stalls_resumes_truncates_cuts_and_refuses() -> None:
    async with echo_proxy() as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        await proxy.wait_for_connections(1)
        proxy.stall()
        writer.write(b"one")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(3)
        proxy.resume()
        assert await reader.readexactly(3) == b"one"
        proxy.delay_seconds = 0.01
        proxy.truncate_after_bytes = 2
        writer.write(b"two")
        assert await reader.read() == b"tw"

        proxy.truncate_after_bytes = None
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"three")
        assert await reader.readexactly(5) == b"three"
        proxy.cut()
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)

        proxy.refusing = True
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await reader.read() == b""


async def test_tcp_proxy_strikes_at_a_chosen_byte_of_one_connection() -> None:
    async with echo_proxy() as proxy:
        proxy.plan(
            Fault(Strike.CUT, from_target=True, marker=b"NOW", after_bytes=1),
            Fault(Strike.RESET, from_target=False, marker=b"LATER"),
        )
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"right now, please")
        assert await reader.read() == b"right now,"
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"or later")
        with pytest.raises(ConnectionError):
            await reader.readexactly(20)
        assert [fault.strike for fault in proxy.struck] == [Strike.CUT, Strike.RESET]


async def test_tcp_proxy_freezes_and_slows_down() -> None:
    async with echo_proxy() as proxy:
        proxy.plan(Fault(Strike.SLOW, from_target=True, bytes_per_second=100))
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        began = asyncio.get_running_loop().time()
        writer.write(bytes(20))
        await reader.readexactly(20)
        assert asyncio.get_running_loop().time() - began > 0.1
        proxy.freeze()
        writer.write(b"anybody there")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
        writer.close()
