"""Telling a renamed mailbox from one that was deleted and another that was created."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.backends.interface import MailSession
from mailquay.errors import CommandRejected, MailboxNotFound, PartUnavailable
from mailquay.model.mailbox import ListedMailbox, Mailbox, MailboxEvidence
from mailquay.services.sequences import sequence_set
from mailquay.storage.store import Store

_COMPARED = 20
Identity = tuple[int | None, int | None]
"""Size in bytes and received date."""


async def renamed_mailboxes(
    store: Store, session: MailSession, vanished: Sequence[Mailbox], appeared: Sequence[ListedMailbox]
) -> list[tuple[Mailbox, ListedMailbox]]:
    """Which of the mailboxes that vanished stand under which of the paths that appeared.

    Raises what the session raises when the connection fails.
    """
    candidates = [box for box in vanished if box.cursor is not None and box.uidvalidity]
    if not candidates or not appeared:
        return []
    statuses = await session.status([listing.path for listing in appeared])
    renamed = []
    for listing in appeared:
        evidence = statuses.get(listing.path)
        if evidence is None:
            continue
        shown = _Shown(session, listing.path, empty=evidence.messages == 0)
        for former in candidates:
            if await _is_same(store, former, listing, evidence, shown):
                renamed.append((former, listing))
                candidates.remove(former)
                break
    return renamed


class _Shown:
    """What the server shows in a mailbox; read when it is first asked for, however many it may have been before."""

    def __init__(self, session: MailSession, path: str, *, empty: bool) -> None:
        self._session = session
        self._path = path
        self._uids: list[int] | None = [] if empty else None
        self._identifiers: dict[int, Identity] = {}

    async def uids(self) -> list[int]:
        """The UIDs, ascending; none where the server does not let us see."""
        if self._uids is None:
            self._uids = []
            try:
                await self._session.open_mailbox(self._path)
                self._uids = await self._session.uids()
            except (CommandRejected, MailboxNotFound, PartUnavailable):
                return []
        return self._uids

    async def identifiers(self, uids: Sequence[int]) -> dict[int, Identity]:
        """Size and date of these, as far as the server gives them."""
        if unread := [uid for uid in uids if uid not in self._identifiers]:
            try:
                async for batch in self._session.fetch_identifiers(sequence_set(unread)):
                    self._identifiers |= {entry.uid: (entry.size_bytes, entry.internal_date_ms) for entry in batch}
            except (CommandRejected, MailboxNotFound, PartUnavailable):
                self._uids = []
                return {}
        return {uid: self._identifiers[uid] for uid in uids if uid in self._identifiers}


async def _is_same(
    store: Store, former: Mailbox, listing: ListedMailbox, evidence: MailboxEvidence, shown: _Shown
) -> bool:
    """A rename keeps UIDVALIDITY and UIDs (RFC 9051 §6.3.6), and MAILBOXID where there is one (RFC 8474 §4)."""
    cursor = former.cursor
    if cursor is None or evidence.uidvalidity != cursor.uidvalidity or (evidence.uidnext or 0) < cursor.uidnext:
        return False
    if former.listing.mailbox_id is not None and listing.mailbox_id is not None:
        return former.listing.mailbox_id == listing.mailbox_id
    return await _holds_the_same(store, former, shown, cursor.uidnext)


async def _holds_the_same(store: Store, former: Mailbox, shown: _Shown, uidnext: int) -> bool:
    """Many servers take the time in seconds as UIDVALIDITY, or one for all: two mailboxes must not be confused.

    First the last messages are compared: of hundreds of mailboxes each may have to be compared with each.
    """
    present = [uid for uid in await shown.uids() if uid < uidnext]
    last = present[-_COMPARED:]
    indexed = {entry.uid: entry for entry in await store.messages.several(former.number, last)} if last else {}
    if not last or len(indexed) < len(last):
        return False
    identifiers = await shown.identifiers(last)
    if any(identifiers.get(uid) not in (None, (one.size_bytes, one.internal_date_ms)) for uid, one in indexed.items()):
        return False
    return bool(await shown.uids()) and set(present) <= set(await store.messages.uids(former.number))
