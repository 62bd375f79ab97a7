"""The texts and attachments of a message whose BODYSTRUCTURE cannot be relied on: read from its source instead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from mailquay.backends.interface import MailSession
from mailquay.errors import MessageNotFound
from mailquay.mime.content import find_attachments, find_texts
from mailquay.mime.message import Part, parse_message
from mailquay.model.message import Attachment, Structure, TextPart
from mailquay.services.message_request import Download

_MAX_SOURCE_BYTES = 50 * 1024 * 1024


def needs_source(structure: Structure) -> bool:
    """Whether the server's word on the structure of a message is not enough."""
    return not structure.reliable


@dataclass(frozen=True, slots=True)
class SourceBodies:
    """A parsed message: its structure as we see it, and the raw bodies of its parts."""

    structure: Structure
    parts: dict[str, Part]

    def bodies(self, text_type: str) -> dict[str, bytes]:
        """The raw bodies of the text parts of a type, by part number."""
        chosen = [
            *(self.structure.plain if text_type in ("plain", "*") else ()),
            *(self.structure.html if text_type in ("html", "*") else ()),
        ]
        return {part.part: self.parts[part.part].encoded for part in chosen}

    def download(self, number: str) -> Download:
        """One attachment, decoded.

        Raises MessageNotFound when the message has no such attachment.
        """
        found = next((item for item in self.structure.attachments if item.part == number), None)
        if found is None:
            raise MessageNotFound("the message has no such attachment")
        return Download(found.content_type, found.filename, _once(self.parts[number].content))


async def read_source(session: MailSession, uid: int) -> SourceBodies:
    """Fetch and parse a message of the open mailbox; one above 50 MB is read up to there."""
    collected = bytearray()
    async for chunk in session.stream_section(uid, ""):
        collected += chunk
        if len(collected) > _MAX_SOURCE_BYTES:
            break
    root = parse_message(bytes(collected[:_MAX_SOURCE_BYTES]))
    parts = {part.number or "1": part for part in root.walk()}
    texts = find_texts(root)
    structure = Structure(
        plain=tuple(_text(part) for part in texts.plain),
        html=tuple(_text(part) for part in texts.html),
        other=tuple(_text(part) for part in texts.other),
        attachments=tuple(
            Attachment(
                part=item.part.number or "1",
                content_type=item.content_type,
                encoded_size_bytes=item.encoded_size,
                filename=item.filename,
                content_id=item.content_id,
                embedded=item.embedded,
                inline=item.inline,
                encoded_in_message=item.encoded_in_message,
                encoding=item.part.encoding or None,
            )
            for item in find_attachments(root)
        ),
        reliable=False,
    )
    return SourceBodies(structure, parts)


def _text(part: Part) -> TextPart:
    flowed = part.content_type == "text/plain" and part.parameters.get("format", "").lower() == "flowed"
    return TextPart(
        part=part.number or "1",
        encoded_size_bytes=part.encoded_size,
        charset=part.parameters.get("charset"),
        encoding=part.encoding or None,
        flowed=flowed,
        delsp=flowed and part.parameters.get("delsp", "").lower() == "yes",
    )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
