"""Searches for texts that a server refuses: it is asked for flags, dates and UIDs, and what it finds is read here."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import structlog

from mailquay.backends.imap.search_terms import search_key
from mailquay.backends.imap.searching import Searching
from mailquay.backends.interface import SearchTerms
from mailquay.errors import CommandRejected, Unsupported
from mailquay.mime.content import find_texts, read_text
from mailquay.mime.header import parse_header
from mailquay.mime.message import parse_message
from mailquay.wire.imap.command_message import Fetch
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.section import FetchAttribute, FetchSection, Section, SectionText
from mailquay.wire.imap.sequence_set import UidSet

_log = structlog.get_logger(__name__)
_MAX_HEADERS: Final = 5000
"""So many headers are read for one search, and no more: some hundred bytes each."""
_HEADERS_AT_ONCE: Final = 500
"""A set of UIDs far from each other is some 10 bytes for each, and servers have limits for a line."""
_MAX_BODIES: Final = 200
_MAX_HEADER_BYTES: Final = 32 * 1024
_MAX_BODY_BYTES: Final = 1024 * 1024
_UNKNOWN: Final = frozenset([None, "BADCHARSET", "CANNOT", "CLIENTBUG"])
"""The codes with which a search is refused for what it asks, and not for the trouble that the server has."""

Rows = Callable[[Fetch], AsyncGenerator[list[FetchResponse], None]]
ReadSource = Callable[[int, int], Awaitable[bytes]]
"""Gives a message's source by UID, up to so many bytes; nothing when the message is gone."""


class OwnSearch:
    """Evaluates the texts of a search here."""

    def __init__(self, searching: Searching, rows: Rows, read_source: ReadSource) -> None:
        self._searching = searching
        self._rows = rows
        self._read_source = read_source

    async def find(self, terms: SearchTerms, capabilities: frozenset[str], refused: CommandRejected) -> list[int]:
        """The UIDs of the messages that match, ascending.

        Raises `refused` where that was no matter of texts, Unsupported where too many messages would have to be read.
        """
        if refused.response_code not in _UNKNOWN or not (terms.text or terms.headers) or terms.gmail_raw is not None:
            raise refused
        rest = dataclasses.replace(terms, text={}, headers=())
        candidates = await self._searching.find(search_key(rest, capabilities))
        _log.info("search_evaluated_here", error=refused.message, messages=len(candidates))
        headers = [*((name, value) for name, value in terms.text.items() if name != "body"), *terms.headers]
        if headers:
            _refuse_too_many(candidates, _MAX_HEADERS)
            candidates = await self._with_headers(candidates, headers)
        body = terms.text.get("body")
        if body is None:
            return candidates
        _refuse_too_many(candidates, _MAX_BODIES)
        return [uid for uid in candidates if await self._has_in_texts(uid, body)]

    async def _with_headers(self, uids: Sequence[int], wanted: Sequence[tuple[str, str]]) -> list[int]:
        names = tuple(sorted({name.upper() for name, _ in wanted}))
        items = (FetchAttribute.UID, FetchSection(_fields(names), partial=(0, _MAX_HEADER_BYTES)))
        found: list[int] = []
        read: set[int] = set()
        for part in UidSet.of(uids).split(_HEADERS_AT_ONCE) if uids else ():
            async with aclosing(self._rows(Fetch(part, items))) as batches:
                async for batch in batches:
                    for row in batch:
                        if row.uid is None or not row.sections:
                            continue
                        read.add(row.uid)
                        if _in_headers(wanted, b"".join(data.data or b"" for data in row.sections)):
                            found.append(row.uid)
        if unread := len(set(uids) - read):
            # They may have gone meanwhile, or be such as the server cannot give.
            _log.warning("search_left_out_messages", unread=unread, read=len(read))
        return sorted(found)

    async def _has_in_texts(self, uid: int, wanted: str) -> bool:
        source = await self._read_source(uid, _MAX_BODY_BYTES)
        if len(source) == _MAX_BODY_BYTES:
            _log.warning("search_read_a_part", uid=uid, read_bytes=_MAX_BODY_BYTES)
        return _in_texts(wanted, source)


def _fields(names: tuple[str, ...]) -> Section:
    return Section(text=SectionText.HEADER_FIELDS, fields=names)


def _in_headers(wanted: Sequence[tuple[str, str]], raw: bytes) -> bool:
    """Whether each value occurs in a field of its name, in letters of either case (RFC 9051 §6.4.4)."""
    fields = parse_header(raw).decoded()
    return all(
        any(value.casefold() in text.casefold() for text in fields.get(name.lower(), ())) for name, value in wanted
    )


def _in_texts(wanted: str, source: bytes) -> bool:
    texts = find_texts(parse_message(source))
    parts = (*texts.plain, *texts.html, *texts.other)
    return any(wanted.casefold() in read_text(part).casefold() for part in parts)


def _refuse_too_many(uids: Sequence[int], limit: int) -> None:
    if len(uids) > limit:
        raise Unsupported(
            f"the server refuses to search for texts, and {len(uids)} messages are too many to be read for that; "
            f"dates, flags or a set of UIDs that leave at most {limit} make it possible"
        )
