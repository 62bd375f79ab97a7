"""Telling a renamed mailbox from one that was deleted and another that was created."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.backends.interface import MailSession
from mailquay.errors import CommandRejected, MailboxNotFound, PartUnavailable
from mailquay.model.mailbox import ListedMailbox, Mailbox, MailboxEvidence
from mailquay.services.sequences import sequence_set
from mailquay.storage.store import Store

_COMPARED = 20


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
        for former in candidates:
            if await _is_same(store, session, former, listing, evidence):
                renamed.append((former, listing))
                candidates.remove(former)
                break
    return renamed


async def _is_same(
    store: Store, session: MailSession, former: Mailbox, listing: ListedMailbox, evidence: MailboxEvidence
) -> bool:
    """A rename keeps UIDVALIDITY and UIDs (RFC 9051 §6.3.6), and MAILBOXID where there is one (RFC 8474 §4)."""
    cursor = former.cursor
    if cursor is None or evidence.uidvalidity != cursor.uidvalidity or (evidence.uidnext or 0) < cursor.uidnext:
        return False
    if former.listing.mailbox_id is not None and listing.mailbox_id is not None:
        return former.listing.mailbox_id == listing.mailbox_id
    return await _holds_the_same(store, session, former, listing.path, cursor.uidnext)


async def _holds_the_same(store: Store, session: MailSession, former: Mailbox, path: str, uidnext: int) -> bool:
    """Many servers take the time in seconds as UIDVALIDITY: two mailboxes of the same second must not be confused."""
    try:
        await session.open_mailbox(path)
        present = {uid for uid in await session.uids() if uid < uidnext}
        indexed = {uid for uid, _, _ in await store.messages.flags(former.number)}
        common = sorted(present & indexed)[-_COMPARED:]
        if not common or not present <= indexed:
            return False
        async for batch in session.fetch_identifiers(sequence_set(common)):
            for entry in batch:
                known = await store.messages.get(former.number, entry.uid)
                if known is None or (known.size_bytes, known.internal_date_ms) != (
                    entry.size_bytes,
                    entry.internal_date_ms,
                ):
                    return False
    except (CommandRejected, MailboxNotFound, PartUnavailable):
        return False
    return True
