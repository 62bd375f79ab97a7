"""The text of a message: from the bytes of its parts to Unicode, joined and cut as callers ask."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mailquay.mime.text import decode_html, decode_text
from mailquay.mime.transfer import decode_transfer
from mailquay.model.message import Structure, TextPart


@dataclass(frozen=True, slots=True)
class MessageText:
    """The texts of a message; None where a kind was not asked for. `has_more`: one of them was cut."""

    plain: str | None
    html: str | None
    has_more: bool


def wanted_parts(structure: Structure, text_type: str) -> list[TextPart]:
    """The parts to fetch for a text type: "plain", "html" or "*"."""
    plain = structure.plain if text_type in ("plain", "*") else ()
    html = structure.html if text_type in ("html", "*") else ()
    return [*plain, *html]


def fetch_limit_bytes(max_characters: int | None) -> int | None:
    """How many bytes of each part are enough for that many characters, whatever charset and encoding.

    A character has up to four bytes, each takes three in quoted-printable, which has three more for every line.
    """
    if max_characters is None:
        return None
    return max_characters * 13 + 1024


def assemble(
    structure: Structure,
    bodies: Mapping[str, bytes],
    text_type: str,
    max_characters: int | None,
    cut: Collection[str] = (),
) -> MessageText:
    """Decode the fetched parts (by part number) and join those of a kind with LF.

    A kind that was asked for by name is at least "", with "*" one that the message lacks stays None. `cut` are the
    parts that were not fetched to their end.
    """
    plain = _join(structure.plain, bodies, html=False) if text_type in ("plain", "*") else None
    html = _join(structure.html, bodies, html=True) if text_type in ("html", "*") else None
    if text_type == "plain":
        plain = plain or ""
    if text_type == "html":
        html = html or ""
    cut_plain, more_plain = _cut(plain, max_characters)
    cut_html, more_html = _cut(html, max_characters)
    more = any(part.part in cut for part in wanted_parts(structure, text_type))
    return MessageText(cut_plain, cut_html, more or more_plain or more_html)


def _join(parts: Sequence[TextPart], bodies: Mapping[str, bytes], *, html: bool) -> str | None:
    texts = [_decode(part, bodies[part.part], html=html) for part in parts if part.part in bodies]
    return "\n".join(texts) if texts else None


def _decode(part: TextPart, raw: bytes, *, html: bool) -> str:
    content = decode_transfer(raw, part.encoding)
    if html:
        return decode_html(content, part.charset)
    return decode_text(content, part.charset, flowed=part.flowed, delsp=part.delsp)


def _cut(text: str | None, max_characters: int | None) -> tuple[str | None, bool]:
    if text is None or max_characters is None or len(text) <= max_characters:
        return text, False
    return text[:max_characters], True
