"""The texts of messages as the text index takes them: fetched in batches, HTML turned into text, cut into words."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing

import structlog

from mailquay.backends.interface import MailSession
from mailquay.errors import CommandRejected, MessageNotFound, PartUnavailable
from mailquay.mime.html_text import html_to_text
from mailquay.mime.words import words_of
from mailquay.model.message import IndexEntry, Structure, TextPart
from mailquay.services.body_source import needs_source, read_texts
from mailquay.services.message_text import assemble
from mailquay.services.sections_apart import fetch_apart, gives_others
from mailquay.services.settings import SettingsService
from mailquay.storage.repositories.texts import MessageWords, joined_words

_log = structlog.get_logger(__name__)
_BYTES_PER_CHARACTER = 6
"""A letter beyond ASCII as quoted-printable UTF-8, or one of HTML with its markup."""
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_MESSAGES = 50
_MOST_SOURCE_BYTES = 8 * 1024 * 1024
_MOST_LIMITS = 4
_FEW = 3
_STUB = 50
"""A plain text so many times smaller than the HTML beside it says no more than that there is HTML."""
_BOUNDARY = "·"
"""Before each name of an attachment: no phrase goes across."""
_MOST_NAMES = 100


class TextReader:
    """Reads messages of an open mailbox for the text index."""

    def __init__(self, settings: SettingsService) -> None:
        self._settings = settings

    async def read(
        self,
        session: MailSession,
        entries: Sequence[IndexEntry],
        at_hand: Mapping[int, Mapping[str, bytes]] | None = None,
    ) -> list[MessageWords]:
        """The words of messages whose structure is known; `at_hand` has bodies that were fetched before, by UID.

        A message that the server refuses, while it gives others, has the names of its attachments alone. Where it
        gives none, those that were asked for are left out. Raises what the session raises otherwise.
        """
        await self._settings.refresh()
        known: dict[int, Mapping[str, bytes]] = {
            entry.uid: bodies
            for entry in entries
            if (bodies := (at_hand or {}).get(entry.uid)) is not None and self._suffices(entry, bodies)
        }
        read = await self._words([entry for entry in entries if entry.uid in known], known)
        for batch in self._batches([entry for entry in entries if entry.uid not in known]):
            read += await self._fetched(session, batch)
        return read

    async def _fetched(self, session: MailSession, entries: Sequence[IndexEntry]) -> list[MessageWords]:
        limit = self._limit_bytes()
        groups: dict[tuple[str, ...], list[IndexEntry]] = defaultdict(list)
        for entry in entries:
            groups[tuple(part.part for part in _parts(entry.structure, limit))].append(entry)
        bodies: dict[int, Mapping[str, bytes]] = {}
        refused: list[IndexEntry] = []
        for sections, members in groups.items():
            if not sections:
                bodies |= {entry.uid: {} for entry in members}
                continue
            # Never more than a part is said to have: servers have been wrong about sizes.
            largest = max(part.encoded_size_bytes for entry in members for part in _parts(entry.structure, limit))
            most = max(1024, min(largest, limit))
            fetched = await fetch_apart(session, [entry.uid for entry in members], sections, limit_bytes=most)
            bodies |= {uid: found.bodies for uid, found in fetched.found.items()}
            refused += [entry for entry in members if entry.uid in fetched.refused]
        sourced: list[MessageWords] = []
        for entry in filter(_unreliable, entries):
            try:
                sourced.append(await self._from_source(session, entry))
            except (CommandRejected, PartUnavailable):
                # It is the messages that a server does not understand that it may be unable to give.
                refused.append(entry)
                del bodies[entry.uid]
        if refused:
            _log.warning("texts_refused", path=session.selected, uids=[entry.uid for entry in refused])
        if any(bodies.values()) or any(one.words for one in sourced) or await _is_their_fault(session, refused):
            bodies |= {entry.uid: {} for entry in refused}
        read = {one.entry.uid for one in sourced}
        entries = [entry for entry in entries if entry.uid in bodies and entry.uid not in read]
        return [*await self._words(entries, bodies), *sourced]

    async def _from_source(self, session: MailSession, entry: IndexEntry) -> MessageWords:
        """A message whose parts the server does not know is read as a whole, unless it is a large one."""
        if (entry.size_bytes or 0) > _MOST_SOURCE_BYTES:
            return MessageWords(entry, "")
        try:
            async with aclosing(session.stream_section(entry.uid, "")) as chunks:
                source = await read_texts(chunks, ("plain", "html"), limit_bytes=self._limit_bytes())
        except MessageNotFound:
            return MessageWords(entry, "")
        limit = int(self._settings.current("textIndexSize"))
        return await asyncio.to_thread(_word_text, entry, source.structure, source.bodies, limit)

    async def _words(
        self, entries: Sequence[IndexEntry], bodies: Mapping[int, Mapping[str, bytes]]
    ) -> list[MessageWords]:
        limit = int(self._settings.current("textIndexSize"))

        def work() -> list[MessageWords]:
            return [_word_text(one, one.structure or Structure(), bodies[one.uid], limit) for one in entries]

        # Whole batches of HTML would keep the loop from everything else.
        return await asyncio.to_thread(work) if entries else []

    def _limit_bytes(self) -> int:
        return int(self._settings.current("textIndexSize")) * _BYTES_PER_CHARACTER + 1024

    def _suffices(self, entry: IndexEntry, bodies: Mapping[str, bytes]) -> bool:
        limit = self._limit_bytes()
        return not _unreliable(entry) and all(
            len(bodies.get(part.part, b"")) >= min(part.encoded_size_bytes, limit)
            for part in _parts(entry.structure, limit)
        )

    def _batches(self, entries: Sequence[IndexEntry]) -> Iterator[Sequence[IndexEntry]]:
        """Runs whose texts fit into memory together."""
        limit, start, size = self._limit_bytes(), 0, 0
        for position, entry in enumerate(entries):
            weight = sum(min(part.encoded_size_bytes, limit) for part in _parts(entry.structure, limit))
            if position > start and (size + weight > _BATCH_BYTES or position - start >= _BATCH_MESSAGES):
                yield entries[start:position]
                start, size = position, 0
            size += weight
        if start < len(entries):
            yield entries[start:]


async def _is_their_fault(session: MailSession, refused: Sequence[IndexEntry]) -> bool:
    """Whether few messages were refused alone, by a server that gives others: it is in no trouble."""
    uids = [entry.uid for entry in refused]
    if not 0 < len(uids) <= _FEW or not set(await session.uids()) - set(uids):
        return False
    return await gives_others(session, uids)


def _unreliable(entry: IndexEntry) -> bool:
    return entry.structure is None or needs_source(entry.structure)


def _parts(structure: Structure | None, limit_bytes: int) -> list[TextPart]:
    """What is read of a message: its plain text, and its HTML where there is no other, or hardly any.

    Of very many parts the first, each up to the limit: no more words than those are kept anyway.
    """
    if structure is None or needs_source(structure):
        return []
    plain, html = (sum(part.encoded_size_bytes for part in parts) for parts in (structure.plain, structure.html))
    chosen: list[TextPart] = []
    total = 0
    for part in (*structure.plain, *(structure.html if plain * _STUB <= html else ())):
        if total < _MOST_LIMITS * limit_bytes:
            chosen.append(part)
            total += min(part.encoded_size_bytes, limit_bytes)
    return chosen


def _word_text(
    entry: IndexEntry, structure: Structure, bodies: Mapping[str, bytes], most_characters: int
) -> MessageWords:
    """The words of a message; what nobody can decode has none, and harms no other."""
    try:
        text = assemble(structure, bodies, "*", None)
        words = words_of(text.plain or "", most_characters)
        if text.html and len(text.plain or "") * _STUB <= len(text.html):
            words += words_of(html_to_text(text.html), most_characters)
    except Exception as error:
        _log.error("text_undecodable", uid=entry.uid, exc_info=error)
        words = []
    for part in structure.attachments[:_MOST_NAMES]:
        if part.filename:
            words += [_BOUNDARY, *words_of(part.filename, 1000)]
    return MessageWords(entry, joined_words(words))
