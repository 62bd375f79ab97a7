"""The web-safe form of a message: one `div` that any page may show."""

from __future__ import annotations

import html as html_escape

from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.css import MAX_STYLESHEET_CHARACTERS, SIZES, format_declarations, inline_styles, parse_declarations
from mailquay.mime.history import CLOSING, OPENING, fold_history
from mailquay.mime.markup import tame
from mailquay.mime.plain_html import STYLESHEET, plain_to_html
from mailquay.mime.sanitize import sanitize

MAX_CHARACTERS = 4 * 1024 * 1024
"""What is read of a text, at less than a second for each million; no mail that a person wrote comes near it."""


def web_safe_html(html: str | None, plain: str | None, *, fold: bool = True) -> str | None:
    """The web-safe form of `html`, or of `plain` where there is none; None when there is neither.

    The steps: quoted history is folded away (with `fold`), the style sheets of the head are inlined, everything is
    sanitized, and the result wrapped into a `div` that carries the style of the body, without sizes. Images by `cid:`
    stay references: `inline_image.embed_images` replaces them afterwards.
    """
    if html is not None and html.strip():
        source = tame(html[:MAX_CHARACTERS].replace("\x00", "\ufffd"))
        characters = len(html) + len(plain or "")
        return _convert(source, "", characters if fold else None)
    if plain is None:
        return None if html is None else _convert("", "", None)
    source = f"<body>{plain_to_html(plain[:MAX_CHARACTERS].replace(chr(0), chr(0xFFFD)))}</body>"
    return _convert(tame(source), STYLESHEET, len(plain) if fold else None)


def _convert(source: str, sheet: str, characters_to_fold: int | None) -> str:
    document = LexborHTMLParser(source)
    sheet += _take_styles(document)
    markers = fold_history(document, characters_to_fold) if characters_to_fold is not None else None
    inline_styles(document, sheet, source.count("<"))
    body = document.body
    content = (body.inner_html or "") if body is not None else ""
    clean = sanitize(content)
    if markers is not None:
        clean = _place_fold(clean, *markers)
    return f'<div style="{html_escape.escape(_wrapper_style(document))}">{clean}</div>'


def _take_styles(document: LexborHTMLParser) -> str:
    """The style sheets of the head; those inside the body are dropped with it."""
    head = document.head
    if head is None:
        return ""
    sheets = [node.text(deep=True) for node in head.css("style")]
    return "\n".join(sheets)[:MAX_STYLESHEET_CHARACTERS]


def _place_fold(clean: str, opening: str, closing: str) -> str:
    """Put the folding markup where its markers stand; both survived sanitizing as the texts that they are."""
    if clean.count(opening) != 1 or clean.count(closing) != 1:
        return clean.replace(opening, "").replace(closing, "")
    return clean.replace(opening, OPENING).replace(closing, CLOSING)


def _wrapper_style(document: LexborHTMLParser) -> str:
    body = document.body
    own = (body.attributes.get("style") or "") if body is not None else ""
    kept = [item for item in parse_declarations(own) if item.name not in SIZES and item.name != "overflow"]
    return " ".join(part for part in (format_declarations(kept), "overflow: auto;") if part)
