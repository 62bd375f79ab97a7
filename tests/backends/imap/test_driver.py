"""The driver against a scripted server over real sockets: deadlines, failures, streaming, IDLE, logging in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap.driver import ImapConnection, TlsUpgrade
from mailquay.backends.imap.pump import DriverOptions
from mailquay.errors import (
    AuthenticationFailed,
    CommandRejected,
    LocalProtocolError,
    MailboxNotFound,
    MailquayError,
    RateLimited,
    RemoteProtocolError,
    Unavailable,
    Unsupported,
)
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import List, Select, StatusCommand
from mailquay.wire.imap.command_message import Copy, Fetch
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.limits import Limits
from mailquay.wire.imap.response import (
    Exists,
    LiteralChunk,
    LiteralEnd,
    LiteralStart,
    UntaggedResponse,
    UntaggedStatus,
)
from mailquay.wire.imap.response_code import UidValidity
from mailquay.wire.imap.section import FetchAttribute, FetchSection
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage
from mailquay.wire.sasl import Credentials
from tests.backends.imap.scripted_server import GREETING, LOGGED_IN, Close, Expect, Hang, ScriptedServer, Send, Step

PASSWORD = Credentials("u", password="p")
FAST = DriverOptions(greeting_seconds=2, command_seconds=2, write_seconds=2)
IMPATIENT = DriverOptions(greeting_seconds=0.2, command_seconds=0.2, write_seconds=2)
FLAGS = Fetch(UidSet.span(1), (FetchAttribute.UID, FetchAttribute.FLAGS))
SELECTED = (*LOGGED_IN, Expect("A2 SELECT INBOX"), Send(b"* 3 EXISTS\r\nA2 OK [READ-WRITE] done\r\n"))


@contextlib.asynccontextmanager
async def connected(
    *steps: Step, options: DriverOptions = FAST, news: list[UntaggedResponse] | None = None
) -> AsyncIterator[ImapConnection]:
    async with ScriptedServer(*steps) as server:
        heard = news if news is not None else []
        connection = await ImapConnection.open(await server.connect(), options=options, on_unsolicited=heard.append)
        try:
            yield connection
        finally:
            await connection.aclose()


@contextlib.asynccontextmanager
async def logged_in(
    *steps: Step, options: DriverOptions = FAST, news: list[UntaggedResponse] | None = None
) -> AsyncIterator[ImapConnection]:
    async with connected(*LOGGED_IN, *steps, options=options, news=news) as connection:
        await connection.login(PASSWORD)
        yield connection


@contextlib.asynccontextmanager
async def selected(
    *steps: Step, options: DriverOptions = FAST, news: list[UntaggedResponse] | None = None
) -> AsyncIterator[ImapConnection]:
    async with connected(*SELECTED, *steps, options=options, news=news) as connection:
        await connection.login(PASSWORD)
        await connection.execute(Select("INBOX"))
        yield connection


# Opening


async def test_capabilities_are_asked_for_when_the_greeting_does_not_tell() -> None:
    steps = (Send(b"* OK hi\r\n"), Expect("A1 CAPABILITY"), Send(b"* CAPABILITY IMAP4rev1 MOVE\r\nA1 OK\r\n"))
    async with connected(*steps) as connection:
        assert connection.capabilities == frozenset({"IMAP4REV1", "MOVE"})
        assert connection.greeting.text == "hi"
        assert connection.state is State.NOT_AUTHENTICATED


async def test_a_greeting_with_bye_is_a_refusal() -> None:
    async with ScriptedServer(Send(b"* BYE [ALERT] Too many connections from your address\r\n"), Close()) as server:
        with pytest.raises(RateLimited) as refused:
            await ImapConnection.open(await server.connect(), options=FAST)
        assert refused.value.retry_after_seconds == 60


async def test_a_silent_server_is_given_up() -> None:
    async with ScriptedServer(Hang()) as server:
        with pytest.raises(Unavailable) as late:
            await ImapConnection.open(await server.connect(), options=IMPATIENT)
        assert late.value.code == "ETIMEDOUT"
        await server.finished.wait()


async def test_something_else_than_imap_is_recognised() -> None:
    async with ScriptedServer(Send(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        with pytest.raises(RemoteProtocolError):
            await ImapConnection.open(await server.connect(), options=FAST)


async def test_starttls_is_required_when_wanted() -> None:
    upgrade = TlsUpgrade(client_context(TlsSettings(reject_unauthorized=False)), "localhost")
    async with ScriptedServer(GREETING) as server:
        with pytest.raises(Unsupported):
            await ImapConnection.open(await server.connect(), options=FAST, tls=upgrade)


async def test_preauth_cannot_bypass_starttls() -> None:
    upgrade = TlsUpgrade(client_context(TlsSettings(reject_unauthorized=False)), "localhost")
    async with ScriptedServer(Send(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n")) as server:
        with pytest.raises(RemoteProtocolError):
            await ImapConnection.open(await server.connect(), options=FAST, tls=upgrade)


async def test_injected_plaintext_after_starttls_is_refused() -> None:
    upgrade = TlsUpgrade(client_context(TlsSettings(reject_unauthorized=False)), "localhost")
    steps = (
        Send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n"),
        Expect("A1 STARTTLS"),
        Send(b"A1 OK go\r\n* CAPABILITY IMAP4rev1 AUTH=EVIL\r\n"),
    )
    async with ScriptedServer(*steps) as server:
        with pytest.raises(RemoteProtocolError, match="plaintext"):
            await ImapConnection.open(await server.connect(), options=FAST, tls=upgrade)


# Logging in


async def test_login_takes_the_capabilities_of_the_answer() -> None:
    async with logged_in() as connection:
        assert connection.state is State.AUTHENTICATED
        assert connection.has_capability("LITERAL-")
        assert not connection.has_capability("AUTH=PLAIN")


async def test_login_command_when_no_mechanism_fits() -> None:
    steps = (
        Send(b"* OK [CAPABILITY IMAP4rev1] hi\r\n"),
        Expect(r'A1 LOGIN "u\\"" "p"'),
        Send(b"A1 OK in\r\n"),
        Expect("A2 CAPABILITY"),
        Send(b"* CAPABILITY IMAP4rev1 IDLE\r\nA2 OK done\r\n"),
    )
    async with connected(*steps) as connection:
        await connection.login(Credentials('u"', password="p"))
        assert connection.capabilities == frozenset({"IMAP4REV1", "IDLE"})


async def test_exchange_names_go_by_the_login_command() -> None:
    steps = (
        Send(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n"),
        Expect(r'A1 LOGIN "dom\\\\user/shared" "p"'),
        Send(b"A1 OK [CAPABILITY IMAP4rev1] in\r\n"),
    )
    async with connected(*steps) as connection:
        await connection.login(Credentials("dom\\user/shared", password="p"))
        assert connection.state is State.AUTHENTICATED


async def test_logindisabled_is_respected() -> None:
    async with connected(Send(b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n")) as connection:
        with pytest.raises(Unsupported):
            await connection.login(PASSWORD)


async def test_a_refused_token_tells_the_providers_reason() -> None:
    steps = (
        GREETING,
        Expect("A1 AUTHENTICATE XOAUTH2 [A-Za-z0-9+/=]+"),
        Send(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"),
        Expect(""),
        Send(b"A1 NO [AUTHENTICATIONFAILED] Invalid credentials\r\n"),
    )
    async with connected(*steps) as connection:
        with pytest.raises(AuthenticationFailed) as refused:
            await connection.login(Credentials("u", access_token="t"))
        assert refused.value.response_code == "AUTHENTICATIONFAILED"
        assert '{"status":"400"}' in str(refused.value)
        assert connection.usable


@pytest.mark.parametrize(
    ("answer", "error", "pause"),
    [
        (b"NO [AUTHENTICATIONFAILED] Authentication failed.", AuthenticationFailed, None),
        (b"NO AUTHENTICATE failed.", AuthenticationFailed, None),
        (b"NO [UNAVAILABLE] Temporary authentication failure", Unavailable, None),
        (b"NO [INUSE] Mailbox is in use", Unavailable, None),
        (b"NO [CONTACTADMIN] Ask your administrator", Unavailable, None),
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", RateLimited, 60.0),
        (b"NO [LIMIT] Rate limit hit", RateLimited, 60.0),
        (b"NO [THROTTLED] Slow down", RateLimited, 60.0),
        (b"NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded", RateLimited, 60.0),
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", RateLimited, 60.0),
        (b"NO [OVERQUOTA] Account exceeded bandwidth limits. (Failure)", RateLimited, 60.0),
        (b"NO [THROTTLED] Busy. Suggested Backoff Time: 90 seconds", RateLimited, 90.0),
        (b"BAD User is authenticated but not connected.", RateLimited, 300.0),
        (b"BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds", RateLimited, 299.961),
        (b"BAD Command Argument Error. 12", CommandRejected, None),
    ],
)
async def test_refusals_of_a_login_are_told_apart(
    answer: bytes, error: type[MailquayError], pause: float | None
) -> None:
    """Only a real refusal of the credentials may stop an account."""
    async with connected(*LOGGED_IN[:2], Send(b"A1 " + answer + b"\r\n")) as connection:
        with pytest.raises(error) as refused:
            await connection.login(PASSWORD)
        assert type(refused.value) is error
        if isinstance(refused.value, RateLimited):
            assert refused.value.retry_after_seconds == pause


async def test_preauth_needs_no_login() -> None:
    async with connected(Send(b"* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n")) as connection:
        await connection.login(PASSWORD)
        assert connection.state is State.AUTHENTICATED


async def test_id_and_enable() -> None:
    steps = (
        Expect(r'A2 ID \("name" "mailquay"\)'),
        Send(b'* ID ("name" "dovecot" "empty" NIL )\r\nA2 OK\r\n'),
        Expect("A3 ENABLE CONDSTORE"),
        Send(b"* ENABLED CONDSTORE\r\nA3 OK enabled\r\n"),
    )
    async with logged_in(*steps) as connection:
        assert await connection.identify((("name", "mailquay"),)) == (("name", "dovecot"), ("empty", None))
        assert await connection.enable("CONDSTORE", "QRESYNC") == {"CONDSTORE"}


# Commands


async def test_a_result_holds_what_the_command_claims_and_news_goes_elsewhere() -> None:
    news: list[UntaggedResponse] = []
    steps = (
        Expect("A2 SELECT INBOX"),
        Send(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\nA2 OK [READ-WRITE] done\r\n"),
        Expect(r"A3 UID FETCH 1:\* \(UID FLAGS\)"),
        Send(b"* 4 EXISTS\r\n* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* OK still here\r\nA3 OK done\r\n"),
    )
    async with logged_in(*steps, news=news) as connection:
        opened = await connection.execute(Select("INBOX"))
        assert opened.last(Exists) == Exists(3)
        assert opened.code(UidValidity) == UidValidity(7)
        assert connection.selected == "INBOX"
        rows = await connection.execute(FLAGS)
        assert rows.untagged == [FetchResponse(1, 1, frozenset({"\\Seen"}))]
        assert [type(event) for event in news] == [Exists, UntaggedStatus]


async def test_no_and_bad_become_errors_and_the_connection_stays() -> None:
    steps = (
        Expect("A2 SELECT Gone"),
        Send(b"A2 NO [NONEXISTENT] Unknown mailbox\r\n"),
        Expect("A3 NOOP"),
        Send(b"A3 BAD [CLIENTBUG] nonsense\r\n"),
        Expect("A4 NOOP"),
        Send(b"A4 OK Request is throttled. Suggested Backoff Time: 1500 milliseconds\r\n"),
    )
    async with logged_in(*steps) as connection:
        with pytest.raises(MailboxNotFound):
            await connection.execute(Select("Gone"))
        with pytest.raises(CommandRejected) as rejected:
            await connection.execute(Noop())
        assert rejected.value.response_code == "CLIENTBUG"
        assert (await connection.execute(Noop())).backoff_seconds == 1.5


async def test_copyuid_is_found_wherever_it_stands() -> None:
    steps = (
        Expect("A3 UID COPY 1:2 Other"),
        Send(b"* OK [COPYUID 9 1:2 11:12]\r\nA3 OK done\r\n"),
    )
    async with selected(*steps) as connection:
        copied = (await connection.execute(Copy(UidSet.of([1, 2]), "Other"))).code(CopyUid)
        assert copied is not None
        assert list(copied.pairs()) == [(1, 11), (2, 12)]


async def test_a_synchronising_literal_waits_for_leave() -> None:
    message = b"Subject: x\r\n\r\n" + b"y" * 5000
    steps = (
        Expect(r"A2 APPEND Sent \(\\Seen\) \{5014\}"),
        Send(b"* 1 EXISTS\r\n+ go\r\n"),
        Expect("Subject: x"),
        Expect(""),
        Expect("y{5000}"),
        Send(b"A2 OK [APPENDUID 5 17] done\r\n"),
    )
    async with logged_in(*steps) as connection:
        result = await connection.execute(Append("Sent", message, frozenset({"\\Seen"})))
        assert result.code(AppendUid) == AppendUid(5, ((17, 17),))


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_is_streamed_from_pieces() -> None:
    steps = (
        Expect(r"A2 APPEND Sent \{6000\}"),
        Send(b"+\r\n"),
        Expect("a{3000}b{3000}"),
        Send(b"A2 OK\r\n"),
    )
    async with logged_in(*steps) as connection:
        await connection.execute(Append("Sent", StreamedMessage(6000)), body=pieces(b"a" * 3000, b"b" * 3000))


@pytest.mark.parametrize("chunks", [(b"a" * 10, b"b" * 5991), (b"a" * 5999,)])
async def test_a_body_of_another_size_ends_the_connection(chunks: tuple[bytes, ...]) -> None:
    async with logged_in(Expect(r"A2 APPEND Sent \{6000\}"), Send(b"+ go\r\n"), Hang()) as connection:
        with pytest.raises(LocalProtocolError):
            await connection.execute(Append("Sent", StreamedMessage(6000)), body=pieces(*chunks))
        assert not connection.usable


async def test_a_refused_literal_is_not_sent() -> None:
    steps = (
        Expect(r"A2 APPEND Sent \{6000\}"),
        Send(b"A2 NO [TRYCREATE] no such mailbox\r\n"),
        Expect("A3 NOOP"),
        Send(b"A3 OK\r\n"),
    )
    async with logged_in(*steps) as connection:
        with pytest.raises(MailboxNotFound):
            await connection.execute(Append("Sent", StreamedMessage(6000)), body=pieces(b"x" * 6000))
        await connection.noop()


async def test_commands_wait_for_their_turn_and_independent_ones_overlap() -> None:
    steps = (
        Expect(r"A2 STATUS a \(MESSAGES\)"),
        Expect("A3 NOOP"),
        Send(b"* STATUS a (MESSAGES 1)\r\nA2 OK\r\nA3 OK\r\n"),
        Expect(r"A4 STATUS b \(MESSAGES\)"),
        Send(b"* STATUS b (MESSAGES 2)\r\nA4 OK\r\n"),
    )
    async with logged_in(*steps) as connection:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(connection.execute(StatusCommand("a", (StatusItem.MESSAGES,))))
            group.create_task(connection.noop())
            second = group.create_task(connection.execute(StatusCommand("b", (StatusItem.MESSAGES,))))
        assert first.result().untagged == [StatusResponse("a", messages=1)]
        assert second.result().untagged == [StatusResponse("b", messages=2)]


async def test_a_deadline_closes_the_connection_and_reaches_everyone() -> None:
    async with logged_in(Expect("A2 NOOP"), Expect("A3 NOOP"), Hang(), options=IMPATIENT) as connection:
        results = await asyncio.gather(connection.noop(), connection.noop(), return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable, Unavailable]
        assert not connection.usable
        assert isinstance(connection.error, Unavailable)
        with pytest.raises(Unavailable):
            await connection.noop()


async def test_a_lost_connection_reaches_the_waiting_command_with_the_farewell() -> None:
    async with logged_in(Expect("A2 NOOP"), Send(b"* BYE [UNAVAILABLE] going down\r\n"), Close()) as connection:
        with pytest.raises(Unavailable, match="going down"):
            await connection.noop()


async def test_garbage_reaches_the_waiting_command() -> None:
    async with logged_in(Expect("A2 NOOP"), Send(b"!!\r\n"), Hang()) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.noop()
        assert not connection.usable


async def test_a_cancelled_command_leaves_the_connection_usable() -> None:
    proceed = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await proceed.wait()

    arrived = asyncio.Event()

    async def arrive(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        arrived.set()

    steps: tuple[Step, ...] = (
        Expect(r"A3 UID FETCH 1:\* \(UID FLAGS\)"),
        arrive,
        wait,
        Send(b"* 1 FETCH (UID 1 FLAGS ())\r\nA3 OK\r\n"),
        Expect("A4 NOOP"),
        Send(b"A4 OK\r\n"),
    )
    async with selected(*steps) as connection:
        task = asyncio.create_task(connection.execute(FLAGS))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proceed.set()
        result = await connection.execute(Noop())
        assert result.untagged == []


async def test_logout_says_good_bye() -> None:
    async with ScriptedServer(*LOGGED_IN, Expect("A2 LOGOUT"), Send(b"* BYE bye\r\nA2 OK done\r\n"), Close()) as server:
        connection = await ImapConnection.open(await server.connect(), options=FAST)
        await connection.login(PASSWORD)
        await connection.logout()
        assert not connection.usable
        await connection.aclose()


# Bodies

BODY = Fetch(UidSet.of([5]), (FetchAttribute.UID, FetchSection()))
LARGE = b"0123456789abcdef" * 16 * 1024


async def test_large_bodies_are_collected_by_execute() -> None:
    steps = (
        Expect(r"A3 UID FETCH 5 \(UID BODY.PEEK\[\]\)"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps) as connection:
        row = (await connection.execute(BODY)).last(FetchResponse)
        assert row is not None
        assert row.sections[0].data == LARGE


async def test_an_answer_of_many_small_lines_has_the_same_limit() -> None:
    line = b'* LIST () "/" "a mailbox that is one of very many"\r\n'
    steps = (Expect("A3 .*"), Send(line * 10_000))
    async with selected(*steps, options=DriverOptions(command_seconds=2, max_collected_bytes=100_000)) as connection:
        with pytest.raises(RemoteProtocolError, match="100000 bytes"):
            await connection.execute(List())


async def test_collecting_has_a_limit() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps, options=DriverOptions(command_seconds=2, max_collected_bytes=100_000)) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.execute(BODY)


async def test_large_bodies_stream() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
    )
    async with selected(*steps) as connection:
        events = [event async for run in connection.execute_streaming(BODY) for event in run]
        assert isinstance(events[0], LiteralStart)
        assert events[0].uid == 5
        assert b"".join(event.data for event in events if isinstance(event, LiteralChunk)) == LARGE
        assert isinstance(events[-2], LiteralEnd)
        row = events[-1]
        assert isinstance(row, FetchResponse)
        assert (row.sections[0].data, row.sections[0].size_bytes) == (None, len(LARGE))


async def test_a_slow_consumer_holds_the_server_back() -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n" % size)
        chunk = b"x" * 65536
        with contextlib.suppress(ConnectionError):
            while sent < size:
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)

    async with selected(Expect("A3 .*"), flood) as connection:
        received = 0
        async with contextlib.aclosing(connection.execute_streaming(BODY)) as events:
            async for run in events:
                received += sum(len(event.data) for event in run if isinstance(event, LiteralChunk))
                if received > 1024 * 1024:
                    break
            # What has left the server lies in socket buffers and our short queue, not in memory without bound.
            assert sent < size / 2


async def test_leaving_a_stream_early_leaves_the_connection_usable() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\nA3 OK\r\n" % (len(LARGE), LARGE)),
        Expect("A4 NOOP"),
        Send(b"A4 OK\r\n"),
    )
    async with selected(*steps) as connection:
        async with contextlib.aclosing(connection.execute_streaming(BODY)) as events:
            async for _ in events:
                break
        await connection.noop()


async def test_streaming_reports_refusals_and_deadlines() -> None:
    steps = (Expect("A3 .*"), Send(b"A3 NO [EXPUNGEISSUED] gone\r\n"), Expect("A4 .*"), Hang())
    async with selected(*steps, options=IMPATIENT) as connection:
        with pytest.raises(CommandRejected):
            _ = [run async for run in connection.execute_streaming(BODY)]
        with pytest.raises(Unavailable) as late:
            _ = [run async for run in connection.execute_streaming(BODY)]
        assert late.value.code == "ETIMEDOUT"


async def test_one_broken_message_does_not_end_the_session() -> None:
    steps = (
        Expect("A3 .*"),
        Send(b'* 1 FETCH (ENVELOPE ("broken (" UID 1)\r\n* 2 FETCH (UID 2 FLAGS ())\r\nA3 OK\r\n'),
    )
    async with selected(*steps) as connection:
        rows = (await connection.execute(FLAGS)).all(FetchResponse)
        assert [(row.uid, row.error is None) for row in rows] == [(1, False), (2, True)]


async def test_a_flood_of_responses_has_a_limit() -> None:
    options = DriverOptions(command_seconds=2, limits=Limits(max_untagged_responses_per_command=100))
    async with selected(Expect("A3 NOOP"), Send(b"* 1 EXISTS\r\n" * 200 + b"A3 OK\r\n"), options=options) as connection:
        with pytest.raises(RemoteProtocolError):
            await connection.noop()


# IDLE


async def test_idle_delivers_news_even_before_its_confirmation() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"* 4 EXISTS\r\n+ idling\r\n* 5 EXISTS\r\n"),
        Expect("DONE"),
        Send(b"* 6 EXISTS\r\nA3 OK\r\n"),
        Expect("A4 NOOP"),
        Send(b"A4 OK\r\n"),
    )
    async with selected(*steps) as connection:
        session = await connection.idle()
        assert await session.next(2) == Exists(4)
        assert await session.next(2) == Exists(5)
        assert await session.next(0.01) is None
        assert await session.stop() == [Exists(6)]
        with pytest.raises(LocalProtocolError):
            await session.next()
        await connection.noop()


async def test_idle_is_renewed_and_loses_nothing() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"+ idling\r\n"),
        Expect("DONE"),
        Send(b"A3 OK\r\n* 4 EXISTS\r\n"),
        Expect("A4 IDLE"),
        Send(b"+ idling\r\n* 5 EXISTS\r\n"),
        Hang(),
    )
    async with selected(*steps) as connection:
        session = await connection.idle(restart_seconds=0.05)
        heard: list[UntaggedResponse] = []
        async for event in session:
            heard.append(event)
            if len(heard) == 2:
                break
        assert heard == [Exists(4), Exists(5)]


async def test_idle_that_the_server_ends_is_begun_again_or_given_up() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\nA3 OK too early\r\n"), Hang()) as connection:
        session = await connection.idle()
        with pytest.raises(Unsupported):
            await session.next(2)


async def test_a_refused_idle_is_an_error() -> None:
    async with selected(
        Expect("A3 IDLE"), Send(b"A3 BAD no IDLE\r\n"), Expect("A4 NOOP"), Send(b"A4 OK\r\n")
    ) as connection:
        with pytest.raises(CommandRejected):
            await connection.idle()
        await connection.noop()


async def test_idle_without_confirmation_is_dead() -> None:
    async with selected(Expect("A3 IDLE"), Hang(), options=IMPATIENT) as connection:
        with pytest.raises(Unavailable):
            await connection.idle()
        assert not connection.usable


async def test_a_connection_lost_during_idle_is_reported() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\n* BYE Autologout\r\n"), Close()) as connection:
        session = await connection.idle()
        event = await session.next(2)
        assert isinstance(event, UntaggedStatus)
        with pytest.raises(Unavailable, match="Autologout"):
            await session.next(2)


async def test_two_idles_at_once_are_refused() -> None:
    async with selected(Expect("A3 IDLE"), Send(b"+ idling\r\n"), Hang()) as connection:
        await connection.idle()
        with pytest.raises(LocalProtocolError):
            await connection.idle()


async def test_a_storm_of_news_does_not_block_the_end_of_idle() -> None:
    steps = (
        Expect("A3 IDLE"),
        Send(b"+ idling\r\n" + b"* 1 EXPUNGE\r\n" * 5000),
        Expect("DONE"),
        Send(b"A3 OK\r\n"),
    )
    async with selected(*steps) as connection:
        session = await connection.idle()
        assert len(await session.stop()) == 5000
