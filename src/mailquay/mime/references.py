"""Answer and forward: recipients, subject, threading fields, and the original quoted below."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum

from selectolax.lexbor import LexborHTMLParser

from mailquay.mime.address import Address, format_address
from mailquay.mime.compose import bracketed
from mailquay.mime.html_text import html_to_text
from mailquay.mime.markup import tame
from mailquay.mime.plain_html import plain_to_html
from mailquay.mime.quoting_locale import format_quoted_date, quoting_words
from mailquay.mime.text import normalize_newlines

MAX_REFERENCES = 100
"""How many ids a References field keeps: the first, which names the thread, and the last ones."""

_MESSAGE_ID = re.compile(r"<[^<>\s]{1,900}>")
_REPLIED = re.compile(r"re\s*:", re.IGNORECASE)
_FORWARDED = re.compile(r"fwd?\s*:", re.IGNORECASE)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


class ReferenceAction(Enum):
    """What is done with the original; the values are the public names."""

    REPLY = "reply"
    REPLY_ALL = "reply-all"
    FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Original:
    """What must be known of the message that is answered or forwarded. Ids with or without brackets."""

    message_id: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    subject: str | None = None
    date: datetime | None = None
    from_: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    plain: str | None = None
    html: str | None = None


def message_ids(text: str | None) -> tuple[str, ...]:
    """The ids in a References or In-Reply-To value, with brackets; a lone id without them counts."""
    found = _MESSAGE_ID.findall(text or "")
    if not found and text and "@" in text and len(text.split()) == 1:
        return (bracketed(text),)
    return tuple(found)


def thread_references(original: Original) -> tuple[str, ...]:
    """The ids for References, oldest first, each once (RFC 5322 §3.6.4): its references, its parent, itself."""
    ids = [*original.references, *message_ids(original.in_reply_to)]
    if original.message_id:
        ids.append(original.message_id)
    # The original itself stands last, whatever a broken client wrote into its own References.
    unique = list(dict.fromkeys(reversed([bracketed(item) for item in ids if item.strip()])))
    unique.reverse()
    if len(unique) > MAX_REFERENCES:
        unique = [unique[0], *unique[-(MAX_REFERENCES - 1) :]]
    return tuple(unique)


def in_reply_to(original: Original, action: ReferenceAction) -> str | None:
    """The id for In-Reply-To: answers have one, forwards do not."""
    if action is ReferenceAction.FORWARD or not original.message_id:
        return None
    return bracketed(original.message_id)


def derived_subject(subject: str | None, action: ReferenceAction) -> str:
    """`Re: ` or `Fwd: ` in front of the original's subject, unless it stands there already."""
    text = (subject or "").strip()
    if action is ReferenceAction.FORWARD:
        return text if _FORWARDED.match(text) else f"Fwd: {text}".rstrip()
    return text if _REPLIED.match(text) else f"Re: {text}".rstrip()


def answer_recipients(
    original: Original,
    action: ReferenceAction,
    *,
    own: Iterable[str],
    to: Sequence[Address] | None,
    cc: Sequence[Address] | None,
) -> tuple[list[Address], list[Address]]:
    """To and Cc of an answer; `to` and `cc` are what the caller gave, None where he gave nothing.

    reply: Reply-To, else From, unless `to` was given. reply-all: those, the original To, and Cc, without one's `own`
    addresses and duplicates, and the given ones behind. The original Bcc is never used. forward: what was given.
    """
    given_to, given_cc = list(to or ()), list(cc or ())
    if action is ReferenceAction.FORWARD:
        return given_to, given_cc
    senders = list(original.reply_to or original.from_)
    if action is ReferenceAction.REPLY:
        return (given_to if to is not None else senders), given_cc
    mine = {address.lower() for address in own}
    seen: set[str] = set()
    all_to = _new([*senders, *original.to], seen, mine)
    if not all_to:  # an answer to oneself
        all_to = _new(senders, seen, set())
    all_cc = _new(original.cc, seen, mine)
    return all_to + _new(given_to, seen, set()), all_cc + _new(given_cc, seen, set())


def _new(addresses: Iterable[Address], seen: set[str], unwanted: set[str]) -> list[Address]:
    """Those not seen before and not unwanted, in order."""
    found: list[Address] = []
    for address in addresses:
        if address.address and address.key not in seen and address.key not in unwanted:
            seen.add(address.key)
            found.append(address)
    return found


def quote_original(
    original: Original,
    action: ReferenceAction,
    *,
    text: str | None,
    markup: str | None,
    locale: str | None,
    zone: tzinfo | None,
) -> tuple[str | None, str | None]:
    """The new `text` and `markup` with the original below; both come into being when neither is given.

    Header lines (From, To, Cc, Date, Subject) stand above the original, in the words of `locale` and the time of
    `zone`. An answer quotes, a forward does not indent.
    """
    lines = _header_lines(original, locale, zone)
    title = quoting_words(locale).forwarded if action is ReferenceAction.FORWARD else None
    if text is None and markup is None:
        text, markup = "", ""
    new_text = None if text is None else _quoted_text(original, text, lines, title)
    new_markup = None if markup is None else _quoted_markup(original, markup, lines, title)
    return new_text, new_markup


def _header_lines(original: Original, locale: str | None, zone: tzinfo | None) -> list[tuple[str, str]]:
    words = quoting_words(locale)
    lists = ((words.from_, original.from_), (words.to, original.to), (words.cc, original.cc))
    lines = [(label, ", ".join(map(format_address, addresses))) for label, addresses in lists if addresses]
    if original.date is not None:
        lines.append((words.date, format_quoted_date(original.date, words, zone)))
    lines.append((words.subject, original.subject or ""))
    return lines


def _quoted_text(original: Original, text: str, lines: list[tuple[str, str]], title: str | None) -> str:
    body = original.plain if original.plain is not None else html_to_text(original.html or "")
    block = [f"{label}: {value}" for label, value in lines]
    content = normalize_newlines(body).strip("\n").split("\n")
    quoted = [*block, "", *content]
    if title is None:
        quoted = [f"> {line}" if line and not line.startswith(">") else f">{line}" for line in quoted]
    else:
        quoted.insert(0, f"---------- {title} ----------")
    return "\n".join([normalize_newlines(text).rstrip("\n"), "", *quoted, ""]).lstrip("\n")


def _quoted_markup(original: Original, markup: str, lines: list[tuple[str, str]], title: str | None) -> str:
    rows = "<br />".join(f"<b>{html.escape(label)}:</b> {html.escape(value)}" for label, value in lines)
    content = _fragment(original.html) if original.html is not None else plain_to_html(original.plain or "")
    header = f"<div>{rows}</div><br />"
    if title is None:
        quoted = f'<blockquote type="cite">{header}{content}</blockquote>'
    else:
        quoted = f"<div>---------- {html.escape(title)} ----------</div>{header}{content}"
    block = f'<br /><div class="ee-quoted-message">{quoted}</div>'
    ends = [found.start() for found in _BODY_END.finditer(markup)]
    position = ends[-1] if ends else len(markup)
    return f"{markup[:position]}{block}{markup[position:]}"


def _fragment(markup: str) -> str:
    """The body of a document and the styles it needs, without what runs."""
    document = LexborHTMLParser(tame(markup))
    for node in document.css("script, base, title, meta, link"):
        node.decompose()
    styles = "".join(node.html or "" for node in document.head.css("style")) if document.head is not None else ""
    body = document.body
    return styles + ((body.inner_html or "") if body is not None else "")
