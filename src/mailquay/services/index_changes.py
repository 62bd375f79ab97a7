"""Changes of flags and deletions as units of work: what changes the index also logs the events, or does neither."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.backends.interface import FlagState
from mailquay.model.mailbox import Mailbox
from mailquay.model.node import Fence
from mailquay.services.moves import have_left
from mailquay.services.sync_events import deleted_event, updated_event
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.repositories.fencing import check_fence
from mailquay.storage.store import Store


def flags_seen(
    store: Store, fence: Fence, mailbox: Mailbox, states: Sequence[FlagState], now_ms: int, *, silent: bool = False
) -> Unit[int]:
    """Messages have these flags and labels now: store what differs, with a messageUpdated each; returns how many."""
    update = store.messages.update_flags(
        mailbox.number, [(state.uid, state.flags, state.modseq, state.labels) for state in states]
    )

    def script(pending: Pending) -> Script[int]:
        yield from check_fence(fence)
        before = yield from update(pending)
        for state in states:
            if state.uid not in before or silent:
                continue
            event = updated_event(fence.account, mailbox, state, before[state.uid], now_ms)
            if event is not None:
                pending.append(event)
        return len(before)

    return script


def messages_gone(
    store: Store, fence: Fence, mailbox: Mailbox, uids: Sequence[int], now_ms: int, *, silent: bool = False
) -> Unit[int]:
    """Messages have left the mailbox: drop those we had, with a messageDeleted each; returns how many.

    Those that have arrived in another mailbox get a messageMoved too.
    """
    delete = store.messages.delete(mailbox.number, uids)

    def script(pending: Pending) -> Script[int]:
        yield from check_fence(fence)
        gone = yield from delete(pending)
        if not silent:
            for one in gone:
                pending.append(deleted_event(fence.account, mailbox, one.uid, now_ms))
            yield from have_left(store, fence.account, mailbox, gone, now_ms)(pending)
        return len(gone)

    return script
