"""Reading messages: details and texts, attachments and sources as streams."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any

from mailquay.backends.interface import FlagChange, MailSession
from mailquay.errors import InvalidRequest, MessageNotFound
from mailquay.mime.autoreply import is_auto_reply
from mailquay.mime.header import parse_header
from mailquay.model.account import Account
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import Attachment, IndexEntry, MessageRef, Structure
from mailquay.services import identifiers, presentation
from mailquay.services.body_source import download_part, needs_source
from mailquay.services.content_cache import ContentCache, ContentKey
from mailquay.services.download_stream import check_size, decoded, first_bytes, limited, once, started
from mailquay.services.header_envelope import envelope_of
from mailquay.services.identifiers import TextRef
from mailquay.services.index_changes import flags_seen
from mailquay.services.mailboxes import MailboxService
from mailquay.services.message_content import MessageContent, fetch_parts, read_content
from mailquay.services.message_html import off_loop, present_html
from mailquay.services.message_pages import MessagePages
from mailquay.services.message_request import ByteRange, Download, ReadOptions
from mailquay.services.message_text import MessageText, assemble, fetch_limit_bytes
from mailquay.services.ports import Clock, MailAccess
from mailquay.services.report_events import with_bounces
from mailquay.services.section_stream import stream_section
from mailquay.services.threads import looked_up
from mailquay.services.unwrapping import MAX_WRAPPED_BYTES, unwrap, wrapper_of
from mailquay.storage.store import Store

_UNTOLD = Structure(reliable=False)
"""Of a message whose structure the server could not tell, or we could not read: its source may be had all the same."""


class MessageReader(MessagePages):
    """What only reads."""

    def __init__(
        self,
        store: Store,
        access: MailAccess,
        mailboxes: MailboxService,
        clock: Clock,
        *,
        cache_bytes: int = 0,
    ) -> None:
        """`cache_bytes` is how much of what was read may be kept for those who ask for it again."""
        super().__init__(store, access, mailboxes, clock)
        self._contents = ContentCache(cache_bytes)

    # -- one message -----------------------------------------------------------------------------

    async def get(
        self, account: Account, message_id: str, options: ReadOptions, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """A message with its headers, and its texts as the options say.

        Raises MessageNotFound, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        text_type = "*" if options.web_safe_html or options.pre_process_html else options.text_type
        limit = fetch_limit_bytes(options.max_characters)
        key = ContentKey(mailbox.number, ref.uid, text_type, limit)
        entry, content = await self._read(account, mailbox, ref, key, timeout_seconds, seen=options.mark_as_seen)
        [entry] = await looked_up(self._store, account, mailbox.number, [entry])
        parsed = parse_header(content.header)
        headers = await off_loop(len(content.header), parsed.decoded)
        # What the server could not tell of it may be read all the same.
        envelope = entry.envelope or envelope_of(parsed)
        entry = dataclasses.replace(
            entry, structure=content.structure, flags=content.flags, envelope=envelope, error=None
        )
        shown = presentation.message_details(mailbox.number, entry, headers, mailbox.listing)
        await with_bounces(self._store, [(account.number, shown)])
        if is_auto_reply(headers, envelope.subject):
            shown["isAutoReply"] = True
        if text_type:
            shown["text"] |= await _texts(content, text_type, options.max_characters)
            opened = partial(self._opened, account, mailbox, timeout_seconds)
            await present_html(opened, ref.uid, content, shown["text"], options)
        return shown

    async def _read(
        self,
        account: Account,
        mailbox: Mailbox,
        ref: MessageRef,
        key: ContentKey,
        timeout_seconds: float,
        *,
        seen: bool = False,
        only: TextRef | None = None,
    ) -> tuple[IndexEntry, MessageContent]:
        """A message and its content with the flags of now; `seen` marks it so.

        What was read before is not read again: while the index is as the server is, the server is not even asked.
        """
        kept = self._contents.get(key)
        if kept is not None and self._fresh(account, mailbox):
            known = await self._store.messages.get(mailbox.number, ref.uid)
            if known is not None and known.error is None and (not seen or "\\Seen" in known.flags):
                return known, dataclasses.replace(kept, flags=known.flags)
        async with self._opened(account, mailbox, timeout_seconds) as session:
            entry = await self._entry(session, mailbox, ref)
            structure = entry.structure or _UNTOLD
            content = await read_content(
                session, ref.uid, structure, key.text_type, limit_bytes=key.limit_bytes, only=only
            )
            self._contents.put(key, content)
            if seen and "\\Seen" not in content.flags:
                flags = await self._mark_seen(session, account, mailbox, ref)
                content = dataclasses.replace(content, flags=flags)
        return entry, content

    async def _mark_seen(
        self, session: MailSession, account: Account, mailbox: Mailbox, ref: MessageRef
    ) -> tuple[str, ...]:
        states = await session.store_flags(str(ref.uid), FlagChange.ADD, ["\\Seen"])
        fence = self._access.fence(account.number)
        await self._store.commit(flags_seen(self._store, fence, mailbox, states, self._clock.now_ms()))
        return next((state.flags for state in states if state.uid == ref.uid), ("\\Seen",))

    async def text(
        self,
        account: Account,
        text_id: str,
        *,
        text_type: str,
        max_characters: int | None,
        web_safe_html: bool,
        timeout_seconds: float,
    ) -> dict[str, Any]:
        """The texts of a message by their id.

        Raises MessageNotFound, NotOperational, Unavailable.
        """
        wanted = identifiers.parse_text_id(text_id)
        mailbox, ref = await self._locate(account, text_id)
        kinds, limit = "*" if web_safe_html else text_type, fetch_limit_bytes(max_characters)
        key = ContentKey(mailbox.number, ref.uid, kinds, limit, (wanted.plain, wanted.html))
        _, content = await self._read(account, mailbox, ref, key, timeout_seconds, only=wanted)
        shown = await _texts(content, kinds, max_characters)
        if web_safe_html:
            opened = partial(self._opened, account, mailbox, timeout_seconds)
            await present_html(opened, ref.uid, content, shown, ReadOptions(pre_process_html=True))
            if shown.get("webSafe"):
                shown.pop("plain", None)
        return shown

    # -- for submissions -------------------------------------------------------------------------

    async def original(
        self, account: Account, message_id: str, *, with_text: bool, timeout_seconds: float
    ) -> tuple[IndexEntry, Mapping[str, list[str]], MessageText]:
        """A message that is answered or forwarded: its entry, headers and, if asked for, its texts.

        Raises MessageNotFound, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        async with self._opened(account, mailbox, timeout_seconds) as session:
            entry = await self._entry(session, mailbox, ref)
            structure = entry.structure or _UNTOLD
            kinds = "*" if with_text else None
            content = await read_content(session, ref.uid, structure, kinds, unwrapping=False)
        headers = parse_header(content.header).decoded()
        text = await off_loop(content.size_bytes, lambda: assemble(content.structure, content.bodies, "*", None))
        return dataclasses.replace(entry, structure=content.structure), headers, text

    async def part(self, account: Account, message_id: str, attachment: Attachment, *, timeout_seconds: float) -> bytes:
        """One attachment of a message, whole and decoded.

        Raises MessageNotFound, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        part_id = identifiers.attachment_id(mailbox.number, ref.uid, attachment.part)
        async with self.attachment(account, part_id, timeout_seconds=timeout_seconds) as download:
            return b"".join([chunk async for chunk in download.chunks])

    # -- downloads -------------------------------------------------------------------------------

    @asynccontextmanager
    async def attachment(
        self, account: Account, attachment_id: str, *, timeout_seconds: float
    ) -> AsyncIterator[Download]:
        """One part of a message, decoded as it streams; also one that is wrapped in another.

        Raises MessageNotFound, InvalidRequest when it is too large, NotOperational, Unavailable.
        """
        _, number = identifiers.parse_attachment_id(attachment_id)
        mailbox, ref = await self._locate(account, attachment_id)
        async with self._opened(account, mailbox, timeout_seconds) as session:
            entry = await self._entry(session, mailbox, ref)
            structure = entry.structure or _UNTOLD
            part = _downloadable(structure, number)
            wrapper = wrapper_of(structure, number) if part is None and not needs_source(structure) else None
            if wrapper is not None:
                yield await _unwrapped(session, ref.uid, structure, *wrapper)
                return
        if needs_source(structure):
            async with self._streamed(account, mailbox, ref.uid, "", timeout_seconds) as raw:
                yield await download_part(raw, number)
            return
        if part is None:
            raise MessageNotFound("the message has no such attachment")
        check_size(part.encoded_size_bytes)
        async with self._streamed(account, mailbox, ref.uid, part.part, timeout_seconds) as raw:
            yield Download(part.content_type, part.filename, decoded(raw, part.encoding))

    @asynccontextmanager
    async def source(
        self, account: Account, message_id: str, *, timeout_seconds: float, wanted: ByteRange | None = None
    ) -> AsyncIterator[Download]:
        """The message as the server holds it, whole, or some bytes of it where its size is known.

        Raises MessageNotFound, InvalidRequest when it is too large (DownloadTooLarge) or has no such bytes
        (RangeNotSatisfiable), NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        entry = await self._store.messages.get(mailbox.number, ref.uid)
        size = entry.size_bytes if entry is not None else None
        check_size(size)
        if wanted is None or size is None:
            async with self._streamed(account, mailbox, ref.uid, "", timeout_seconds) as chunks:
                yield Download("message/rfc822", None, chunks)
            return
        if (part := wanted.within(size)) is None:
            raise InvalidRequest(f"the message has {size} bytes, and none of those", code="RangeNotSatisfiable")
        async with self._streamed(account, mailbox, ref.uid, "", timeout_seconds, begin=part[0]) as chunks:
            yield Download("message/rfc822", None, first_bytes(chunks, part[1] - part[0] + 1), size, part)

    @asynccontextmanager
    async def _streamed(
        self, account: Account, mailbox: Mailbox, uid: int, section: str, timeout_seconds: float, *, begin: int = 0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A section from a byte on as a stream, once its first bytes are there."""

        def opened() -> AbstractAsyncContextManager[MailSession]:
            return self._opened(account, mailbox, timeout_seconds)

        async with aclosing(stream_section(opened, uid, section, begin=begin)) as chunks:
            yield await started(limited(chunks))


