"""The driver against a scripted server over real sockets: deadlines, failures, streaming, IDLE, logging in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mailquay.backends.imap.driver import ImapConnection, TlsUpgrade
from mailquay.errors import (
    CommandRejected,
    LocalProtocolError,
    MailboxNotFound,
    RateLimited,
    RemoteProtocolError,
    Unavailable,
    Unsupported,
)
from mailquay.net.tls import TlsSettings, client_context
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.client_state import State
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import Select, StatusCommand
from mailquay.wire.imap.command_message import Copy
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import (
    Exists,
    UntaggedResponse,
    UntaggedStatus,
)
from mailquay.wire.imap.response_code import UidValidity
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage
from tests.backends.imap.driving import FAST, FLAGS, IMPATIENT, PASSWORD, connected, logged_in, selected
from tests.backends.imap.scripted_server import GREETING, LOGGED_IN, Close, Expect, Hang, ScriptedServer, Send, Step

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
