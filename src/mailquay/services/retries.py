"""Messages in quarantine are tried again: some at a time, in growing pauses, and when their mailbox is verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import structlog

from mailquay.backends.interface import FlagState, MailSession
from mailquay.errors import CommandRejected
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.services.arrivals import Arrivals
from mailquay.services.index_changes import flags_seen
from mailquay.services.moves import known_digest
from mailquay.services.ports import Clock
from mailquay.services.sequences import sequence_set
from mailquay.services.set_aside import next_try_ms
from mailquay.services.sync_context import SyncContext
from mailquay.services.threads import placed
from mailquay.storage.interface import Pending, Script
from mailquay.storage.repositories.fencing import check_fence, fenced
from mailquay.storage.repositories.quarantine import SetAside
from mailquay.storage.store import Store

_log = structlog.get_logger(__name__)
ROUND = 10
"""How many are tried at a time: so few that a server which refuses all of them is not taken for one in trouble."""


class Retries:
    """The rounds for a mailbox that is open."""

    def __init__(self, store: Store, arrivals: Arrivals, clock: Clock) -> None:
        self._store = store
        self._arrivals = arrivals
        self._clock = clock

    async def run(self, session: MailSession, context: SyncContext, mailbox: Mailbox, *, verify: bool) -> None:
        """Try those again whose turn it is, with `verify` also those whose turn never comes.

        What can be read by now is completed, and announced where that was still to be done. As long as there is such,
        round follows round: a server that was in trouble may have left thousands. Raises what the session raises; the
        turn is over all the same.
        """
        tried: set[int] = set()
        while True:
            now_ms = self._clock.now_ms()
            if verify:
                chosen = await self._store.quarantine.all(mailbox.number, ROUND)
            else:
                chosen = await self._store.quarantine.due(mailbox.number, now_ms, ROUND)
            chosen = [one for one in chosen if one.uid not in tried]
            if not chosen or not await self._round(session, context, mailbox, chosen, now_ms):
                return
            tried.update(one.uid for one in chosen)

    async def _round(
        self, session: MailSession, context: SyncContext, mailbox: Mailbox, chosen: Sequence[SetAside], now_ms: int
    ) -> bool:
        """Try these again; returns whether some of them can be read."""
        # First: what ends the connection would be tried again after every reconnect, and nothing else be done.
        turns = [
            (one.uid, one.tries + 1, next_try_ms(one.tries + 1, now_ms, identified=one.identified)) for one in chosen
        ]
        await self._store.commit(fenced(context.fence, self._store.quarantine.tried(mailbox.number, turns)))
        states = {one.uid: one for one in chosen}
        healed: list[IndexEntry] = []
        try:
            async for batch in session.fetch_envelopes(sequence_set([one.uid for one in chosen])):
                readable = [entry for entry in batch if entry.error is None and entry.envelope is not None]
                healed += [entry for entry in readable if entry.uid in states]
        except CommandRejected as error:
            _log.info("still_unprocessable", account=context.account.id, path=mailbox.listing.path, error=error.message)
        owed = [entry for entry in healed if states[entry.uid].owed]
        # Its place in the index is counted: the cursor stays where it is.
        await self._arrivals.store_new(session, context, dataclasses.replace(mailbox, cursor=None), owed)
        await self._complete(context, mailbox, [entry for entry in healed if not states[entry.uid].owed], states)
        return bool(healed)

    async def _complete(
        self, context: SyncContext, mailbox: Mailbox, entries: Sequence[IndexEntry], states: dict[int, SetAside]
    ) -> None:
        """Store messages that nobody waits for; flags that were known before may have changed meanwhile."""
        if not entries:
            return
        now_ms, account = self._clock.now_ms(), context.account
        flags = flags_seen(
            self._store,
            context.fence,
            mailbox,
            [FlagState(one.uid, one.flags, one.modseq, one.labels) for one in entries if states[one.uid].identified],
            now_ms,
            silent=context.silent,
        )
        place = placed(self._store, account, mailbox.number, entries)
        digests = [known_digest(account.number, entry) for entry in entries]

        def script(pending: Pending) -> Script[None]:
            yield from check_fence(context.fence)
            yield from flags(pending)
            threads = yield from place(pending)
            yield from self._store.messages.put(mailbox.number, entries, threads)(pending)
            yield from self._store.messages.remember(account.number, digests, now_ms)(pending)

        await self._store.commit(script)
