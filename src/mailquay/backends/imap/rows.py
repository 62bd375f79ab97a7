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
from mailquay.errors import BackendError, CommandRejected, PartUnavailable
from mailquay.wire.imap.command_message import Fetch, MessageSet
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.response import TaggedResponse
from mailquay.wire.imap.search import Simple
from mailquay.wire.imap.sequence_set import UidSet

_BATCH: Final = 500
BATCH_BYTES: Final = 2 * 1024 * 1024
"""Batches are cut where their rows took so much on the wire."""
_HOPELESS_REFUSALS: Final = 20
"""After so many refusals without a single row it is not one message that is broken."""
_MAX_REFUSALS: Final = 500
_GONE = re.compile(r"requested messages no longer exist", re.IGNORECASE)
_PERHAPS_ONE_MESSAGE: Final = frozenset([None, "SERVERBUG", "CORRUPTION", "PARSE"])


class RowReader:
    """Reads the rows of one FETCH, with further commands where one does not bring them all."""

    def __init__(self, connection: ImapConnection, searching: Searching) -> None:
        self._connection = connection
        self._searching = searching
        self._told = array("I")
        self._refusals = 0
        self._in_a_row, self._told_before = 0, 0
        self._limit: MessageLimit | None = None

    async def batches(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        """The rows, some hundred or MBs at a time. A message that the server cannot give comes with `error` set.

        Raises CommandRejected when it is not a message or two that the server refuses, but the command, PartUnavailable
        when it is not a message or two that cannot be given now, but all.
        """
        pending: list[tuple[MessageSet, bool]] = [(command.messages, False)]
        suspects: dict[int, BackendError] = {}
        while pending:
            part, exists = pending.pop()
            self._limit = None
            try:
                async with aclosing(self._once(dataclasses.replace(command, messages=part))) as batches:
                    async for batch in batches:
                        yield batch
            except (CommandRejected, PartUnavailable) as error:
                if _GONE.search(error.message):
                    # The rows that came are all there are.
                    continue
                rest = await self._rest(command, part, error, exists=exists)
                if len(rest) == 1:
                    suspects[rest[0]] = error
                elif rest:
                    middle = len(rest) // 2
                    pending += [(UidSet.of(rest[middle:]), True), (UidSet.of(rest[:middle]), True)]
            else:
                below = self._below_limit(part)
                pending += [] if below is None else [(below, False)]
        if suspects:
            await self._clear(command, suspects)
            yield [FetchResponse(0, uid, error=error.message) for uid, error in sorted(suspects.items())]

    async def _once(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        batch: list[FetchResponse] = []
        size_bytes = 0
        try:
            async with aclosing(self._connection.execute_streaming(command, on_end=self._ended)) as events:
                async for run in events:
                    rows = [event for event in run if isinstance(event, FetchResponse)]
                    self._told.extend(row.uid or 0 for row in rows)
                    batch += rows
                    size_bytes += run.size_bytes
                    if len(batch) >= _BATCH or size_bytes >= BATCH_BYTES:
                        yield batch
                        batch, size_bytes = [], 0
        except (CommandRejected, PartUnavailable):
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

    async def _rest(self, command: Fetch, part: MessageSet, error: BackendError, *, exists: bool) -> list[int]:
        """The UIDs of `part` that were not told, all of them where they are known to exist.

        Raises `error` when trying them singly is of no use.
        """
        self._refusals += 1
        self._in_a_row = 1 if len(self._told) > self._told_before else self._in_a_row + 1
        self._told_before = len(self._told)
        unavailable = isinstance(error, PartUnavailable)
        hopeless = self._refusals > (_MAX_REFUSALS if self._told or unavailable else _HOPELESS_REFUSALS)
        code = error.response_code if isinstance(error, CommandRejected) else None
        if hopeless or code not in _PERHAPS_ONE_MESSAGE or not isinstance(part, UidSet):
            raise error
        if unavailable and self._in_a_row > _HOPELESS_REFUSALS:
            if not await self._gives_others(command, []):
                raise error
            self._in_a_row = 0
        told = set(self._told)
        single = not part.has_star() and len(part.ranges) == 1 and part.ranges[0][0] == part.ranges[0][1]
        existing = list(part) if single or exists else await self._searching.find(part)
        return [uid for uid in existing if uid not in told]

    async def _clear(self, command: Fetch, suspects: dict[int, BackendError]) -> None:
        """Raise PartUnavailable unless the server gives others than the messages that it says cannot be given."""
        down = [uid for uid, error in suspects.items() if isinstance(error, PartUnavailable)]
        if down and len(self._told) <= self._told_before and not await self._gives_others(command, down):
            raise suspects[down[0]]

    async def _gives_others(self, command: Fetch, suspects: list[int]) -> bool:
        """Whether the server answers the same command for others: the last that it gave, or three of all there are.

        Where a message is alone in its mailbox, nothing says that it is not the message.
        """
        witnesses = set(self._told[-1:])
        if not witnesses:
            others = sorted(set(await self._searching.find(Simple.ALL)) - set(suspects))
            witnesses = {*others[:1], *others[len(others) // 2 :][:1], *others[-1:]}
        for uid in witnesses:
            question = dataclasses.replace(command, messages=UidSet.of([uid]), changed_since=None, vanished=False)
            try:
                if (await self._connection.execute(question)).all(FetchResponse):
                    return True
            except (CommandRejected, PartUnavailable):
                continue
        return len(suspects) == 1 and not witnesses
