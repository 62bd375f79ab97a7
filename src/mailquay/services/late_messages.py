"""Messages that a server lists and does not give yet, because one of its halves lags behind the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from mailquay.backends.interface import MailSession, SearchTerms
from mailquay.errors import CommandRejected
from mailquay.model.message import IndexEntry
from mailquay.services.sequences import sequence_set

_log = structlog.get_logger(__name__)
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""The other mailboxes of the account wait as long."""
NOT_GIVEN: Final = "the server lists the message and does not give it"


@dataclass(frozen=True, slots=True)
class Late:
    """What came after all, and the UIDs of what did not in `retries` attempts over `delay_ms`, ascending."""

    entries: tuple[IndexEntry, ...] = ()
    missing: tuple[int, ...] = ()
    retries: int = 0
    delay_ms: int = 0


async def wait_for_late(
    session: MailSession, fetched: Sequence[IndexEntry], first: int, last: int, *, patient: bool
) -> Late:
    """Ask for messages between two UIDs that are there and not among those `fetched`: again, in pauses, if `patient`.

    Most UIDs without a message belong to one that has gone: those cost one search, and only where there are any. A
    server that does not search has none that are late, as far as anybody can say.
    """
    known = {int(entry.uid) for entry in fetched if entry.uid <= last}
    if len(known) > last - first:
        return Late()
    # Not every server keeps to the UIDs of a search: what lies elsewhere was dealt with, and would be told once more.
    try:
        late = {uid for uid in await _existing(session, f"{first}:{last}") if first <= uid <= last} - known
    except CommandRejected as error:
        _log.info("late_messages_unknown", error=error.message)
        return Late()
    entries: list[IndexEntry] = []
    retries, delay_ms = 0, 0
    for pause in _PAUSES_SECONDS if patient else ():
        if not late:
            break
        await asyncio.sleep(pause)
        retries, delay_ms = retries + 1, delay_ms + int(pause * 1000)
        await session.noop()
        async for batch in session.fetch_envelopes(sequence_set(late)):
            entries += [entry for entry in batch if entry.uid in late]
        late -= {int(entry.uid) for entry in entries}
    if late:
        # What has gone meanwhile is not missing.
        late &= await _existing(session, sequence_set(late))
    return Late(tuple(entries), tuple(sorted(late)), retries, delay_ms)


async def still_missing(session: MailSession, asked: Sequence[int], fetched: Sequence[IndexEntry]) -> tuple[int, ...]:
    """Which of the messages that were asked for are there all the same, ascending."""
    late = set(asked) - {int(entry.uid) for entry in fetched}
    if not late:
        return ()
    try:
        return tuple(sorted(late & await _existing(session, sequence_set(late))))
    except CommandRejected as error:
        _log.info("late_messages_unknown", error=error.message)
        return ()


async def _existing(session: MailSession, uids: str) -> set[int]:
    return set(await session.search(SearchTerms(uid=uids)))
