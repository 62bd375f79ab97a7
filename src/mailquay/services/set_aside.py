"""Messages that cannot be read: put into quarantine and told of once, while their mailbox goes on."""

from __future__ import annotations

from collections.abc import Sequence

from mailquay.model.account import Account, AccountNumber
from mailquay.model.mailbox import Mailbox
from mailquay.model.message import IndexEntry
from mailquay.services.moves import known_digest
from mailquay.services.sync_events import unprocessable_event
from mailquay.services.threads import placed, threaded
from mailquay.storage.interface import Pending, Script, Unit
from mailquay.storage.store import Store

_MINUTE_MS = 60 * 1000
_HOUR_MS = 60 * _MINUTE_MS
RETRY_PAUSES_MS = (_HOUR_MS, 6 * _HOUR_MS, 24 * _HOUR_MS)
"""When a message is tried again: after the first failure and those that follow; from then on only by verification."""
UNIDENTIFIED_PAUSES_MS = (_MINUTE_MS, 10 * _MINUTE_MS, *RETRY_PAUSES_MS)
"""The same for one of which nothing is known: perhaps one half of the server has yet to hear of it from the other."""


def next_try_ms(tries: int, now_ms: int, *, identified: bool) -> int | None:
    """When a message that was tried so often has its next turn; `identified` as in SetAside."""
    pauses = RETRY_PAUSES_MS if identified else UNIDENTIFIED_PAUSES_MS
    return now_ms + pauses[tries - 1] if tries <= len(pauses) else None


def with_turns(broken: Sequence[IndexEntry], now_ms: int) -> list[tuple[IndexEntry, int]]:
    """Messages that have just failed, each with the time when it is tried again."""
    pauses = ((entry, UNIDENTIFIED_PAUSES_MS if entry.size_bytes is None else RETRY_PAUSES_MS) for entry in broken)
    return [(entry, now_ms + pause_ms[0]) for entry, pause_ms in pauses]


def set_aside(
    store: Store,
    account: AccountNumber,
    mailbox: Mailbox,
    broken: Sequence[IndexEntry],
    now_ms: int,
    *,
    silent: bool = False,
    owed: bool = False,
    only_known: bool = False,
) -> Unit[None]:
    """Put messages into quarantine, with a messageUnprocessable for each that was not there before.

    `owed` and `only_known` as in QuarantineRepository.put.
    """
    put = store.quarantine.put(
        mailbox.number, with_turns(broken, now_ms), owed=owed and not silent, only_known=only_known
    )

    def script(pending: Pending) -> Script[None]:
        for entry in (yield from put(pending)) if broken else []:
            if not silent:
                pending.append(unprocessable_event(account, mailbox, entry.uid, entry.error or "", now_ms))

    return script


def listed(
    store: Store,
    account: AccountNumber,
    mailbox: Mailbox,
    entries: Sequence[IndexEntry],
    now_ms: int,
    *,
    silent: bool = False,
    threads: Sequence[int | None] = (),
) -> Unit[None]:
    """Index messages that are no news; those that came with an error are set aside. `threads` as MessageIndex.put."""
    readable = [position for position, entry in enumerate(entries) if entry.error is None]
    put = store.messages.put(
        mailbox.number,
        [entries[position] for position in readable],
        [threads[position] for position in readable] if threads else (),
    )
    broken = [entry for entry in entries if entry.error is not None]
    aside = set_aside(store, account, mailbox, broken, now_ms, silent=silent)

    def script(pending: Pending) -> Script[None]:
        yield from put(pending)
        yield from aside(pending)

    return script


def completed(
    store: Store, account: Account, mailbox: Mailbox, entries: Sequence[IndexEntry], now_ms: int, *, silent: bool
) -> Unit[list[IndexEntry]]:
    """Complete messages of the index with the envelopes that were read; returns them with their threads.

    From now on they are recognised wherever they turn up. Those that came with an error are set aside.
    """
    readable = [entry for entry in entries if entry.error is None]
    broken = [entry for entry in entries if entry.error is not None]
    place = placed(store, account, mailbox.number, readable)
    digests = [known_digest(account.number, entry) for entry in readable if entry.envelope is not None]
    aside = set_aside(store, account.number, mailbox, broken, now_ms, silent=silent, only_known=True)

    def script(pending: Pending) -> Script[list[IndexEntry]]:
        threads = yield from place(pending)
        yield from store.messages.fill(mailbox.number, readable, threads)(pending)
        yield from store.messages.remember(account.number, digests, now_ms)(pending)
        yield from aside(pending)
        return [*threaded(readable, threads), *broken]

    return script
