"""Body sections of several messages, of which a server may be unable to give one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailquay.backends.interface import FetchedSections, MailSession
from mailquay.errors import BackendError, CommandRejected, PartUnavailable
from mailquay.services.sequences import sequence_set

_HOPELESS = 10
"""After so many refusals without a single answer nobody is asked for the rest."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What was found, and which messages were refused, by UID."""

    found: dict[int, FetchedSections] = field(default_factory=dict)
    refused: dict[int, BackendError] = field(default_factory=dict)


async def fetch_apart(
    session: MailSession, uids: Sequence[int], sections: Sequence[str], *, limit_bytes: int | None
) -> Apart:
    """See MailSession.fetch_sections; the messages that fail the command are found by halving.

    Raises PartUnavailable when the server is in no state to give any.
    """
    apart = Apart()
    pending, refusals = [list(uids)], 0
    while pending:
        part = pending.pop()
        try:
            apart.found.update(await session.fetch_sections(sequence_set(part), sections, limit_bytes=limit_bytes))
        except (CommandRejected, PartUnavailable) as error:
            refusals += 1
            if len(part) == 1 or (refusals >= _HOPELESS and not apart.found):
                apart.refused.update(dict.fromkeys(part, error))
            else:
                middle = len(part) // 2
                pending += [part[middle:], part[:middle]]
    trouble = next((error for error in apart.refused.values() if isinstance(error, PartUnavailable)), None)
    if trouble is not None and not apart.found and not await gives_others(session, uids):
        raise trouble
    return apart


async def gives_others(session: MailSession, uids: Sequence[int]) -> bool:
    """Whether the server gives the header of another message; where there is none, nothing says that it would not."""
    others = sorted(set(await session.uids()) - set(uids))
    for uid in {*others[:1], *others[len(others) // 2 :][:1], *others[-1:]}:
        try:
            await session.fetch_sections(str(uid), ["HEADER"])
        except (CommandRejected, PartUnavailable):
            continue
        return True
    return not others
