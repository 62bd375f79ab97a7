"""SEARCH by UID from servers as they are: without ESEARCH, without charsets, with a limit, or with an empty answer."""

from __future__ import annotations

from typing import Final

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.message_limit import left_over
from mailquay.backends.imap.result import CommandResult
from mailquay.errors import CommandRejected, RemoteProtocolError
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.partial import PartialRange
from mailquay.wire.imap.search import And, SearchKey, Simple, is_ascii
from mailquay.wire.imap.section import FetchAttribute
from mailquay.wire.imap.sequence_set import SeqSet, UidSet

MAX_FOUND: Final = 5_000_000
"""More messages than this are not believed: `1:4294967295` is one short line, and would be gigabytes of numbers."""
_ARRIVED_MEANWHILE: Final = 10_000


class Searching:
    """Finds messages in the open mailbox."""

    def __init__(self, connection: ImapConnection) -> None:
        self._connection = connection
        self._most = MAX_FOUND

    def opened(self, messages: int | None) -> None:
        """A mailbox with so many messages is open now, as far as was told: no search finds many more."""
        self._most = MAX_FOUND if messages is None else min(MAX_FOUND, messages + _ARRIVED_MEANWHILE)

    async def find(self, key: SearchKey) -> list[int]:
        """The UIDs of the messages that match, ascending.

        Raises CommandRejected for a search that the server does not know, RemoteProtocolError for an answer beyond
        belief.
        """
        result = await self._ask(key)
        found = self._numbers(result)
        # The server may have looked at the newest messages only (RFC 9738 §3).
        below = left_over(result.code(MessageLimit), UidSet.span(1))
        while below is not None:
            result = await self._ask(And((below, key)))
            found |= self._numbers(result)
            below = left_over(result.code(MessageLimit), below)
        return sorted(found)

    async def everything(self, expected: int) -> list[int]:
        """All UIDs. A server that finds nothing where `expected` messages are is asked in another way."""
        found = await self.find(Simple.ALL)
        if found or not expected:
            return found
        part: UidSet | None = UidSet.span(1)
        told: set[int] = set()
        while part is not None:
            result = await self._connection.execute(Fetch(part, (FetchAttribute.UID,)))
            told.update(row.uid for row in result.all(FetchResponse) if row.uid is not None)
            part = left_over(result.code(MessageLimit), part)
        return sorted(told)

    async def page(self, skip: int, count: int, expected: int) -> list[int]:
        """The UIDs of up to `count` messages below the `skip` newest of `expected`, ascending."""
        if skip >= expected:
            return []
        found = await self._partial(skip, count) or await self._numbered(skip, count, expected)
        if found:
            return found
        everything = await self.everything(expected)
        end = max(0, len(everything) - skip)
        return everything[max(0, end - count) : end]

    async def _partial(self, skip: int, count: int) -> list[int]:
        """A page counted from the newest (RFC 9394 §3.1); nothing where the server does not give one."""
        if not self._connection.has_capability("PARTIAL"):
            return []
        page = PartialRange(skip + 1, skip + count, from_newest=True)
        try:
            result = await self._connection.execute(Search(Simple.ALL, partial=page))
        except CommandRejected:
            return []
        answer = result.last(EsearchResponse)
        numbers = answer.partial.numbers if answer is not None and answer.partial is not None else None
        limited = result.code(MessageLimit) is not None
        return [] if numbers is None or limited or len(numbers) > count else sorted(numbers)

    async def _numbered(self, skip: int, count: int, expected: int) -> list[int]:
        """The same by sequence numbers: those of now, since no EXPUNGE was told since the mailbox was opened."""
        if "UIDONLY" in self._connection.enabled:
            return []
        high = expected - skip
        try:
            found = await self.find(SeqSet.span(max(1, high - count + 1), high))
        except CommandRejected:
            # A server that has forgotten messages meanwhile may not know the number any more.
            return []
        return found if len(found) <= count else []

    async def _ask(self, key: SearchKey) -> CommandResult:
        returns = frozenset([SearchReturn.ALL]) if self._connection.has_capability("ESEARCH") else None
        try:
            return await self._connection.execute(Search(key, returns=returns))
        except CommandRejected:
            if is_ascii(key):
                raise
        # Many servers refuse CHARSET and understand UTF-8 all the same.
        return await self._connection.execute(Search(key, returns=returns, declare_charset=False))

    def _numbers(self, result: CommandResult) -> set[int]:
        extended = result.last(EsearchResponse)
        plain = result.all(SearchResponse) if extended is None else []
        count = sum(len(one.numbers) for one in plain)
        if extended is not None and extended.all is not None:
            count = len(extended.all)
        if count > self._most:
            raise RemoteProtocolError(f"the server claims to have found {count} messages, more than there are")
        if extended is not None:
            return set(extended.all or ())
        return {number for one in plain for number in one.numbers}
