"""FETCH by UID from servers as they are: they forget to finish, stop at a limit, or choke on a single message."""

from __future__ import annotations

import dataclasses
import re
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.message_limit import left_over
from mailquay.backends.imap.searching import Searching
from mailquay.errors import CommandRejected
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.response import TaggedResponse
from mailquay.wire.imap.sequence_set import UidSet

_BATCH: Final = 500
_HOPELESS_REFUSALS: Final = 20
"""After so many refusals without a single row it is not one message that is broken."""
_MAX_REFUSALS: Final = 500
_GONE = re.compile(r"requested messages no longer exist", re.IGNORECASE)
_PERHAPS_ONE_MESSAGE: Final = frozenset([None, "UNAVAILABLE", "SERVERBUG", "CORRUPTION", "PARSE"])


class RowReader:
    """Reads the rows of one FETCH, with further commands where one does not bring them all."""

    def __init__(self, connection: ImapConnection, searching: Searching) -> None:
        self._connection = connection
        self._searching = searching
        self._told = array("I")
        self._refusals = 0
        self._limit: MessageLimit | None = None

    async def batches(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        """The rows, some hundred at a time. A message that the server cannot give comes with `error` set.

        Raises CommandRejected when it is not a message or two that the server refuses, but the command.
        """
        pending = [command.messages]
        while pending:
            part = pending.pop()
            self._limit = None
            try:
                async with aclosing(self._once(dataclasses.replace(command, messages=part))) as batches:
                    async for batch in batches:
                        yield batch
            except CommandRejected as error:
                if _GONE.search(error.message):
                    # The rows that came are all there are.
                    continue
                rest = await self._rest(part, error)
                if len(rest) == 1:
                    yield [FetchResponse(0, rest[0], error=error.message)]
                elif rest:
                    middle = len(rest) // 2
                    pending += [UidSet.of(rest[middle:]), UidSet.of(rest[:middle])]
            else:
                below = self._below_limit(part)
                pending += [] if below is None else [below]

    async def _once(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        batch: list[FetchResponse] = []
        try:
            async with aclosing(self._connection.execute_streaming(command, on_end=self._ended)) as events:
                async for run in events:
                    rows = [event for event in run if isinstance(event, FetchResponse)]
                    self._told.extend(row.uid or 0 for row in rows)
                    batch += rows
                    if len(batch) >= _BATCH:
                        yield batch
                        batch = []
        except CommandRejected:
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def _ended(self, tagged: TaggedResponse) -> None:
        self._limit = tagged.code if isinstance(tagged.code, MessageLimit) else None

    def _below_limit(self, part: object) -> UidSet | None:
        """What a server with a MESSAGELIMIT has left out, below the lowest UID that it came to (RFC 9738 §3)."""
        return left_over(self._limit, part) if isinstance(part, UidSet) else None

    async def _rest(self, part: object, error: CommandRejected) -> list[int]:
        """The UIDs of `part` that exist and were not told. Raises `error` when trying them singly is of no use."""
        self._refusals += 1
        hopeless = self._refusals > (_MAX_REFUSALS if self._told else _HOPELESS_REFUSALS)
        if hopeless or error.response_code not in _PERHAPS_ONE_MESSAGE or not isinstance(part, UidSet):
            raise error
        told = set(self._told)
        if not part.has_star() and len(part.ranges) == 1 and part.ranges[0][0] == part.ranges[0][1]:
            existing = list(part)
        else:
            existing = await self._searching.find(part)
        return [uid for uid in existing if uid not in told]
