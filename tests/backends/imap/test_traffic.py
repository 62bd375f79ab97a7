"""What connections count: every byte either way, every tagged response, and never a code without bound."""

from __future__ import annotations

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.traffic import OTHER_CODE, Traffic
from mailquay.errors import MailboxNotFound
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.response import Status, TaggedResponse
from mailquay.wire.imap.response_code import Code
from mailquay.wire.sasl import Credentials
from tests.backends.imap.scripted_server import GREETING, LOGGED_IN, Expect, ScriptedServer, Send


async def test_bytes_and_responses_are_counted() -> None:
    said = (b"A2 NO [NONEXISTENT] Unknown mailbox\r\n", b"A3 OK done\r\n")
    steps = (*LOGGED_IN, Expect("A2 SELECT Gone"), Send(said[0]), Expect("A3 NOOP"), Send(said[1]))
    traffic = Traffic()
    async with ScriptedServer(*steps) as server:
        connection = await ImapConnection.open(await server.connect(), traffic=traffic)
        await connection.login(Credentials("u", password="p"))
        try:
            await connection.execute(Select("Gone"))
        except MailboxNotFound:
            await connection.execute(Noop())
        await connection.aclose()
        sent = sum(len(step.data) for step in steps if isinstance(step, Send))
        assert (traffic.sent_bytes, traffic.received_bytes) == (len(server.received), sent)
    assert sum(traffic.responses.values()) == 3
    assert traffic.responses[("NO", "NONEXISTENT")] == 1 and traffic.responses[("OK", "")] >= 1


async def test_what_is_asked_before_the_reader_starts_is_counted() -> None:
    steps = (GREETING, Expect("A1 NOOP"), Send(b"A1 OK\r\n"))
    traffic = Traffic()
    async with ScriptedServer(*steps) as server:
        connection = await ImapConnection.open(await server.connect(), traffic=traffic)
        await connection.noop()
        await connection.aclose()
    assert traffic.received_bytes == sum(len(step.data) for step in steps if isinstance(step, Send))
    assert traffic.responses == {("OK", ""): 1}


def test_invented_codes_are_counted_together() -> None:
    traffic = Traffic()
    for n in range(50):
        traffic.ended(TaggedResponse("A1", Status.NO, Code(f"X{n}"), ""))
    traffic.ended(TaggedResponse("A1", Status.NO, Code("OVERQUOTA"), ""))
    assert traffic.responses == {("NO", OTHER_CODE): 50, ("NO", "OVERQUOTA"): 1}
