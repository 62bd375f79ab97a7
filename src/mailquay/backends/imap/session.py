"""One logged-in IMAP connection as the services see it (backends.interface.MailSession)."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from mailquay.backends.imap.driver import ImapConnection
from mailquay.backends.imap.mapping import index_entry, shown_flags
from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.search_terms import search_key
from mailquay.backends.imap.special_use import with_special_use
from mailquay.backends.interface import (
    Appended,
    FetchedSections,
    FlagChange,
    FlagState,
    OpenedMailbox,
    SearchTerms,
    UidMap,
)
from mailquay.errors import CommandRejected, MailboxNotFound, MessageNotFound, RemoteProtocolError
from mailquay.model.mailbox import ListedMailbox, MailboxEvidence
from mailquay.model.message import IndexEntry
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.command import Noop
from mailquay.wire.imap.command_mailbox import (
    Create,
    Delete,
    List,
    NamespaceCommand,
    Rename,
    Select,
    StatusCommand,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailquay.wire.imap.command_message import Copy, ExpungeCommand, Fetch, Store, StoreMode
from mailquay.wire.imap.command_search import Search, SearchReturn
from mailquay.wire.imap.condstore import HighestModSeq
from mailquay.wire.imap.esearch import EsearchResponse, SearchResponse
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.listing import ListKind, ListOptions, ListResponse, ListReturn
from mailquay.wire.imap.mailbox_name import MailboxArgument
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.namespace import NamespaceResponse
from mailquay.wire.imap.response import Exists, LiteralChunk, LiteralStart
from mailquay.wire.imap.response_code import PermanentFlags, UidNext, UidValidity
from mailquay.wire.imap.search import SearchKey, Simple
from mailquay.wire.imap.section import FetchAttribute, FetchItem, FetchSection, Section, SectionText
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage

_BATCH: Final = 500
_MAX_FOUND: Final = 5_000_000
_MAX_HEADER_BYTES: Final = 1024 * 1024
_SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 32 * 1024
_STATUS_ITEMS: Final = (
    StatusItem.MESSAGES,
    StatusItem.UIDNEXT,
    StatusItem.UIDVALIDITY,
    StatusItem.UNSEEN,
)
_CHANGE_MODES: Final = {
    FlagChange.SET: StoreMode.REPLACE,
    FlagChange.ADD: StoreMode.ADD,
    FlagChange.REMOVE: StoreMode.REMOVE,
}


class ImapSession:
    """See MailSession."""

    def __init__(self, connection: ImapConnection) -> None:
        self._connection = connection
        self._wire_names: dict[str, MailboxArgument] = {}
        self._selected: str | None = None
        self._writable = False

    @property
    def capabilities(self) -> frozenset[str]:
        """See MailSession.capabilities."""
        return self._connection.capabilities or frozenset()

    @property
    def selected(self) -> str | None:
        """See MailSession.selected."""
        return self._selected

    @property
    def usable(self) -> bool:
        """See MailSession.usable."""
        return self._connection.usable

    # -- mailboxes -------------------------------------------------------------------------------

    async def list_mailboxes(self) -> list[ListedMailbox]:
        """See MailSession.list_mailboxes."""
        extended = self._has("LIST-EXTENDED")
        returns = set()
        if extended:
            returns.add(ListReturn.SUBSCRIBED)
        if self._has("SPECIAL-USE") and extended:
            returns.add(ListReturn.SPECIAL_USE)
        kind = ListKind.XLIST if self._has("XLIST") and not self._has("SPECIAL-USE") else ListKind.LIST
        options = ListOptions(returns=frozenset(returns))
        result = await self._connection.execute(List(options=options, kind=kind))
        listed = {item.mailbox: self._listed(item) for item in result.all(ListResponse)}
        if not extended:
            subscribed = await self._connection.execute(List(kind=ListKind.LSUB))
            names = {item.mailbox for item in subscribed.all(ListResponse)}
            listed = {path: dataclasses.replace(box, subscribed=path in names) for path, box in listed.items()}
        return with_special_use(list(listed.values()))

    def _listed(self, item: ListResponse) -> ListedMailbox:
        path = "INBOX" if item.mailbox.upper() == "INBOX" else item.mailbox
        self._wire_names[path] = item.argument
        attributes = frozenset(attribute.lower() for attribute in item.attributes)
        return ListedMailbox(
            path=path,
            delimiter=item.delimiter,
            attributes=attributes,
            subscribed="\\subscribed" in attributes,
        )

    async def status(self, paths: Sequence[str]) -> dict[str, MailboxEvidence]:
        """See MailSession.status."""
        if self._selected in paths:
            await self._look_up()
        items = (*_STATUS_ITEMS, StatusItem.HIGHESTMODSEQ) if self._has("CONDSTORE") else _STATUS_ITEMS
        found: dict[str, MailboxEvidence] = {}
        if self._has("LIST-STATUS") and len(paths) > 1:
            result = await self._connection.execute(List(options=ListOptions(status=items)))
            wanted = set(paths)
            for status in result.all(StatusResponse):
                path = "INBOX" if status.mailbox.upper() == "INBOX" else status.mailbox
                if path in wanted:
                    found[path] = _evidence(status)
            return found
        for path in paths:
            try:
                result = await self._connection.execute(StatusCommand(self._argument(path), items))
            except (CommandRejected, MailboxNotFound):
                # One mailbox that the server cannot count must not hide the others.
                continue
            answer = result.last(StatusResponse)
            if answer is not None:
                found[path] = _evidence(answer)
        return found

    async def _look_up(self) -> None:
        """STATUS of the open mailbox is what it was when last looked at, on Dovecot for ever (RFC 9051 §6.3.11)."""
        if self._has("UNSELECT"):
            self._selected = None
            await self._connection.execute(Unselect())
        else:
            await self._connection.execute(Noop())

    async def open_mailbox(self, path: str, *, writable: bool = False) -> OpenedMailbox:
        """See MailSession.open_mailbox."""
        self._selected = None
        result = await self._connection.execute(
            Select(self._argument(path), read_only=not writable, condstore=self._has("CONDSTORE"))
        )
        self._selected, self._writable = path, writable
        exists, validity, uidnext = result.last(Exists), result.code(UidValidity), result.code(UidNext)
        modseq, permanent = result.code(HighestModSeq), result.code(PermanentFlags)
        return OpenedMailbox(
            path=path,
            uidvalidity=validity.value if validity is not None else None,
            uidnext=uidnext.value if uidnext is not None else None,
            messages=exists.count if exists is not None else 0,
            highestmodseq=modseq.value if modseq is not None and modseq.value else None,
            permanent_flags=permanent.flags if permanent is not None else None,
        )

    async def create_mailbox(self, path: str) -> bool:
        """See MailSession.create_mailbox."""
        try:
            await self._connection.execute(Create(path))
        except CommandRejected as error:
            if error.response_code == "ALREADYEXISTS":
                return False
            raise
        await self._connection.execute(Subscribe(path))
        return True

    async def rename_mailbox(self, path: str, new_path: str) -> None:
        """See MailSession.rename_mailbox."""
        await self._connection.execute(Rename(self._argument(path), new_path))

    async def delete_mailbox(self, path: str) -> bool:
        """See MailSession.delete_mailbox."""
        try:
            await self._connection.execute(Delete(self._argument(path)))
        except MailboxNotFound:
            return False
        return True

    async def subscribe(self, path: str, subscribed: bool) -> None:
        """See MailSession.subscribe."""
        command = Subscribe(self._argument(path)) if subscribed else Unsubscribe(self._argument(path))
        await self._connection.execute(command)

    async def namespace(self) -> tuple[str, str | None]:
        """See MailSession.namespace."""
        if self._has("NAMESPACE"):
            answer = (await self._connection.execute(NamespaceCommand())).last(NamespaceResponse)
            if answer is not None and answer.personal:
                return answer.personal[0].prefix, answer.personal[0].delimiter
        return "", None

    # -- reading ---------------------------------------------------------------------------------

    async def fetch_identifiers(
        self, uids: str, *, changed_since: int | None = None
    ) -> AsyncIterator[list[IndexEntry]]:
        """See MailSession.fetch_identifiers."""
        items = self._identifier_items()
        async with aclosing(self._rows(Fetch(_uids(uids), items, changed_since))) as rows:
            async for batch in rows:
                yield [index_entry(row, row.uid) for row in batch if row.uid is not None]

    async def fetch_envelopes(self, uids: str) -> AsyncIterator[list[IndexEntry]]:
        """See MailSession.fetch_envelopes."""
        items = (*self._identifier_items(), FetchAttribute.ENVELOPE, FetchAttribute.BODYSTRUCTURE)
        async with aclosing(self._rows(Fetch(_uids(uids), items))) as rows:
            async for batch in rows:
                yield [index_entry(row, row.uid) for row in batch if row.uid is not None]

    async def fetch_flags(self, uids: str, *, changed_since: int | None = None) -> AsyncIterator[list[FlagState]]:
        """See MailSession.fetch_flags."""
        items: list[FetchItem] = [FetchAttribute.UID, FetchAttribute.FLAGS]
        if self._has("CONDSTORE"):
            items.append(FetchAttribute.MODSEQ)
        if self._has("X-GM-EXT-1"):
            items.append(FetchAttribute.GMAIL_LABELS)
        async with aclosing(self._rows(Fetch(_uids(uids), tuple(items), changed_since))) as rows:
            async for batch in rows:
                states = [_flag_state(row) for row in batch]
                yield [state for state in states if state is not None]

    def _identifier_items(self) -> tuple[FetchItem, ...]:
        items: list[FetchItem] = [
            FetchAttribute.UID,
            FetchAttribute.FLAGS,
            FetchAttribute.INTERNALDATE,
            FetchAttribute.RFC822_SIZE,
        ]
        if self._has("CONDSTORE"):
            items.append(FetchAttribute.MODSEQ)
        if self._has("OBJECTID"):
            items += [FetchAttribute.EMAILID, FetchAttribute.THREADID]
        if self._has("X-GM-EXT-1"):
            items += [FetchAttribute.GMAIL_MESSAGE_ID, FetchAttribute.GMAIL_THREAD_ID, FetchAttribute.GMAIL_LABELS]
        return tuple(items)

    async def _rows(self, command: Fetch) -> AsyncGenerator[list[FetchResponse], None]:
        batch: list[FetchResponse] = []
        async with aclosing(self._connection.execute_streaming(command)) as events:
            async for event in events:
                if isinstance(event, FetchResponse):
                    batch.append(event)
                    if len(batch) >= _BATCH:
                        yield batch
                        batch = []
        if batch:
            yield batch

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
        result = await self._connection.execute(Fetch(_uids(uids), items))
        found: dict[int, FetchedSections] = {}
        for row in result.all(FetchResponse):
            if row.uid is None or not row.sections:
                continue
            bodies = {
                named[data.section]: data.data
                for data in row.sections
                if data.section in named and data.data is not None
            }
            found[row.uid] = FetchedSections(shown_flags(row.flags or ()), bodies)
        return found

    async def stream_section(self, uid: int, section: str) -> AsyncIterator[bytes]:
        """See MailSession.stream_section."""
        command = Fetch(UidSet.of([uid]), (FetchAttribute.UID, FetchSection(_section(section))))
        found = False
        async with aclosing(self._connection.execute_streaming(command)) as events:
            async for event in events:
                if isinstance(event, LiteralStart):
                    found = True
                elif isinstance(event, LiteralChunk):
                    yield event.data
                elif isinstance(event, FetchResponse):
                    for data in event.sections:
                        if data.data is not None:
                            found = True
                            yield data.data
        if not found:
            raise MessageNotFound("there is no such message or part")

    async def uids(self) -> list[int]:
        """See MailSession.uids."""
        return await self._search(Simple.ALL)

    async def search(self, terms: SearchTerms) -> list[int]:
        """See MailSession.search."""
        return await self._search(search_key(terms, self.capabilities))

    async def _search(self, key: SearchKey) -> list[int]:
        returns = frozenset([SearchReturn.ALL]) if self._has("ESEARCH") else None
        result = await self._connection.execute(Search(key, returns=returns))
        extended = result.last(EsearchResponse)
        if extended is not None:
            if extended.all is None:
                return []
            if len(extended.all) > _MAX_FOUND:
                # "1:4294967295" is one short line, and would be gigabytes of numbers.
                raise RemoteProtocolError(f"the server claims to have found more than {_MAX_FOUND} messages")
            return list(extended.all)
        numbers: set[int] = set()
        for answer in result.all(SearchResponse):
            numbers.update(answer.numbers)
        return sorted(numbers)

    # -- changing --------------------------------------------------------------------------------

    async def store_flags(
        self, uids: str, change: FlagChange, flags: Sequence[str], *, labels: bool = False
    ) -> list[FlagState]:
        """See MailSession.store_flags."""
        await self._need_writable()
        store = Store(
            _uids(uids),
            _CHANGE_MODES[change],
            flags=None if labels else frozenset(flags),
            labels=tuple(flags) if labels else None,
        )
        result = await self._connection.execute(store)
        states = [_flag_state(row) for row in result.all(FetchResponse)]
        return [state for state in states if state is not None]

    async def move(self, uids: str, path: str) -> UidMap | None:
        """See MailSession.move."""
        await self._need_writable()
        if self._has("MOVE"):
            return _uid_map(await self._connection.execute(Move(_uids(uids), self._argument(path))))
        copied = await self.copy(uids, path)
        await self.expunge(uids)
        return copied

    async def copy(self, uids: str, path: str) -> UidMap | None:
        """See MailSession.copy."""
        return _uid_map(await self._connection.execute(Copy(_uids(uids), self._argument(path))))

    async def expunge(self, uids: str) -> None:
        """See MailSession.expunge."""
        await self._need_writable()
        chosen = _uids(uids)
        if self._has("UIDPLUS"):
            await self._connection.execute(Store(chosen, StoreMode.ADD, flags=frozenset(["\\Deleted"]), silent=True))
            await self._connection.execute(ExpungeCommand(chosen))
            return
        # EXPUNGE removes whatever is marked: other messages' marks are taken off while ours go.
        marked = set(await self._search(Simple.DELETED)) - set(chosen)
        if marked:
            await self._connection.execute(
                Store(UidSet.of(marked), StoreMode.REMOVE, flags=frozenset(["\\Deleted"]), silent=True)
            )
        await self._connection.execute(Store(chosen, StoreMode.ADD, flags=frozenset(["\\Deleted"]), silent=True))
        await self._connection.execute(ExpungeCommand())
        if marked:
            await self._connection.execute(
                Store(UidSet.of(marked), StoreMode.ADD, flags=frozenset(["\\Deleted"]), silent=True)
            )

    async def append(
        self,
        path: str,
        body: AsyncIterator[bytes],
        size_bytes: int,
        *,
        flags: Sequence[str] = (),
        internal_date_ms: int | None = None,
    ) -> Appended:
        """See MailSession.append."""
        date = None
        if internal_date_ms is not None:
            date = datetime.fromtimestamp(internal_date_ms / 1000, UTC)
        command = Append(self._argument(path), StreamedMessage(size_bytes), frozenset(flags), date)
        seconds = self._connection.command_seconds + size_bytes / _SLOWEST_UPLOAD_BYTES_PER_SECOND
        result = await self._connection.execute(command, timeout_seconds=seconds, body=body)
        code = result.code(AppendUid)
        return Appended() if code is None else Appended(code.uidvalidity, code.uid)

    # -- the connection --------------------------------------------------------------------------

    async def noop(self) -> None:
        """See MailSession.noop."""
        await self._connection.execute(Noop())

    async def close(self) -> None:
        """See MailSession.close."""
        await self._connection.logout()

    async def _need_writable(self) -> None:
        if self._selected is not None and not self._writable:
            await self.open_mailbox(self._selected, writable=True)

    def _has(self, capability: str) -> bool:
        return self._connection.has_capability(capability)

    def _argument(self, path: str) -> MailboxArgument:
        return self._wire_names.get(path, path)


def _uids(text: str) -> UidSet:
    return UidSet.parse(text.encode("ascii"))


def _evidence(status: StatusResponse) -> MailboxEvidence:
    return MailboxEvidence(
        uidvalidity=status.uidvalidity,
        uidnext=status.uidnext,
        messages=status.messages,
        unseen=status.unseen,
        highestmodseq=status.highestmodseq or None,
    )


def _flag_state(row: FetchResponse) -> FlagState | None:
    if row.uid is None or row.flags is None:
        return None
    return FlagState(row.uid, shown_flags(row.flags), row.modseq, row.gmail_labels)


def _uid_map(result: CommandResult) -> UidMap | None:
    code = result.code(CopyUid)
    if code is None or len(code) > _MAX_FOUND:
        return None
    return UidMap(code.uidvalidity, dict(code.pairs()))


def _section(name: str) -> Section:
    """ "", "HEADER", "1.2" or "1.2.MIME" as a section."""
    if name == "":
        return Section()
    pieces = name.split(".")
    numbers = tuple(int(piece) for piece in pieces if piece.isdigit())
    text = SectionText(pieces[-1]) if not pieces[-1].isdigit() else SectionText.ALL
    return Section(numbers, text)
