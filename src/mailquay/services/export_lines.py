"""Messages of an export as lines of JSON: what the API shows of each, with texts and the contents of attachments."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from mailquay.backends.interface import FetchedSections, MailSession
from mailquay.errors import (
    BackendError,
    CommandRejected,
    InvalidRequest,
    MessageNotFound,
    PartUnavailable,
    RemoteProtocolError,
    Unavailable,
)
from mailquay.mime.header import parse_header
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import Attachment, IndexEntry, Structure
from mailquay.services import presentation
from mailquay.services.body_source import SourceBodies, download_part, needs_source, read_texts
from mailquay.services.download_stream import decoded, limited
from mailquay.services.export_reading import TOGETHER_BYTES, Pieces, Reading, Spooling
from mailquay.services.message_pages import fetch_entries
from mailquay.services.message_text import assemble, fetch_limit_bytes, wanted_parts
from mailquay.services.section_stream import stream_section
from mailquay.services.sections_apart import fetch_apart
from mailquay.services.threads import looked_up
from mailquay.storage.export_files import Spooled
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
_LEAST_BYTES = 64 * 1024
_encode = msgspec.json.Encoder().encode


@dataclasses.dataclass(frozen=True, slots=True)
class LineReading(Reading):
    """Reads messages as lines; `store` holds the index."""

    store: Store

    async def lines(self, uids: Sequence[int]) -> dict[int, Pieces | None]:
        """The lines of these messages by UID; what is gone is left out."""
        lines: dict[int, Pieces | None] = {}
        groups: dict[tuple[str, ...], list[IndexEntry]] = defaultdict(list)
        for entry in await self._entries(uids):
            if entry.error is not None:
                lines[entry.uid] = [failed_line(self.mailbox, entry, entry.error)]
            else:
                parts = wanted_parts(entry.structure or Structure(), self.request.text_type)
                groups[tuple(part.part for part in parts)].append(entry)
        for sections, members in groups.items():
            for group in self._together(members):
                lines.update(await self._group(sections, group))
        return lines

    async def _entries(self, uids: Sequence[int]) -> list[IndexEntry]:
        """What is known of the messages: from the index, else from the server."""
        stored = await self.store.messages.several(self.mailbox.number, uids)
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
            if run and size + weight > TOGETHER_BYTES:
                yield run
                run, size = [], 0
            run.append(entry)
            size += weight
        if run:
            yield run

    @property
    def _limit_bytes(self) -> int:
        wanted = fetch_limit_bytes(self.request.max_characters)
        most = self.max_content_bytes
        return most if wanted is None else min(wanted, most)

    def _limit_for(self, entries: Sequence[IndexEntry]) -> int:
        """No part brings much more than the largest is said to have: servers have been wrong about sizes."""
        structures = [entry.structure or Structure() for entry in entries]
        parts = [part for structure in structures for part in wanted_parts(structure, self.request.text_type)]
        largest = max((part.encoded_size_bytes for part in parts), default=0)
        return min(self._limit_bytes, max(_LEAST_BYTES, 2 * largest))

    async def _group(self, sections: Sequence[str], entries: Sequence[IndexEntry]) -> dict[int, Pieces | None]:
        async with self.opened() as session:
            apart = await fetch_apart(
                session, [entry.uid for entry in entries], ["HEADER", *sections], limit_bytes=self._limit_for(entries)
            )
            parsed = await self._parsed(session, [entry for entry in entries if entry.uid in apart.found])
        entries = await looked_up(self.store, self.account, self.mailbox.number, entries)
        lines: dict[int, Pieces | None] = {}
        for entry in entries:
            if entry.uid in apart.refused:
                lines[entry.uid] = [failed_line(self.mailbox, entry, apart.refused[entry.uid].message)]
            elif isinstance(refusal := parsed.get(entry.uid), str):
                lines[entry.uid] = [failed_line(self.mailbox, entry, refusal)]
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
                kinds = ("plain", "html") if self.request.text_type == "*" else (self.request.text_type,)
                try:
                    async with aclosing(session.stream_section(entry.uid, "")) as chunks:
                        parsed[entry.uid] = await read_texts(chunks, kinds, limit_bytes=self._limit_bytes)
                except PartUnavailable as error:
                    await self.others_are_given(session, entry.uid)
                    parsed[entry.uid] = error.message
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
                shown.append((entry, failed_line(self.mailbox, entry, _reason(error))))
        return shown

    def _details(self, entry: IndexEntry, fetched: FetchedSections, source: SourceBodies | None) -> dict[str, Any]:
        structure, bodies = entry.structure or Structure(), dict(fetched.bodies)
        if source is not None:
            structure = source.structure
            bodies.update(source.bodies)
        entry = dataclasses.replace(entry, structure=structure, flags=fetched.flags)
        headers = parse_header(bodies.get("HEADER", b"")).decoded()
        shown = presentation.message_details(self.mailbox.number, entry, headers, self.mailbox.listing)
        text = assemble(structure, bodies, self.request.text_type, self.request.max_characters)
        shown["text"] |= {
            key: value for key, value in (("plain", text.plain), ("html", text.html)) if value is not None
        }
        # What is above the limit of any content was not even fetched.
        cut = any(
            part.encoded_size_bytes > self.max_content_bytes for part in wanted_parts(structure, self.request.text_type)
        )
        shown["text"]["hasMore"] = text.has_more or (cut if source is None else bool(source.cut))
        return shown

    # -- attachments -----------------------------------------------------------------------------

    async def _line(self, entry: IndexEntry, shown: dict[str, Any], source: SourceBodies | None) -> Pieces:
        """A line in pieces: the contents of attachments stand in the spool."""
        attachments = shown.pop("attachments", None)
        head = _encode(shown)
        if attachments is None:
            return [await self.spooled(head + b"\n")]
        pieces: Pieces = [await self.spooled(head[:-1] + b',"attachments":[')]
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

    async def _attachment(self, uid: int, part: Attachment, source: SourceBodies | None) -> Spooled | str:
        """The content of an attachment in base64, in the spool; why it is not there, when it is not."""
        limit = self.max_content_bytes
        if part.encoded_size_bytes > limit * 4 // 3 + 4:
            return f"the content is larger than {limit} bytes"
        try:
            section = part.part if source is None else ""
            async with aclosing(stream_section(self.opened, uid, section)) as raw:
                # Also what decodes to nothing has an end.
                chunks = limited(raw)
                if source is not None:
                    return await self._in_base64((await download_part(chunks, part.part)).chunks)
                return await self._in_base64(decoded(chunks, part.encoding))
        except (MessageNotFound, CommandRejected, InvalidRequest) as error:
            return error.message
        except PartUnavailable as error:
            async with self.opened() as session:
                await self.others_are_given(session, uid)
            return error.message

    async def _in_base64(self, chunks: AsyncIterator[bytes]) -> Spooled | str:
        spooling = Spooling(self.spool)
        rest, size = b"", 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.max_content_bytes:
                return f"the content is larger than {self.max_content_bytes} bytes"
            chunk = rest + chunk
            whole = len(chunk) // 3 * 3
            rest = chunk[whole:]
            await spooling.add(base64.b64encode(chunk[:whole]))
        await spooling.add(base64.b64encode(rest))
        return await spooling.end()


def failed_line(mailbox: Mailbox, entry: IndexEntry, reason: str) -> bytes:
    """What is known of a message that cannot be read, and why."""
    shown = presentation.message_entry(mailbox.number, dataclasses.replace(entry, error=reason))
    return _encode({"path": mailbox.listing.path, **shown}) + b"\n"


def _reason(error: Exception) -> str:
    """What may be told: the server's words are, an exception of ours may quote the message."""
    if isinstance(error, BackendError) and not isinstance(error, PartUnavailable):
        return error.message
    return f"the message cannot be read ({type(error).__name__})"
