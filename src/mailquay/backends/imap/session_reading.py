"""Reading messages of the open mailbox: FETCH and SEARCH by UID (RFC 9051 §6.4.4, §6.4.5)."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from mailquay.backends.imap.mapping import NO_FLAGS, index_entry, shown_flags
from mailquay.backends.imap.message_limit import left_over
from mailquay.backends.imap.own_search import OwnSearch
from mailquay.backends.imap.rows import BATCH_BYTES, RowReader
from mailquay.backends.imap.search_terms import search_key
from mailquay.backends.imap.session_base import SessionBase, flag_state, uid_set
from mailquay.backends.imap.session_opening import vanished_ranges
from mailquay.backends.interface import FetchedSections, FlagState, MailboxChanges, SearchTerms
from mailquay.errors import CommandRejected, MessageNotFound, RemoteProtocolError, Unsupported
from mailquay.model.message import IndexEntry
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.response import LiteralChunk, LiteralStart, TaggedResponse
from mailquay.wire.imap.section import FetchAttribute, FetchItem, FetchSection, Section, SectionText
from mailquay.wire.imap.sequence_set import UidSet

_BATCH: Final = 500
_MAX_HEADER_BYTES: Final = 1024 * 1024
_BLOCK_BYTES: Final = 4 * 1024 * 1024
_REFERENCES: Final = FetchSection(Section(text=SectionText.HEADER_FIELDS, fields=("REFERENCES",)))


class SessionReading(SessionBase):
    """The commands that read messages."""

    async def fetch_identifiers(
        self, uids: str, *, changed_since: int | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """See MailSession.fetch_identifiers."""
        items = self._identifier_items()
        async with aclosing(self._entries(Fetch(uid_set(uids), items, changed_since))) as batches:
            async for batch in batches:
                yield batch

    async def fetch_envelopes(self, uids: str) -> AsyncGenerator[list[IndexEntry], None]:
        """See MailSession.fetch_envelopes."""
        items = (*self._identifier_items(), FetchAttribute.ENVELOPE, FetchAttribute.BODYSTRUCTURE)
        if not self._has("X-GM-EXT-1"):
            # OBJECTID alone does not mean that there are threads: THREADID may be NIL (RFC 8474 §5.2).
            items = (*items, _REFERENCES)
        async with aclosing(self._entries(Fetch(uid_set(uids), items))) as batches:
            async for batch in batches:
                yield batch

    async def _entries(self, command: Fetch) -> AsyncGenerator[list[IndexEntry], None]:
        """One entry for each message.

        In the middle of the answer a server may tell that flags were changed meanwhile (RFC 9051 §7.5.2): that row
        looks like the answer for another message. A message of which no more than that is told was not there yet when
        the server began to answer, and is asked for once more; with no better answer that row counts.
        """
        bare: dict[int, FetchResponse] = {}
        async with aclosing(self._whole_entries(command, bare)) as batches:
            async for batch in batches:
                yield batch
        if not bare:
            return
        again = dataclasses.replace(command, messages=UidSet.of(sorted(bare)), changed_since=None)
        async with aclosing(self._whole_entries(again, bare)) as batches:
            async for batch in batches:
                yield batch
        if bare:
            yield [index_entry(row, uid) for uid, row in sorted(bare.items())]

    async def _whole_entries(
        self, command: Fetch, bare: dict[int, FetchResponse]
    ) -> AsyncGenerator[list[IndexEntry], None]:
        """The messages of which more than flags is told; the others are in `bare` when it ends."""
        whole = array("I")
        async with aclosing(self._rows(command)) as rows:
            async for batch in rows:
                told = [row for row in batch if row.uid is not None and _tells_more_than_flags(row)]
                whole.extend(row.uid for row in told if row.uid is not None)
                bare |= {row.uid: row for row in batch if row.uid is not None and not _tells_more_than_flags(row)}
                if told:
                    yield [index_entry(row, row.uid) for row in told if row.uid is not None]
        if bare:
            for uid in whole:
                bare.pop(uid, None)

    async def fetch_flags(self, uids: str, *, changed_since: int | None = None) -> AsyncIterator[list[FlagState]]:
        """See MailSession.fetch_flags."""
        async with aclosing(self._rows(Fetch(uid_set(uids), self._flag_items(), changed_since))) as rows:
            async for batch in rows:
                states = [flag_state(row) for row in batch]
                yield [state for state in states if state is not None]

    async def fetch_changes(self, uids: str, *, changed_since: int) -> AsyncIterator[MailboxChanges]:
        """See MailSession.fetch_changes."""
        if "QRESYNC" not in self._connection.enabled:
            raise Unsupported("what has vanished is only told after the mailbox was opened with a known state")
        part: UidSet | None = uid_set(uids)
        while part is not None:
            ended: list[TaggedResponse] = []
            command = Fetch(part, self._flag_items(), changed_since, vanished=True)
            async with aclosing(self._changes(command, ended.append)) as batches:
                async for batch in batches:
                    yield batch
            [code] = [tagged.code for tagged in ended]
            part = left_over(code if isinstance(code, MessageLimit) else None, part)

    async def _changes(
        self, command: Fetch, on_end: Callable[[TaggedResponse], None]
    ) -> AsyncGenerator[MailboxChanges, None]:
        changed: list[FlagState] = []
        vanished: list[Vanished] = []
        size_bytes = 0
        async with aclosing(self._connection.execute_streaming(command, on_end=on_end)) as events:
            async for run in events:
                vanished += [event for event in run if isinstance(event, Vanished)]
                states = [flag_state(event) for event in run if isinstance(event, FetchResponse)]
                changed += [state for state in states if state is not None]
                size_bytes += run.size_bytes
                if len(changed) + len(vanished) >= _BATCH or size_bytes >= BATCH_BYTES:
                    yield MailboxChanges(tuple(changed), vanished_ranges(vanished))
                    changed, vanished, size_bytes = [], [], 0
        if changed or vanished:
            yield MailboxChanges(tuple(changed), vanished_ranges(vanished))

    def _flag_items(self) -> tuple[FetchItem, ...]:
        items: list[FetchItem] = [FetchAttribute.UID, FetchAttribute.FLAGS]
        if self._has("CONDSTORE"):
            items.append(FetchAttribute.MODSEQ)
        if self._has("X-GM-EXT-1"):
            items.append(FetchAttribute.GMAIL_LABELS)
        return tuple(items)

    def _identifier_items(self) -> tuple[FetchItem, ...]:
        items: list[FetchItem] = [
            FetchAttribute.UID,
            FetchAttribute.FLAGS,
            *([FetchAttribute.MODSEQ] if self._has("CONDSTORE") else []),
            FetchAttribute.INTERNALDATE,
            FetchAttribute.RFC822_SIZE,
        ]
        if self._has("OBJECTID"):
            items += [FetchAttribute.EMAILID, FetchAttribute.THREADID]
        if self._has("X-GM-EXT-1"):
            items += [FetchAttribute.GMAIL_MESSAGE_ID, FetchAttribute.GMAIL_THREAD_ID, FetchAttribute.GMAIL_LABELS]
        return tuple(items)

    def _rows(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        return RowReader(self._connection, self._searching).batches(command)

    async def fetch_sections(
        self, uids: str, sections: Sequence[str], *, limit_bytes: int | None = None
    ) -> dict[int, FetchedSections]:
        """See MailSession.fetch_sections."""
        partial = (0, limit_bytes) if limit_bytes is not None else None
        named = {_section(name): name for name in sections}
        items: tuple[FetchItem, ...] = (
            FetchAttribute.UID,
            FetchAttribute.FLAGS,
            *(
                FetchSection(section, partial=(0, _MAX_HEADER_BYTES) if name == "HEADER" else partial)
                for section, name in named.items()
            ),
        )
        found: dict[int, FetchedSections] = {}
        part: UidSet | None = uid_set(uids)
        while part is not None:
            result = await self._connection.execute(Fetch(part, items))
            part = left_over(result.code(MessageLimit), part)
            for row in result.all(FetchResponse):
                if row.uid is None or not row.sections:
                    continue
                bodies = {
                    named[data.section]: data.data
                    for data in row.sections
                    if data.section in named and data.data is not None
                }
                found[row.uid] = FetchedSections(shown_flags(row.flags or NO_FLAGS), bodies)
        return found

    async def stream_section(
        self, uid: int, section: str, *, resume_at: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See MailSession.stream_section."""
        received = resume_at or 0
        if resume_at is None:
            try:
                async with aclosing(self._stream(uid, FetchSection(_section(section)))) as chunks:
                    async for chunk in chunks:
                        received += len(chunk)
                        yield chunk
                return
            except CommandRejected as error:
                if error.response_code is not None:
                    raise
                # Perhaps it is too large to be had as a whole; else the first block is refused too.
        while True:
            before = received
            block = FetchSection(_section(section), partial=(received, _BLOCK_BYTES))
            async with aclosing(self._stream(uid, block)) as chunks:
                async for chunk in chunks:
                    received += len(chunk)
                    if chunk:
                        yield chunk
            # Some give less than they were asked for: only an empty block is the end.
            if received == before:
                return

    async def _stream(self, uid: int, wanted: FetchSection) -> AsyncGenerator[bytes, None]:
        command = Fetch(UidSet.of([uid]), (FetchAttribute.UID, wanted))
        found = False
        async with aclosing(self._connection.execute_streaming(command)) as events:
            async for run in events:
                for event in run:
                    if isinstance(event, LiteralStart):
                        found = True
                    elif isinstance(event, LiteralChunk):
                        yield event.data
                    elif isinstance(event, FetchResponse):
                        for data in event.sections:
                            if wanted.partial is not None and data.origin != wanted.partial[0]:
                                raise RemoteProtocolError("the server gives another part of the message than asked for")
                            if data.data is not None:
                                found = True
                                yield data.data
        if not found:
            raise MessageNotFound("there is no such message or part")

    async def uids(self) -> list[int]:
        """See MailSession.uids."""
        return await self._searching.everything(self._messages)

    async def page(self, skip: int, count: int) -> list[int]:
        """See MailSession.page."""
        return await self._searching.page(skip, count, self._messages)

    async def search(self, terms: SearchTerms) -> list[int]:
        """See MailSession.search."""
        if terms.seq is not None and "UIDONLY" in self._connection.enabled:
            raise Unsupported("the server knows messages by their UIDs alone (RFC 9586)")
        try:
            return await self._searching.find(search_key(terms, self.capabilities))
        except CommandRejected as error:
            own = OwnSearch(self._searching, self._rows, self._source)
            return await own.find(terms, self.capabilities, error)

    async def _source(self, uid: int, limit_bytes: int) -> bytes:
        found = (await self.fetch_sections(str(uid), [""], limit_bytes=limit_bytes)).get(uid)
        return b"" if found is None else found.bodies.get("", b"")


def _tells_more_than_flags(row: FetchResponse) -> bool:
    return (
        row.size_bytes is not None
        or row.internal_date is not None
        or row.envelope is not None
        or row.body_structure is not None
        or row.error is not None
    )


def _section(name: str) -> Section:
    """ "", "HEADER", "1.2" or "1.2.MIME" as a section."""
    if name == "":
        return Section()
    pieces = name.split(".")
    numbers = tuple(int(piece) for piece in pieces if piece.isdigit())
    text = SectionText(pieces[-1]) if not pieces[-1].isdigit() else SectionText.ALL
    return Section(numbers, text)
