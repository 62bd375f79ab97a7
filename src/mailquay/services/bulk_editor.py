"""Changing all messages that a search finds: in sets of some hundred, the index and its events following each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mailquay.backends.interface import FlagState, MailSession, SearchTerms
from mailquay.model.account import Account
from mailquay.model.mailbox import Mailbox
from mailquay.services import identifiers
from mailquay.services.message_editor import (
    GONE_FOR_GOOD,
    PUBLIC,
    MessageEditor,
    Step,
    at_known_place,
    changes_to_make,
    label_of,
)
from mailquay.services.message_request import MessageChanges
from mailquay.services.sequences import sequence_set

_TOGETHER = 500
"""UIDs far from each other take some 10 bytes each, and servers limit lines. As many go into one transaction."""

IdMap = list[list[str]]
"""Pairs of former and present message ids."""


class MessageService(MessageEditor):
    """Reads, searches and changes, one message or many.

    What fails in the middle is told as a failure; what was changed by then stays changed, here and on the server.
    """

    async def update_all(
        self, account: Account, path: str, terms: SearchTerms, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Change flags and labels of all messages found; says of each kind of change that it was made.

        Raises MailboxNotFound, Unsupported for labels or terms that the server does not know, NotOperational,
        Unavailable.
        """
        mailbox, uids = await self._found(account, path, terms, timeout_seconds, by_words=False)
        done: dict[str, Any] = {}
        async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
            flags, labels = changes_to_make(session, changes)
            for some in _sets(uids):
                states = await _stored(session, some, flags, labels)
                await self._seen(account, mailbox, states)
        for name, steps in (("flags", flags), ("labels", labels)):
            if steps:
                done[name] = {PUBLIC[kind]: True for kind, _ in steps}
        return done

    async def move_all(
        self, account: Account, path: str, terms: SearchTerms, target_path: str, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Move all messages found; `idMap` names the ids that they had and have, where the server tells of all.

        Raises MailboxNotFound, Unsupported, NotOperational, Unavailable.
        """
        target = await self._mailboxes.find(account, target_path)
        mailbox, uids = await self._found(account, path, terms, timeout_seconds, by_words=False)
        answer: dict[str, Any] = {"path": target.listing.path}
        if target.number == mailbox.number:
            return answer | {"idMap": [_ids(mailbox, uid, mailbox, uid) for uid in sorted(uids)]}
        if mailbox.listing.all_mail and target.listing.label:
            changes = MessageChanges(labels_add=(label_of(target.listing),))
            async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
                _, labels = changes_to_make(session, changes)
                for some in _sets(uids):
                    await self._seen(account, mailbox, await _stored(session, some, [], labels))
            return answer | {"idMap": [_ids(mailbox, uid, mailbox, uid) for uid in sorted(uids)]}
        id_map = await self._move_set(account, mailbox, uids, target, timeout_seconds)
        return answer if id_map is None else answer | {"idMap": id_map}

    async def delete_all(
        self, account: Account, path: str, terms: SearchTerms, *, force: bool, timeout_seconds: float
    ) -> dict[str, Any]:
        """Move all messages found to the trash, or delete them for good as `delete` does.

        Raises MailboxNotFound, Unsupported, NotOperational, Unavailable.
        """
        mailbox, uids = await self._found(account, path, terms, timeout_seconds, by_words=False)
        trash = await self._mailboxes.with_special_use(account, "\\Trash")
        if force or trash is None or mailbox.listing.special_use in GONE_FOR_GOOD:
            async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
                for some in _sets(uids):
                    await session.expunge(sequence_set(some))
                    await self._left(account, mailbox, some, None)
            return {"deleted": True}
        id_map = await self._move_set(account, mailbox, uids, trash, timeout_seconds)
        moved: dict[str, Any] = {"destination": trash.listing.path}
        return {"deleted": False, "moved": moved if id_map is None else moved | {"idMap": id_map}}

    async def _move_set(
        self, account: Account, mailbox: Mailbox, uids: set[int], target: Mailbox, timeout_seconds: float
    ) -> IdMap | None:
        """Move messages; None when the server has not told of all where they are now."""
        id_map: IdMap | None = []
        async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
            for some in _sets(uids):
                placed = await session.move(sequence_set(some), target.listing.path)
                await self._left(account, mailbox, some, target)
                if placed is None or not at_known_place(placed, target):
                    id_map = None
                elif id_map is not None:
                    # One that had gone before has no new place.
                    id_map += [
                        [
                            identifiers.message_id(mailbox.number, uid),
                            identifiers.message_id(target.number, placed.uids[uid]),
                        ]
                        for uid in some
                        if uid in placed.uids
                    ]
        return id_map


def _ids(before: Mailbox, uid: int, after: Mailbox, new_uid: int) -> list[str]:
    return [identifiers.message_id(before.number, uid), identifiers.message_id(after.number, new_uid)]


def _sets(uids: set[int]) -> Iterator[list[int]]:
    ordered = sorted(uids)
    for start in range(0, len(ordered), _TOGETHER):
        yield ordered[start : start + _TOGETHER]


async def _stored(
    session: MailSession, uids: Sequence[int], flags: Sequence[Step], labels: Sequence[Step]
) -> list[FlagState]:
    """Change some messages; returns what the server says of them afterwards."""
    named, states = sequence_set(uids), dict[int, FlagState]()
    for kind, values in flags:
        states |= {state.uid: state for state in await session.store_flags(named, kind, values)}
    for kind, values in labels:
        await session.store_flags(named, kind, values, labels=True)
    # A server need not tell of those that had the flags already (RFC 9051 §6.4.6), and tells nothing of labels.
    untold = uids if labels else [uid for uid in uids if uid not in states]
    if untold:
        async for batch in session.fetch_flags(sequence_set(untold)):
            states |= {state.uid: state for state in batch}
    chosen = set(uids)
    return [state for uid, state in states.items() if uid in chosen]
