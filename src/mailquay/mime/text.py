"""Text bodies: bytes of a text part to text with LF, format=flowed undone."""

from __future__ import annotations

import html
import re

from mailquay.mime.charset import decode

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.+-]{1,60})", re.IGNORECASE)
_META_WINDOW_BYTES = 2048


def normalize_newlines(text: str) -> str:
    """CRLF and bare CR as LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def decode_text(content: bytes, charset: str | None, *, flowed: bool = False, delsp: bool = False) -> str:
    """The text of a plain part: charset undone, newlines LF, `format=flowed` (RFC 3676) put back into paragraphs."""
    text = normalize_newlines(decode(content, charset)).replace("\x00", "\ufffd")
    return unflow(text, delsp=delsp) if flowed else text


def decode_html(content: bytes, charset: str | None) -> str:
    """The text of an HTML part; a part without a charset may name it in a `meta` element."""
    if not charset:
        found = _META_CHARSET.search(content[:_META_WINDOW_BYTES])
        charset = found[1].decode("ascii") if found is not None else None
    return normalize_newlines(decode(content, charset)).replace("\x00", "\ufffd")


def unflow(text: str, *, delsp: bool = False) -> str:
    """Join the soft-broken lines of a `format=flowed` text (RFC 3676 §4); quote marks stay, one per level."""
    paragraphs: list[str] = []
    pending: list[str] = []
    depth = 0
    for line in text.split("\n"):
        stripped = line.lstrip(">")
        level = len(line) - len(stripped)
        content = stripped[1:] if stripped.startswith(" ") else stripped
        # The signature's line is a paragraph of its own (RFC 3676 §4.3).
        if pending and (level != depth or content == "-- "):
            paragraphs.append(_quoted(depth, "".join(pending)))
            pending = []
        depth = level
        if content.endswith(" ") and content != "-- ":
            pending.append(content[:-1] if delsp else content)
            continue
        paragraphs.append(_quoted(depth, "".join([*pending, content])))
        pending = []
    if pending:
        paragraphs.append(_quoted(depth, "".join(pending)))
    return "\n".join(paragraphs)


def _quoted(depth: int, content: str) -> str:
    return f"{'>' * depth} {content}" if depth else content


def text_to_html(text: str) -> str:
    """The plainest HTML of a text: escaped, with its line breaks."""
    return "<br />\n".join(html.escape(line, quote=False) for line in normalize_newlines(text).split("\n"))
