"""The bytes of a message that its reader wants: header, texts, parts; from the server's sections or from the source."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing

from mailquay.backends.interface import MailSession
from mailquay.errors import MessageNotFound
from mailquay.mime.tnef import MAX_FILES, TnefFile
from mailquay.model.message import Attachment, Structure, TextPart
from mailquay.services.body_source import needs_source, read_parts, read_texts
from mailquay.services.identifiers import TextRef
from mailquay.services.unwrapping import MAX_WRAPPED_BYTES, unwrap, with_unwrapped, wrapped_parts

MAX_TEXT_BYTES = 32 * 1024 * 1024
"""What is read of each text part at most, as transferred; of all in a source together four times that."""

MAX_SECTIONS_BYTES = 48 * 1024 * 1024
"""What sections of a message are asked for together at most; the first is, whatever its size."""


@dataclasses.dataclass(frozen=True, slots=True)
class MessageContent:
    """What was read of a message. `structure` is as we see it, with what was unpacked.

    `bodies` are raw, by part number; `cut` are the numbers of the texts that are longer than what was read.
    """

    flags: tuple[str, ...]
    header: bytes
    structure: Structure
    bodies: Mapping[str, bytes]
    cut: frozenset[str] = frozenset()
    unwrapped: Mapping[str, TnefFile] = dataclasses.field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """How much there is of the bodies."""
        return sum(map(len, self.bodies.values()))

    @property
    def total_bytes(self) -> int:
        """How much there is in all."""
        return self.size_bytes + len(self.header) + sum(len(file.content) for file in self.unwrapped.values())


async def read_content(
    session: MailSession,
    uid: int,
    structure: Structure,
    text_type: str | None,
    *,
    limit_bytes: int | None = None,
    only: TextRef | None = None,
    unwrapping: bool = True,
) -> MessageContent:
    """Header and texts of a message of the open mailbox; `text_type` "plain", "html", "*" or None.

    `limit_bytes` is what of each text is wanted. With `only` the texts are those that a text id names.
    Raises MessageNotFound when the message is gone.
    """
    limit = min(limit_bytes or MAX_TEXT_BYTES, MAX_TEXT_BYTES)
    chosen = narrowed(structure, only)
    sections, cut = _sections(chosen, text_type, limit)
    fetched = (await session.fetch_sections(str(uid), ["HEADER", *sections], limit_bytes=limit)).get(uid)
    if fetched is None:
        raise MessageNotFound("the message is not there any more")
    bodies = dict(fetched.bodies)
    cut |= parts_cut(chosen, bodies, limit)
    if needs_source(structure):
        async with aclosing(session.stream_section(uid, "")) as chunks:
            source = await read_texts(chunks, _kinds(text_type, only), limit_bytes=limit)
        structure, cut = source.structure, set(source.cut)
        bodies |= source.bodies
    header = bodies.pop("HEADER", b"")
    content = MessageContent(fetched.flags, header, structure, bodies, frozenset(cut))
    content = await _unwrapped(session, uid, content) if unwrapping else content
    return dataclasses.replace(content, structure=narrowed(content.structure, only))


def _kinds(text_type: str | None, only: TextRef | None) -> tuple[str, ...]:
    if text_type is None:
        return ()
    own = ("plain", "html") if text_type == "*" else (text_type,)
    return own if only is None else (*own, "enclosed")


def narrowed(structure: Structure, only: TextRef | None) -> Structure:
    """The structure with just the texts that a text id names, which may be those of embedded messages.

    An id that names none, or none that is there, stands for all there is.
    """
    if only is None:
        return structure
    by_number = {part.part: part for part in structure.texts()}

    def named(numbers: Sequence[str]) -> tuple[TextPart, ...]:
        return tuple(by_number[number] for number in dict.fromkeys(numbers) if number in by_number)

    plain, html = named(only.plain), named(only.html)
    if not plain and not html:
        return structure
    return dataclasses.replace(structure, plain=plain, html=html)


def _sections(structure: Structure, text_type: str | None, limit: int) -> tuple[list[str], set[str]]:
    """The text parts to ask the server for, and those that are left out because they are too much together."""
    wanted = [
        *(structure.plain if text_type in ("plain", "*") else ()),
        *(structure.html if text_type in ("html", "*") else ()),
    ]
    if needs_source(structure):
        return [], set()
    sections: list[str] = []
    left_out: set[str] = set()
    total = 0
    for part in wanted:
        total += min(part.encoded_size_bytes, limit)
        if sections and total > MAX_SECTIONS_BYTES:
            left_out.add(part.part)
            total -= min(part.encoded_size_bytes, limit)
        else:
            sections.append(part.part)
    return sections, left_out


def parts_cut(structure: Structure, bodies: Mapping[str, bytes], limit_bytes: int) -> frozenset[str]:
    """The texts that were cut at the limit with which they were fetched, whatever was said of their size."""
    sizes = {part.part: len(bodies[part.part]) for part in structure.texts() if part.part in bodies}
    return frozenset(
        part.part
        for part in structure.texts()
        if sizes.get(part.part, 0) >= limit_bytes and sizes[part.part] != part.encoded_size_bytes
    )


async def _unwrapped(session: MailSession, uid: int, content: MessageContent) -> MessageContent:
    wrappers = wrapped_parts(content.structure)
    if not wrappers:
        return content
    raw = await fetch_parts(session, uid, content.structure, [part.part for part in wrappers], MAX_WRAPPED_BYTES)
    files: dict[str, list[TnefFile]] = {}
    left = MAX_FILES
    for part in wrappers:
        # Tiny ones could be unpacked into a million files.
        if part.part in raw and left > 0:
            files[part.part] = await unwrap(raw[part.part], part.encoding)
            left -= len(files[part.part])
    structure, unwrapped = with_unwrapped(content.structure, files)
    bodies = {**content.bodies, **{number: file.content for number, file in unwrapped.items() if file.body}}
    return dataclasses.replace(content, structure=structure, bodies=bodies, unwrapped=unwrapped)


async def fetch_parts(
    session: MailSession, uid: int, structure: Structure, numbers: Collection[str], limit_bytes: int
) -> dict[str, bytes]:
    """Parts of a message of the open mailbox, raw; those that are not there, or too large, are missing."""
    if not numbers:
        return {}
    if needs_source(structure):
        async with aclosing(session.stream_section(uid, "")) as chunks:
            return await read_parts(chunks, numbers, limit_bytes=limit_bytes)
    fetched = (await session.fetch_sections(str(uid), list(numbers), limit_bytes=limit_bytes + 1)).get(uid)
    bodies = fetched.bodies if fetched is not None else {}
    return {number: body for number, body in bodies.items() if len(body) <= limit_bytes}


async def fetch_attachments(
    session: MailSession, uid: int, content: MessageContent, parts: Sequence[Attachment], limit_bytes: int
) -> dict[str, tuple[bytes, str | None]]:
    """Bytes and transfer encoding of attachments of a message that was read, by part number; see fetch_parts."""
    found: dict[str, tuple[bytes, str | None]] = {
        part.part: (content.unwrapped[part.part].content, None) for part in parts if part.part in content.unwrapped
    }
    encodings = {part.part: part.encoding for part in parts if part.part not in found}
    raw = await fetch_parts(session, uid, content.structure, list(encodings), limit_bytes)
    return found | {number: (body, encodings[number]) for number, body in raw.items()}
