"""The message that a report is about: its header, as far as it was returned, and its Message-ID."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailquay.mime.header import Headers, parse_header
from mailquay.mime.message import split_header
from mailquay.reports.source import HEADER_PARTS, MESSAGES, ReportPart, ReportSource

MAX_MESSAGE_ID_CHARACTERS = 900
_MAX_PASTED_CHARACTERS = 32_000
_ID = re.compile(r"<?([^<>\s]{1,900})>?")
_PASTED = re.compile(r"^[> \t]{0,12}(?:Received|Return-Path)[ \t]{0,4}:", re.IGNORECASE | re.MULTILINE)
_PASTED_ID = re.compile(r"^[> \t]{0,12}Message-ID[ \t]{0,4}:[ \t]{0,8}(<[^<>\s]{1,900}>)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Original:
    """What is known of it. `message_id` has its brackets; `headers` is None when none were returned as a part."""

    headers: Headers | None = None
    message_id: str | None = None


def find_original(source: ReportSource) -> Original:
    """The header from a part made for it, from the message itself, or from what stands in the text."""
    pasted = pasted_headers(source.text)
    found = returned_headers(source) or pasted
    identifier = message_id(found.text("Message-ID")) if found is not None else None
    if identifier is None and pasted is not None:
        identifier = message_id(pasted.text("Message-ID"))
    if identifier is None and (line := _PASTED_ID.search(source.text)) is not None:
        identifier = line[1]
    return Original(found, identifier)


def message_id(value: str | None) -> str | None:
    """The id in a Message-ID field, with brackets; None for what is none."""
    match = _ID.match((value or "").strip())
    return f"<{match[1]}>" if match is not None and "@" in match[1] else None


def pasted_headers(text: str) -> Headers | None:
    """The header in a text that begins with a Received or Return-Path line and ends with a blank one."""
    begin = _PASTED.search(text)
    if begin is None:
        return None
    block = text[begin.start() : begin.start() + _MAX_PASTED_CHARACTERS].split("\n")
    indent = len(block[0]) - len(block[0].lstrip(" \t>"))
    lines: list[str] = []
    for line in block:
        if not line.strip(" \t>"):
            break
        lines.append(line[indent:] if not line[:indent].strip(" \t>") else line)
    headers = parse_header("\n".join(lines).encode("utf-8", "replace"))
    return headers if len(headers) > 1 else None


def returned_headers(source: ReportSource) -> Headers | None:
    """The header that came back: from a part made for it, else from the message, else from Zoho's own type."""
    parts = [part for part in source.parts if part.content_type in HEADER_PARTS]
    parts.sort(key=lambda part: part.enclosed)
    messages = [part for part in source.parts if part.content_type in MESSAGES and not part.enclosed]
    own = [part for part in parts if not part.enclosed]
    for part in [*own, *messages, *parts[len(own) :]]:
        if part.content_type == "text/rfc822" and not _from_zoho(source):
            continue
        headers = _headers_of(part)
        if len(headers) > 0:
            return headers
    return None


def _headers_of(part: ReportPart) -> Headers:
    content = part.content.lstrip(b"\r\n")
    if part.content_type == "text/rfc822":
        # Every line is indented.
        content = b"\n".join(line.lstrip() if b":" in line[:60] else line for line in content.splitlines())
    end, _ = split_header(content, 0, len(content))
    return parse_header(content[:end])


def _from_zoho(source: ReportSource) -> bool:
    fields = (source.headers.text(name) or "" for name in ("X-Mailer", "From", "User-Agent"))
    return any("zoho" in value.lower() for value in fields)
