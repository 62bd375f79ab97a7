"""Reading the messages of an export: many with a command, large ones piece by piece."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import msgspec
import structlog

from mailquay.backends.interface import FetchedSections, MailSession
from mailquay.errors import (
    BackendError,
    CommandRejected,
    MessageNotFound,
    PartUnavailable,
    RemoteProtocolError,
    Unavailable,
)
from mailquay.mime.header import parse_header
from mailquay.mime.transfer import decoder_for
from mailquay.model.account import Account
from mailquay.model.export import ExportFormat, ExportRequest, PlannedMessage
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import Attachment, IndexEntry, Structure, Uid
from mailquay.services import presentation
from mailquay.services.body_source import SourceBodies, needs_source, read_source
from mailquay.services.export_formats import ReadMessage
from mailquay.services.message_text import assemble, fetch_limit_bytes, wanted_parts
from mailquay.services.messages import fetch_entries
from mailquay.services.ports import MailAccess
from mailquay.services.section_stream import stream_section
from mailquay.services.sections_apart import fetch_apart
from mailquay.services.threads import looked_up
from mailquay.storage.export_files import SPOOL_FRAME_BYTES, Spool, Spooled
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_TOGETHER_BYTES: Final = 4 * 1024 * 1024
"""What one command may bring into memory, by what the server says of its size."""
_SMALL_BYTES: Final = 256 * 1024
_SESSION_SECONDS: Final = 30.0
_encode = msgspec.json.Encoder().encode


class MailboxInMotion(Unavailable):
    """The mailbox is not where, or what, it was when the export was planned; soon it is known what became of it."""


class ExportReader:
    """Reads messages of one mailbox, as an export wants them. `max_content_bytes` bounds each text and attachment."""

    def __init__(self, store: Store, access: MailAccess, *, max_content_bytes: int) -> None:
        self._store = store
        self._access = access
        self._max_content_bytes = max_content_bytes

    async def read(
        self,
        account: Account,
        mailbox: Mailbox,
        uidvalidity: int,
        messages: Sequence[PlannedMessage],
        request: ExportRequest,
        spool: Spool,
    ) -> dict[PlannedMessage, ReadMessage | None]:
        """The messages that are still there; None for one that cannot be had in this format.

        Raises what the session raises, but not for a message that the server refuses alone.
        """
        reading = _Reading(self, account, mailbox, uidvalidity, request, spool)
        by_uid = {one.uid: one for one in messages}
        found: dict[int, list[bytes | Spooled] | None]
        if request.format is ExportFormat.NDJSON:
            found = await reading.lines(list(by_uid))
        else:
            found = await reading.sources(messages)
        return {
            by_uid[uid]: None if pieces is None else ReadMessage(by_uid[uid], mailbox.listing, pieces)
            for uid, pieces in found.items()
        }

    async def unreadable(
        self, mailbox: Mailbox, message: PlannedMessage, request: ExportRequest, reason: str
    ) -> ReadMessage | None:
        """What is known of a message that its server does not give; None where the format has no place for that."""
        if request.format is not ExportFormat.NDJSON:
            return None
        entry = await self._store.messages.get(mailbox.number, message.uid) or _bare(message)
        return ReadMessage(message, mailbox.listing, [_failed_line(mailbox, entry, reason)])

    @property
    def store(self) -> Store:
        """Where the index is."""
        return self._store

    @property
    def max_content_bytes(self) -> int:
        """The largest content of a text or an attachment."""
        return self._max_content_bytes

    @asynccontextmanager
    async def opened(self, account: Account, mailbox: Mailbox, uidvalidity: int) -> AsyncIterator[MailSession]:
        """A session that has the mailbox open, under the UIDVALIDITY that the plan was made with.

        Raises MailboxInMotion while another mailbox stands at its path.
        """
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            if session.selected != path or (session.selected_uidvalidity or 0) != uidvalidity:
                await self._open(session, account, path, uidvalidity)
            yield session

    async def check(self, account: Account, mailbox: Mailbox, uidvalidity: int) -> None:
        """Ask the server whether that mailbox is still at its path; raises MailboxInMotion when it is not."""
        path = mailbox.listing.path
        async with self._access.session(account, path=path, timeout_seconds=_SESSION_SECONDS) as session:
            await self._open(session, account, path, uidvalidity)

    async def _open(self, session: MailSession, account: Account, path: str, uidvalidity: int) -> None:
        if ((await session.open_mailbox(path)).uidvalidity or 0) != uidvalidity:
            self._access.nudge(account.number, [path])
            raise MailboxInMotion("the server has replaced the mailbox, which is read anew")


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """One mailbox's part of a batch."""

    reader: ExportReader
    account: Account
    mailbox: Mailbox
    uidvalidity: int
    request: ExportRequest
    spool: Spool

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[MailSession]:
        """See ExportReader.opened."""
        async with self.reader.opened(self.account, self.mailbox, self.uidvalidity) as session:
            yield session

    # -- lines of JSON ---------------------------------------------------------------------------

    async def lines(self, uids: Sequence[int]) -> dict[int, list[bytes | Spooled] | None]:
        """The lines of these messages by UID; what is gone is left out."""
        lines: dict[int, list[bytes | Spooled] | None] = {}
        groups: dict[tuple[str, ...], list[IndexEntry]] = defaultdict(list)
        for entry in await self._entries(uids):
            if entry.error is not None:
                lines[entry.uid] = [_failed_line(self.mailbox, entry, entry.error)]
            else:
                parts = wanted_parts(entry.structure or Structure(), self.request.text_type)
                groups[tuple(part.part for part in parts)].append(entry)
        for sections, members in groups.items():
            for group in self._together(members):
                lines.update(await self._group(sections, group))
        return lines

    async def _entries(self, uids: Sequence[int]) -> list[IndexEntry]:
        """What is known of the messages: from the index, else from the server."""
        stored = await self.reader.store.messages.several(self.mailbox.number, uids)
        known = [entry for entry in stored if entry.structure is not None and entry.error is None]
        missing = sorted(set(uids) - {entry.uid for entry in known})
        if missing:
            async with self.opened() as session:
                wanted = set(missing)
                known += [entry for entry in await fetch_entries(session, missing) if entry.uid in wanted]
        return known

    def _together(self, entries: Sequence[IndexEntry]) -> Iterator[list[IndexEntry]]:
        """The entries in runs whose texts are fetched with one command."""
        run: list[IndexEntry] = []
        size = 0
        for entry in entries:
            parts = wanted_parts(entry.structure or Structure(), self.request.text_type)
            weight = sum(min(part.encoded_size_bytes, self._limit_bytes) for part in parts)
            if run and size + weight > _TOGETHER_BYTES:
                yield run
                run, size = [], 0
            run.append(entry)
            size += weight
        if run:
            yield run

    @property
    def _limit_bytes(self) -> int:
        wanted = fetch_limit_bytes(self.request.max_characters)
        most = self.reader.max_content_bytes
        return most if wanted is None else min(wanted, most)

    async def _group(
        self, sections: Sequence[str], entries: Sequence[IndexEntry]
    ) -> dict[int, list[bytes | Spooled] | None]:
        async with self.opened() as session:
            apart = await fetch_apart(
                session, [entry.uid for entry in entries], ["HEADER", *sections], limit_bytes=self._limit_bytes
            )
            parsed = await self._parsed(session, [entry for entry in entries if entry.uid in apart.found])
        entries = await looked_up(self.reader.store, self.account, self.mailbox.number, entries)
        lines: dict[int, list[bytes | Spooled] | None] = {}
        for entry in entries:
            if entry.uid in apart.refused:
                lines[entry.uid] = [_failed_line(self.mailbox, entry, apart.refused[entry.uid].message)]
            elif isinstance(refusal := parsed.get(entry.uid), str):
                lines[entry.uid] = [_failed_line(self.mailbox, entry, refusal)]
        told = [entry for entry in entries if entry.uid in apart.found and entry.uid not in lines]
        sources = {uid: source for uid, source in parsed.items() if isinstance(source, SourceBodies)}
        shown = await asyncio.to_thread(self._shown, told, apart.found, sources)
        for entry, details in shown:
            if isinstance(details, bytes):
                lines[entry.uid] = [details]
            else:
                lines[entry.uid] = await self._line(entry, details, sources.get(entry.uid))
        return lines

    async def _parsed(self, session: MailSession, entries: Sequence[IndexEntry]) -> dict[int, SourceBodies | str]:
        """The messages whose structure the server does not tell reliably, parsed; why, where one cannot be had."""
        parsed: dict[int, SourceBodies | str] = {}
        for entry in entries:
            if entry.structure is not None and needs_source(entry.structure):
                try:
                    parsed[entry.uid] = await read_source(session, entry.uid)
                except (Unavailable, RemoteProtocolError):
                    raise
                except Exception as error:
                    parsed[entry.uid] = _reason(error)
        return parsed

    def _shown(
        self,
        entries: Sequence[IndexEntry],
        found: Mapping[int, FetchedSections],
        sources: Mapping[int, SourceBodies],
    ) -> list[tuple[IndexEntry, dict[str, Any] | bytes]]:
        """The messages as the API shows them (for a thread: texts are decoded); a whole line where that fails."""
        shown: list[tuple[IndexEntry, dict[str, Any] | bytes]] = []
        for entry in entries:
            try:
                shown.append((entry, self._details(entry, found[entry.uid], sources.get(entry.uid))))
            except Exception as error:
                # Hostile or merely odd: one message must not keep the others from being exported.
                _log.error("message_not_exported", account=self.account.id, uid=entry.uid, exc_info=error)
                shown.append((entry, _failed_line(self.mailbox, entry, _reason(error))))
        return shown

    def _details(self, entry: IndexEntry, fetched: FetchedSections, source: SourceBodies | None) -> dict[str, Any]:
        structure, bodies = entry.structure or Structure(), dict(fetched.bodies)
        if source is not None:
            structure = source.structure
            bodies.update(source.bodies(self.request.text_type))
        entry = dataclasses.replace(entry, structure=structure, flags=fetched.flags)
        headers = parse_header(bodies.get("HEADER", b"")).decoded()
        shown = presentation.message_details(self.mailbox.number, entry, headers, self.mailbox.listing)
        text = assemble(structure, bodies, self.request.text_type, self.request.max_characters)
        shown["text"] |= {
            key: value for key, value in (("plain", text.plain), ("html", text.html)) if value is not None
        }
        # What is above the limit of any content was not even fetched.
        cut = any(
            part.encoded_size_bytes > self.reader.max_content_bytes
            for part in wanted_parts(structure, self.request.text_type)
        )
        shown["text"]["hasMore"] = text.has_more or (cut and source is None)
        return shown

    # -- attachments -----------------------------------------------------------------------------

    async def _line(
        self, entry: IndexEntry, shown: dict[str, Any], source: SourceBodies | None
    ) -> list[bytes | Spooled]:
        """A line in pieces: the contents of attachments stand in the spool."""
        attachments = shown.pop("attachments", None)
        head = _encode(shown)
        if attachments is None:
            return [await self._spooled(head + b"\n")]
        pieces: list[bytes | Spooled] = [await self._spooled(head[:-1] + b',"attachments":[')]
        structure = source.structure if source is not None else entry.structure or Structure()
        for n, (item, part) in enumerate(zip(attachments, structure.attachments, strict=True)):
            content: Spooled | str | None = None
            if self.request.include_attachments:
                content = await self._attachment(entry.uid, part, source)
            if isinstance(content, str):
                item["contentError"] = content
            encoded = (b"," if n else b"") + _encode(item)
            if isinstance(content, Spooled):
                pieces += [encoded[:-1] + b',"content":"', content, b'"}']
            else:
                pieces.append(encoded)
        return [*pieces, b"]}\n"]

    async def _spooled(self, data: bytes) -> bytes | Spooled:
        """A short piece as it is; a long one does not stay in memory."""
        return data if len(data) <= SPOOL_FRAME_BYTES else await asyncio.to_thread(self.spool.add_whole, data)

    async def _attachment(self, uid: int, part: Attachment, source: SourceBodies | None) -> Spooled | str:
        """The content of an attachment in base64, in the spool; why it is not there, when it is not."""
        limit = self.reader.max_content_bytes
        if part.encoded_size_bytes > limit * 4 // 3 + 4:
            return f"the content is larger than {limit} bytes"
        try:
            if source is not None:
                content = base64.b64encode(source.parts[part.part].content)
                return await asyncio.to_thread(self.spool.add_whole, content)
            return await self._in_base64(uid, part)
        except (MessageNotFound, CommandRejected) as error:
            return error.message

    async def _in_base64(self, uid: int, part: Attachment) -> Spooled | str:
        decoder, spooling = decoder_for(part.encoding), _Spooling(self.spool)
        rest, size = b"", 0
        async with aclosing(stream_section(self.opened, uid, part.part)) as chunks:
            async for chunk in chunks:
                decoded = rest + decoder.feed(chunk)
                size += len(decoded) - len(rest)
                if size > self.reader.max_content_bytes:
                    return f"the content is larger than {self.reader.max_content_bytes} bytes"
                whole = len(decoded) // 3 * 3
                rest = decoded[whole:]
                await spooling.add(base64.b64encode(decoded[:whole]))
        await spooling.add(base64.b64encode(rest + decoder.finish()))
        return await spooling.end()

    # -- sources ---------------------------------------------------------------------------------

    async def sources(self, messages: Sequence[PlannedMessage]) -> dict[int, list[bytes | Spooled] | None]:
        """The messages as their server holds them, by UID; None for one that it refuses to give."""
        sources: dict[int, list[bytes | Spooled] | None] = {}
        small = [one for one in messages if one.size_bytes <= _SMALL_BYTES]
        run: list[int] = []
        size = 0
        for one in small:
            run.append(one.uid)
            size += one.size_bytes
            if size > _TOGETHER_BYTES or one is small[-1]:
                sources.update(await self._small_sources(run))
                run, size = [], 0
        for one in messages:
            if one.size_bytes > _SMALL_BYTES:
                try:
                    sources[one.uid] = [await self._source(one.uid)]
                except MessageNotFound:
                    continue
                except CommandRejected as error:
                    _log.warning("source_refused", account=self.account.id, uid=one.uid, error=error.message)
                    sources[one.uid] = None
        return sources

    async def _small_sources(self, uids: Sequence[int]) -> dict[int, list[bytes | Spooled] | None]:
        async with self.opened() as session:
            # A server may be wrong about a size; what comes then is bounded all the same.
            limit = 4 * _SMALL_BYTES
            apart = await fetch_apart(session, uids, [""], limit_bytes=limit)
        sources: dict[int, list[bytes | Spooled] | None] = dict.fromkeys(apart.refused)
        for uid, fetched in apart.found.items():
            body = fetched.bodies.get("")
            if body is None or len(body) < limit:
                sources[uid] = None if body is None else [await self._spooled(body)]
            else:
                sources[uid] = [await self._source(uid)]
        return sources

    async def _source(self, uid: int) -> Spooled:
        spooling = _Spooling(self.spool)
        async with aclosing(stream_section(self.opened, uid, "")) as chunks:
            async for chunk in chunks:
                await spooling.add(chunk)
        return await spooling.end()


