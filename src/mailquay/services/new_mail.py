"""What a messageNew webhook says of a message: fetched in batches before the event is committed."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mailquay.backends.interface import MailSession
from mailquay.mime.autoreply import is_auto_reply
from mailquay.mime.header import Headers, parse_header
from mailquay.mime.transfer import decode_transfer
from mailquay.model.account import Account
from mailquay.model.event import EventName
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import Attachment, IndexEntry, Structure
from mailquay.services import presentation
from mailquay.services.message_html import present_html
from mailquay.services.message_request import ReadOptions
from mailquay.services.message_text import assemble, fetch_limit_bytes, wanted_parts
from mailquay.services.sequences import sequence_set
from mailquay.services.settings import SettingsService

_MAX_ATTACHMENTS_BYTES = 25 * 1024 * 1024


class NewMail:
    """Reads new messages for their announcement."""

    def __init__(self, settings: SettingsService) -> None:
        self._settings = settings

    @staticmethod
    def digest(entry: IndexEntry) -> int:
        """64 bits that recognise a message wherever it turns up again: by its server id, else its Message-ID."""
        key = f"uid {entry.uid} {entry.internal_date_ms} {entry.size_bytes}"
        if entry.email_id is not None:
            key = f"email {entry.email_id}"
        elif entry.envelope is not None and entry.envelope.message_id:
            key = f"message {entry.envelope.message_id}"
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)

    async def contents(
        self, session: MailSession, account: Account, mailbox: Mailbox, entries: Sequence[IndexEntry]
    ) -> Mapping[int, dict[str, Any]]:
        """The payloads by UID; none when no webhook would carry them."""
        if not await self._wanted(account, mailbox):
            return {}
        groups: dict[tuple[str, ...], list[IndexEntry]] = defaultdict(list)
        for entry in entries:
            groups[self._sections(entry.structure)].append(entry)
        contents: dict[int, dict[str, Any]] = {}
        limit = self._fetch_limit()
        for sections, members in groups.items():
            uids = sequence_set([entry.uid for entry in members])
            fetched = await session.fetch_sections(uids, ["HEADER", *sections], limit_bytes=limit)
            for entry in members:
                sections_of = fetched.get(entry.uid)
                bodies = sections_of.bodies if sections_of is not None else {}
                content = self._content(mailbox, entry, bodies)
                if self._settings.current("notifyWebSafeHtml") and entry.structure is not None and sections:
                    options = ReadOptions(web_safe_html=True)
                    await present_html(session, entry.uid, entry.structure, content["text"], options)
                contents[entry.uid] = content
        if self._settings.current("notifyAttachments"):
            for entry in entries:
                if entry.structure is not None:
                    await self._add_attachments(session, entry, contents[entry.uid])
        return contents

    async def _wanted(self, account: Account, mailbox: Mailbox) -> bool:
        await self._settings.refresh()
        current = self._settings.current
        if not current("webhooksEnabled") or not (account.profile.webhooks or current("webhooks")):
            return False
        if not {"*", EventName.MESSAGE_NEW.value} & set(current("webhookEvents")):
            return False
        return not current("inboxNewOnly") or mailbox.listing.special_use == "\\Inbox"

    def _sections(self, structure: Structure | None) -> tuple[str, ...]:
        if structure is None or not self._settings.current("notifyText"):
            return ()
        return tuple(part.part for part in wanted_parts(structure, "*"))

    def _fetch_limit(self) -> int | None:
        return fetch_limit_bytes(self._settings.current("notifyTextSize") or None)

    def _content(self, mailbox: Mailbox, entry: IndexEntry, bodies: Mapping[str, bytes]) -> dict[str, Any]:
        headers = parse_header(bodies.get("HEADER", b""))
        content = presentation.message_details(mailbox.number, entry, self._shown_headers(headers), mailbox.listing)
        if not content["headers"]:
            del content["headers"]
        content.pop("specialUse", None)
        subject = entry.envelope.subject if entry.envelope is not None else None
        if is_auto_reply(headers.decoded(), subject):
            content["isAutoReply"] = True
        structure = entry.structure
        if structure is not None and self._settings.current("notifyText"):
            text = assemble(structure, bodies, "*", self._settings.current("notifyTextSize") or None)
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

    async def _add_attachments(self, session: MailSession, entry: IndexEntry, content: dict[str, Any]) -> None:
        limit = self._settings.current("notifyAttachmentSize") or _MAX_ATTACHMENTS_BYTES
        structure = entry.structure or Structure()
        chosen = [part for part in structure.attachments if part.encoded_size_bytes <= limit * 4 // 3 + 4]
        if not chosen:
            return
        fetched = await session.fetch_sections(str(entry.uid), [part.part for part in chosen])
        bodies = fetched[entry.uid].bodies if entry.uid in fetched else {}
        shown = {part.part: item for part, item in zip(structure.attachments, content["attachments"], strict=True)}
        for part in chosen:
            if part.part in bodies:
                shown[part.part]["content"] = _base64(part, bodies[part.part])


def _base64(part: Attachment, raw: bytes) -> str:
    return base64.b64encode(decode_transfer(raw, part.encoding)).decode("ascii")
