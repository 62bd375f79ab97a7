"""What a messageNew webhook says of a message: fetched in batches before the event is committed."""

from __future__ import annotations

import base64
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from mailquay.backends.interface import MailSession
from mailquay.errors import BackendError, PartUnavailable, RemoteProtocolError, Unavailable
from mailquay.mime.autoreply import is_auto_reply
from mailquay.mime.header import Headers, parse_header
from mailquay.mime.transfer import decode_transfer
from mailquay.model.account import Account
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import Attachment, IndexEntry, Structure
from mailquay.services import presentation
from mailquay.services.body_source import needs_source
from mailquay.services.calendar_events import calendar_events
from mailquay.services.message_content import (
    MAX_SECTIONS_BYTES,
    MessageContent,
    fetch_attachments,
    parts_cut,
    read_content,
)
from mailquay.services.message_html import off_loop, present_html
from mailquay.services.message_request import ReadOptions
from mailquay.services.message_text import assemble, fetch_limit_bytes, wanted_parts
from mailquay.services.sections_apart import fetch_apart
from mailquay.services.settings import SettingsService
from mailquay.services.unwrapping import wrapped_parts

_log = structlog.get_logger(__name__)
_MAX_ATTACHMENTS_BYTES = 25 * 1024 * 1024
_MAX_SOURCE_BYTES = 25 * 1024 * 1024
_MAX_TEXT_BYTES = 8 * 1024 * 1024
_MAX_FETCH_BYTES = 16 * 1024 * 1024
_MAX_FETCH_MESSAGES = 40


@dataclass(frozen=True, slots=True)
class Payloads:
    """What webhooks carry of messages, by UID. `unreadable` says why it is no more than the identifiers.

    `bodies` has the sections that were fetched for it.
    """

    contents: dict[int, dict[str, Any]] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    bodies: dict[int, Mapping[str, bytes]] = field(default_factory=dict)


