"""Messages that a server lists and does not give yet, because one of its halves lags behind the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailquay.backends.interface import MailSession, SearchTerms
from mailquay.model.message import IndexEntry
from mailquay.services.sequences import sequence_set

_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""The other mailboxes of the account wait as long."""


@dataclass(frozen=True, slots=True)
class Late:
    """What came after all, and the UIDs of what did not in `retries` attempts over `delay_ms`, ascending."""

    entries: tuple[IndexEntry, ...] = ()
    missing: tuple[int, ...] = ()
    retries: int = 0
    delay_ms: int = 0


async def wait_for_late(session: MailSession, fetched: Sequence[IndexEntry], first: int, last: int) -> Late:
    """Ask again for messages between two UIDs that are there and were not among those `fetched`, in pauses.

    Most UIDs without a message belong to one that has gone: those cost one search, and only where there are any.
    """
    known = {int(entry.uid) for entry in fetched if entry.uid <= last}
    if len(known) > last - first:
        return Late()
    # Not every server keeps to the UIDs of a search: what lies elsewhere was dealt with, and would be told once more.
    late = {uid for uid in await _existing(session, f"{first}:{last}") if first <= uid <= last} - known
    entries: list[IndexEntry] = []
    retries, delay_ms = 0, 0
    for pause in _PAUSES_SECONDS:
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


async def _existing(session: MailSession, uids: str) -> set[int]:
    return set(await session.search(SearchTerms(uid=uids)))
