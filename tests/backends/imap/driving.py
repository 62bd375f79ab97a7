"""Connections of the driver to a scripted server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.pump import DriverOptions
from mailquay.wire.imap.command_mailbox import Select
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.response import (
    UntaggedResponse,
)
from mailquay.wire.imap.section import FetchAttribute
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.sasl import Credentials
from tests.backends.imap.scripted_server import LOGGED_IN, Expect, ScriptedServer, Send, Step

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