class NewMail:
    """Reads new messages for their announcement."""

    def __init__(self, settings: SettingsService) -> None:
        self._settings = settings

    def batches(self, entries: Sequence[IndexEntry]) -> Iterator[Sequence[IndexEntry]]:
        """The entries in runs whose payloads fit into memory and into one answer of the server together."""
        start, size = 0, 0
        for position, entry in enumerate(entries):
            weight = self._payload_bytes(entry)
            if position > start and (size + weight > _MAX_FETCH_BYTES or position - start >= _MAX_FETCH_MESSAGES):
                yield entries[start:position]
                start, size = position, 0
            size += weight
        if start < len(entries):
            yield entries[start:]

    def _payload_bytes(self, entry: IndexEntry) -> int:
        structure = entry.structure
        if structure is None:
            return 0
        if self._needs_more(entry, structure) and needs_source(structure):
            return entry.size_bytes or 0
        texts = [part.encoded_size_bytes for part in wanted_parts(structure, "*")]
        size = sum(min(text, self._fetch_limit()) for text in texts) if self._settings.current("notifyText") else 0
        if self._settings.current("notifyAttachments"):
            size += sum(part.encoded_size_bytes for part in self._attached(structure))
        return size

    async def payloads(
        self, session: MailSession, account: Account, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> Payloads:
        """What webhooks carry of messages; nothing when none would carry it.

        Raises what the session raises, but not for a message that it refuses alone.
        """
        payloads = Payloads()
        if not await self._wanted(account):
            return payloads
        inbox_only = self._settings.current("inboxNewOnly")
        groups: dict[tuple[str, ...], list[IndexEntry]] = defaultdict(list)
        for entry in entries:
            if inbox_only and not presentation.is_in_inbox(mailbox.listing.special_use, entry.labels):
                continue
            groups[self._sections(entry.structure)].append(entry)
        for sections, members in groups.items():
            limit = self._limit_for(members)
            uids = [entry.uid for entry in members]
            fetched = await fetch_apart(session, uids, ["HEADER", *sections], limit_bytes=limit)
            for entry in members:
                sections_of = fetched.found.get(entry.uid)
                bodies = sections_of.bodies if sections_of is not None else {}
                if account.profile.keeps_texts:
                    payloads.bodies[entry.uid] = bodies
                failure: Exception | None = fetched.refused.get(entry.uid)
                if failure is None:
                    try:
                        payloads.contents[entry.uid] = await self._whole(session, mailbox, entry, bodies, limit)
                        continue
                    except PartUnavailable as error:
                        # Its header was there a moment ago.
                        failure = error
                    except (Unavailable, RemoteProtocolError):
                        raise
                    except Exception as error:
                        failure = error
                # Hostile or merely odd: one message must not keep the others of the account from being seen.
                _log.error(
                    "message_unreadable",
                    account=account.id,
                    path=mailbox.listing.path,
                    uid=entry.uid,
                    exc_info=failure,
                )
                payloads.unreadable[entry.uid] = _reason(failure)
        return payloads

    async def _whole(
        self, session: MailSession, mailbox: Mailbox, entry: IndexEntry, bodies: Mapping[str, bytes], limit_bytes: int
    ) -> dict[str, Any]:
        structure = entry.structure or Structure()
        left_out = {part.part for part in wanted_parts(structure, "*")} - set(self._sections(structure))
        cut = parts_cut(structure, bodies, limit_bytes) | left_out
        read = MessageContent((), bodies.get("HEADER", b""), structure, bodies, cut)
        if entry.structure is not None and self._needs_more(entry, entry.structure):
            kinds = "*" if self._settings.current("notifyText") else None
            read = await read_content(session, entry.uid, entry.structure, kinds, limit_bytes=self._fetch_limit())
            entry = dataclasses.replace(entry, structure=read.structure)
        content = await off_loop(len(read.header) + read.size_bytes, lambda: self._content(mailbox, entry, read))
        if entry.structure is None:
            return content
        if self._settings.current("notifyWebSafeHtml") and self._settings.current("notifyText"):
            await present_html(
                lambda: nullcontext(session), entry.uid, read, content["text"], ReadOptions(web_safe_html=True)
            )
        if self._settings.current("notifyAttachments"):
            await self._add_attachments(session, entry, read, content)
        if self._settings.current("notifyCalendarEvents") and (
            events := await calendar_events(session, mailbox.number, entry.uid, read)
        ):
            content["calendarEvents"] = events
        return content

    def _needs_more(self, entry: IndexEntry, structure: Structure) -> bool:
        """Whether a message is more than its sections tell, and is small enough to be read for that meanwhile."""
        if needs_source(structure):
            return (entry.size_bytes or 0) <= _MAX_SOURCE_BYTES
        return bool(wrapped_parts(structure))

    def _limit_for(self, members: Sequence[IndexEntry]) -> int:
        """No more of any part than the largest is said to have: servers have been wrong about sizes."""
        sizes = [
            part.encoded_size_bytes
            for entry in members
            if entry.structure is not None
            for part in wanted_parts(entry.structure, "*")
        ]
        return max(1024, min(self._fetch_limit(), max(sizes, default=0)))

    async def _wanted(self, account: Account) -> bool:
        await self._settings.refresh()
        current = self._settings.current
        if not current("webhooksEnabled") or not (account.profile.webhooks or current("webhooks")):
            return False
        return bool({"*", EventName.MESSAGE_NEW.value} & set(current("webhookEvents")))

    def _sections(self, structure: Structure | None) -> tuple[str, ...]:
        if structure is None or not self._settings.current("notifyText"):
            return ()
        chosen, total = [], 0
        for part in wanted_parts(structure, "*"):
            total += min(part.encoded_size_bytes, self._fetch_limit())
            if total <= MAX_SECTIONS_BYTES:
                chosen.append(part.part)
        return tuple(chosen)

    def _fetch_limit(self) -> int:
        wanted = fetch_limit_bytes(self._settings.current("notifyTextSize") or None)
        return _MAX_TEXT_BYTES if wanted is None else min(wanted, _MAX_TEXT_BYTES)

    def _content(self, mailbox: Mailbox, entry: IndexEntry, read: MessageContent) -> dict[str, Any]:
        headers = parse_header(read.header)
        content = presentation.message_details(mailbox.number, entry, self._shown_headers(headers), mailbox.listing)
        if not content["headers"]:
            del content["headers"]
        content.pop("specialUse", None)
        subject = entry.envelope.subject if entry.envelope is not None else None
        if is_auto_reply(headers.decoded(), subject):
            content["isAutoReply"] = True
        structure = entry.structure
        if structure is not None and self._settings.current("notifyText"):
            text = assemble(structure, read.bodies, "*", self._settings.current("notifyTextSize") or None, read.cut)
            shown = content["text"]
            if text.plain is not None:
                shown["plain"] = text.plain
            if text.html is not None:
                shown["html"] = text.html
            shown["hasMore"] = text.has_more
        return content

    def _shown_headers(self, headers: Headers) -> dict[str, list[str]]:
        names = {name.lower() for name in self._settings.current("notifyHeaders")}
        if not names:
            return {}
        return {name: values for name, values in headers.decoded().items() if "*" in names or name in names}

    def _attached(self, structure: Structure) -> list[Attachment]:
        """The attachments that go along: none above the limit of each, nor together more than is fetched at once."""
        limit = self._settings.current("notifyAttachmentSize") or _MAX_ATTACHMENTS_BYTES
        chosen, total = [], 0
        for part in structure.attachments:
            if part.encoded_size_bytes > limit * 4 // 3 + 4 or total + part.encoded_size_bytes > 2 * _MAX_FETCH_BYTES:
                continue
            total += part.encoded_size_bytes
            chosen.append(part)
        return chosen

    async def _add_attachments(
        self, session: MailSession, entry: IndexEntry, read: MessageContent, content: dict[str, Any]
    ) -> None:
        structure = read.structure
        chosen = self._attached(structure)
        if not chosen:
            return
        largest = max(part.encoded_size_bytes for part in chosen)
        bodies = await fetch_attachments(session, entry.uid, read, chosen, largest)
        shown = {part.part: item for part, item in zip(structure.attachments, content["attachments"], strict=True)}
        for number, body in bodies.items():
            shown[number]["content"] = await off_loop(len(body[0]), partial(_base64, *body))


def _reason(error: Exception) -> str:
    """What may be told: the server's words are, an exception of ours may quote the message."""
    return error.message if isinstance(error, BackendError) else f"the message cannot be read ({type(error).__name__})"


def _base64(raw: bytes, encoding: str | None) -> str:
    return base64.b64encode(decode_transfer(raw, encoding)).decode("ascii")