async def _texts(content: MessageContent, text_type: str, max_characters: int | None) -> dict[str, Any]:
    """The texts of a message as they are shown."""
    text = await off_loop(
        content.size_bytes,
        lambda: assemble(content.structure, content.bodies, text_type, max_characters, content.cut),
    )
    shown: dict[str, Any] = {
        key: value for key, value in (("plain", text.plain), ("html", text.html)) if value is not None
    }
    shown["hasMore"] = text.has_more
    return shown


def _downloadable(structure: Structure, number: str) -> Attachment | None:
    """The attachment or text of that part number."""
    if needs_source(structure):
        return None
    for part in structure.attachments:
        if part.part == number:
            return part
    types = dict.fromkeys(structure.plain, "text/plain") | dict.fromkeys(structure.html, "text/html")
    for text in structure.texts():
        if text.part == number:
            content_type = text.content_type or types.get(text, "text/plain")
            return Attachment(number, content_type, text.encoded_size_bytes, encoding=text.encoding)
    return None


async def _unwrapped(session: MailSession, uid: int, structure: Structure, outer: Attachment, place: int) -> Download:
    """What stands at a place, from 1, in an attachment that wraps others."""
    raw = await fetch_parts(session, uid, structure, [outer.part], MAX_WRAPPED_BYTES)
    files = await unwrap(raw[outer.part], outer.encoding) if outer.part in raw else []
    if not 1 <= place <= len(files):
        raise MessageNotFound("the message has no such attachment")
    file = files[place - 1]
    return Download(file.content_type, file.filename, once(file.content))
