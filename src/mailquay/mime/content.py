"""What a message tree holds for its reader: the texts, and everything else as attachments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailquay.mime.message import Part
from mailquay.mime.text import decode_html, decode_text


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment as listed. `embedded`: inside a multipart/related; `inline`: to be shown within the text.

    `encoded_in_message`: it belongs to an embedded message.
    """

    part: Part
    content_type: str
    filename: str | None
    content_id: str | None
    embedded: bool
    inline: bool
    encoded_in_message: bool

    @property
    def encoded_size(self) -> int:
        """Octets as transferred."""
        return self.part.encoded_size


@dataclass(frozen=True, slots=True)
class Texts:
    """The parts that make up the text of a message, by kind and in order; `enclosed` are those of embedded messages."""

    plain: tuple[Part, ...]
    html: tuple[Part, ...]
    other: tuple[Part, ...]
    enclosed: tuple[Part, ...]

    def plain_text(self) -> str:
        """All plain parts, joined by LF."""
        return "\n".join(read_text(part) for part in self.plain)

    def html_text(self) -> str:
        """All HTML parts, joined by LF."""
        return "\n".join(read_text(part) for part in self.html)


def find_texts(root: Part) -> Texts:
    """The text parts of the message itself; those of embedded messages are not its text.

    A multipart in which no boundary was found is read as plain text: its words are there, only its structure is not.
    """
    kinds: dict[str, list[Part]] = {"plain": [], "html": [], "other": [], "enclosed": []}
    for part in root.walk():
        if (kind := text_kind(part)) is not None and not part.children:
            kinds[kind].append(part)
    return Texts(**{kind: tuple(parts) for kind, parts in kinds.items()})


def text_kind(part: Part) -> str | None:
    """Which of the fields of Texts a part belongs to; None when it is no text.

    A multipart counts as text, as long as no part of it is known.
    """
    if any(ancestor.is_message for ancestor in part.ancestors()):
        return "enclosed" if _is_text(part) else None
    if part.is_multipart:
        return "plain" if not part.children and part.encoded_size else None
    if not _is_text(part):
        return None
    subtype = part.content_type.removeprefix("text/")
    return subtype if subtype in ("plain", "html") else "other"


def read_text(part: Part) -> str:
    """The text of one text part: transfer encoding, charset and format=flowed undone, newlines LF."""
    charset = part.parameters.get("charset")
    if part.content_type == "text/html":
        return decode_html(part.content, charset)
    flowed = part.content_type == "text/plain" and part.parameters.get("format", "").lower() == "flowed"
    return decode_text(part.content, charset, flowed=flowed, delsp=part.parameters.get("delsp", "").lower() == "yes")


def find_attachments(root: Part) -> list[Attachment]:
    """Every leaf that is no text, texts marked as attachments, embedded messages, and the same inside of those."""
    return [_attachment(part) for part in root.walk() if _is_attachment(part)]


def _is_attachment(part: Part) -> bool:
    if part.is_message:
        return True
    if part.is_multipart or part.children:
        return False
    return not _is_text(part)


def _is_text(part: Part) -> bool:
    return part.content_type.startswith("text/") and part.disposition != "attachment"


def _attachment(part: Part) -> Attachment:
    around = list(_until_message(part.ancestors()))
    embedded = any(ancestor.content_type == "multipart/related" for ancestor in around)
    return Attachment(
        part=part,
        content_type=part.content_type,
        filename=part.filename,
        content_id=part.content_id,
        embedded=embedded,
        inline=part.disposition == "inline" or (part.disposition is None and embedded),
        encoded_in_message=any(ancestor.is_message for ancestor in part.ancestors()),
    )


def _until_message(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if part.is_message:
            return
        yield part