class _Spooling:
    """Collects what arrives in small chunks; one hop to a thread for many of them."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._buffer = bytearray()
        self._first = spool.frames
        self._size = 0

    async def add(self, data: bytes) -> None:
        """Add to the run."""
        self._buffer += data
        if len(self._buffer) >= 4 * SPOOL_FRAME_BYTES:
            await self._flush()

    async def end(self) -> Spooled:
        """The whole run."""
        await self._flush()
        return Spooled(self._first, self._spool.frames - self._first, self._size)

    async def _flush(self) -> None:
        self._size += len(self._buffer)
        data = bytes(self._buffer)
        self._buffer.clear()
        await asyncio.to_thread(self._spool.add_whole, data)


def _bare(message: PlannedMessage) -> IndexEntry:
    return IndexEntry(Uid(message.uid), internal_date_ms=message.date_ms, size_bytes=message.size_bytes)


def _failed_line(mailbox: Mailbox, entry: IndexEntry, reason: str) -> bytes:
    """What is known of a message that cannot be read, and why."""
    shown = presentation.message_entry(mailbox.number, dataclasses.replace(entry, error=reason))
    return _encode({"path": mailbox.listing.path, **shown}) + b"\n"


def _reason(error: Exception) -> str:
    """What may be told: the server's words are, an exception of ours may quote the message."""
    if isinstance(error, BackendError) and not isinstance(error, PartUnavailable):
        return error.message
    return f"the message cannot be read ({type(error).__name__})"
