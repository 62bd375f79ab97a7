"""Which message a bounce is about, where it does not return enough of it to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mailquay.model.account import AccountNumber
from mailquay.model.message import IndexEntry
from mailquay.model.submission import Phase, Submission
from mailquay.reports.bounce import Bounce
from mailquay.services.ports import Clock
from mailquay.storage.store import Store

_DAY_MS: Final = 24 * 3600 * 1000
_LONGEST_MS: Final = 7 * _DAY_MS
"""Mail servers give up after some days (RFC 5321 §4.5.4.1)."""
_CLOCKS_DIFFER_MS: Final = 60 * 1000
"""A submission may seem to be so much later than its bounce: INTERNALDATE has whole seconds, of another clock."""
_LOOKED_AT: Final = 500
"""Among more submissions than that nobody can be sure that only one fits."""
_NOT_SENT: Final = frozenset((Phase.QUEUED, Phase.DATA))


class BounceMatching:
    """Looks among the submissions of the account that are still kept."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def original_of(self, account: AccountNumber, bounce: Bounce, report: IndexEntry) -> str | None:
        """The Message-ID of the original, with brackets.

        The bounce's own word, else the submission with its envelope id, else the only one that went to its recipient
        in the days before.
        """
        if bounce.message_id is not None:
            return bounce.message_id
        now_ms = self._clock.now_ms()
        until_ms = min(report.internal_date_ms or now_ms, now_ms) + _CLOCKS_DIFFER_MS
        kept = await self._store.outbox.recent(account, until_ms - _LONGEST_MS, until_ms, _LOOKED_AT + 1)
        sent = [one for one in kept if one.phase not in _NOT_SENT]
        if bounce.envelope_id is not None:
            named = [one for one in sent if one.options.dsn is not None and one.options.dsn.envid == bounce.envelope_id]
            if len(named) == 1:
                return named[0].message_id
        return _only_one_to(sent, bounce.recipient) if len(kept) <= _LOOKED_AT else None


def _only_one_to(submissions: Sequence[Submission], recipient: str) -> str | None:
    wanted = recipient.lower()
    fitting = [one for one in submissions if any(to.lower() == wanted for to in one.envelope.recipients)]
    return fitting[0].message_id if len(fitting) == 1 else None
