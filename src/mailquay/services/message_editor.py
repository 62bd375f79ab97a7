"""Changing messages: flags, mailbox, deletion; the index and its events follow in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailquay.backends.interface import FlagChange, FlagState, MailSession, UidMap
from mailquay.errors import MessageNotFound, Unsupported
from mailquay.model.account import Account
from mailquay.model.mailbox import ListedMailbox, Mailbox
from mailquay.services import identifiers
from mailquay.services.index_changes import flags_seen, messages_gone
from mailquay.services.message_request import MessageChanges
from mailquay.services.message_search import MessageFinder
from mailquay.storage.interface import run_together

GONE_FOR_GOOD = ("\\Trash", "\\Junk")
"""What is deleted there goes nowhere else."""
Step = tuple[FlagChange, tuple[str, ...]]


class MessageEditor(MessageFinder):
    """Changes single messages. Each change is answered when the server has confirmed it and our index shows it."""

    async def update(
        self, account: Account, message_id: str, changes: MessageChanges, *, timeout_seconds: float
    ) -> dict[str, Any]:
        """Change flags and labels; says of each kind of change that it was made.

        Raises MessageNotFound, Unsupported for labels where the server has none, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        done: dict[str, Any] = {}
        async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
            flags, labels = changes_to_make(session, changes)
            states: list[FlagState] = []
            for kind, values in flags:
                states = await session.store_flags(str(ref.uid), kind, values)
                done.setdefault("flags", {})[PUBLIC[kind]] = True
            for kind, values in labels:
                await session.store_flags(str(ref.uid), kind, values, labels=True)
                done.setdefault("labels", {})[PUBLIC[kind]] = True
            state = next((state for state in states if state.uid == ref.uid), None)
            if state is None or labels:
                state = await current_flags(session, ref.uid)
        await self._seen(account, mailbox, [state])
        return done

    async def _seen(self, account: Account, mailbox: Mailbox, states: Sequence[FlagState]) -> None:
        """Store what the server says of messages; those seen by a label stand in the index of another mailbox."""
        fence = self._access.fence(account.number)
        await self._store.commit(flags_seen(self._store, fence, mailbox, states, self._clock.now_ms()))
        if mailbox.listing.label:
            self._access.nudge(account.number, [mailbox.listing.path])

    async def move(self, account: Account, message_id: str, path: str, *, timeout_seconds: float) -> dict[str, Any]:
        """Move a message to another mailbox; its new id where the server tells. Moved to a label, it keeps its id.

        Raises MessageNotFound, MailboxNotFound, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        target = await self._mailboxes.find(account, path)
        if target.number == mailbox.number:
            return {"path": target.listing.path, "id": message_id, "uid": ref.uid}
        if mailbox.listing.all_mail and target.listing.label:
            await self._give_label(account, mailbox, ref.uid, target, timeout_seconds)
            return {"path": target.listing.path, "id": message_id, "uid": ref.uid}
        uid = await self._move(account, mailbox, ref.uid, target, timeout_seconds)
        answer: dict[str, Any] = {"path": target.listing.path}
        if uid is not None:
            answer |= {"id": identifiers.message_id(target.number, uid), "uid": uid}
        return answer

    async def _give_label(
        self, account: Account, mailbox: Mailbox, uid: int, target: Mailbox, timeout_seconds: float
    ) -> None:
        """What is moved out of the mailbox of all labels does not leave it: it gets one more of them."""
        async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
            await current_flags(session, uid)
            await session.store_flags(str(uid), FlagChange.ADD, [label_of(target.listing)], labels=True)
            state = await current_flags(session, uid)
        await self._seen(account, mailbox, [state])

    async def _move(
        self, account: Account, mailbox: Mailbox, uid: int, target: Mailbox, timeout_seconds: float
    ) -> int | None:
        async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
            await current_flags(session, uid)
            placed = await session.move(str(uid), target.listing.path)
        await self._left(account, mailbox, [uid], target)
        return None if placed is None or not at_known_place(placed, target) else placed.uids.get(uid)

    async def delete(self, account: Account, message_id: str, *, force: bool, timeout_seconds: float) -> dict[str, Any]:
        """Move a message to the trash; delete it for good when it is there (or in Junk), or with `force`.

        Raises MessageNotFound, NotOperational, Unavailable.
        """
        mailbox, ref = await self._locate(account, message_id)
        trash = await self._mailboxes.with_special_use(account, "\\Trash")
        if force or trash is None or mailbox.listing.special_use in GONE_FOR_GOOD:
            async with self._opened(account, mailbox, timeout_seconds, writable=True) as session:
                await current_flags(session, ref.uid)
                await session.expunge(str(ref.uid))
            await self._left(account, mailbox, [ref.uid], None)
            return {"deleted": True}
        uid = await self._move(account, mailbox, ref.uid, trash, timeout_seconds)
        moved: dict[str, Any] = {"destination": trash.listing.path}
        if uid is not None:
            moved["message"] = identifiers.message_id(trash.number, uid)
        return {"deleted": False, "moved": moved}

    async def _left(self, account: Account, mailbox: Mailbox, uids: Sequence[int], target: Mailbox | None) -> None:
        """Store that messages have left a mailbox, and have the one that they went to looked at."""
        fence = self._access.fence(account.number)
        touched = [mailbox] if target is None else [mailbox, target]
        gone = messages_gone(self._store, fence, mailbox, uids, self._clock.now_ms())
        await self._store.commit(run_together(gone, *(self._store.mailboxes.doubt(box.number) for box in touched)))
        self._access.nudge(account.number, [box.listing.path for box in touched])


_LABELS_BY_USE = {"\\Inbox": "\\Inbox", "\\Sent": "\\Sent", "\\Drafts": "\\Draft", "\\Flagged": "\\Starred"}
PUBLIC = {FlagChange.ADD: "add", FlagChange.REMOVE: "delete", FlagChange.SET: "set"}


def label_of(listing: ListedMailbox) -> str:
    """The label that a mailbox stands for: Gmail's own begin with a backslash, all others are paths."""
    if "\\important" in listing.attributes:
        return "\\Important"
    return _LABELS_BY_USE.get(listing.special_use or "", listing.path)


def changes_to_make(session: MailSession, changes: MessageChanges) -> tuple[list[Step], list[Step]]:
    """The changes of flags and those of labels, in order.

    Raises Unsupported for labels where the server has none.
    """
    flags = _steps(changes.add, changes.delete, changes.set)
    labels = _steps(changes.labels_add, changes.labels_delete, changes.labels_set)
    if labels and "X-GM-EXT-1" not in session.capabilities:
        raise Unsupported("this server keeps no labels")
    return flags, labels


def at_known_place(placed: UidMap, target: Mailbox) -> bool:
    """Whether the UIDs that messages have at their new place make ids of ours."""
    return target.cursor is None or target.cursor.uidvalidity == placed.uidvalidity


def _steps(add: tuple[str, ...] | None, delete: tuple[str, ...] | None, whole: tuple[str, ...] | None) -> list[Step]:
    """What is to be stored, in order; setting all wins over adding and deleting."""
    if whole is not None:
        return [(FlagChange.SET, whole)]
    steps: list[Step] = []
    if add:
        steps.append((FlagChange.ADD, add))
    if delete:
        steps.append((FlagChange.REMOVE, delete))
    return steps


async def current_flags(session: MailSession, uid: int) -> FlagState:
    """The flags that a message has now: commands on UIDs that are not there succeed, so that we must look first."""
    async for batch in session.fetch_flags(str(uid)):
        for state in batch:
            if state.uid == uid:
                return state
    raise MessageNotFound("there is no such message")
