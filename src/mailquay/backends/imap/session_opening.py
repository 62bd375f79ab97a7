"""Opening mailboxes, and what has changed in them since (RFC 9051 §6.3.2, RFC 7162 §3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.session_base import SessionBase, flag_state, uid_set
from mailquay.backends.imap.slot import StreamingEvent
from mailquay.backends.interface import FlagState, MailboxChanges, OpenedMailbox
from mailquay.errors import CommandRejected, RemoteProtocolError, Unavailable
from mailquay.model.mailbox_state import KnownState, UidRanges
from mailquay.wire.imap.command_mailbox import Select, Unselect
from mailquay.wire.imap.condstore import HighestModSeq, QresyncParameter, Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.response import (
    Exists,
    LiteralChunk,
    LiteralEnd,
    LiteralStart,
    TaggedResponse,
    UntaggedResponse,
)
from mailquay.wire.imap.response_code import MailboxId, PermanentFlags, UidNext, UidValidity
from mailquay.wire.imap.sequence_set import UidSet

_MOST_TOLD: Final = 20_000
"""Of so many changes one SELECT may tell; more are asked for in windows."""


class _Told:
    """What a SELECT with QRESYNC tells: of the mailbox, and what has changed in it, as far as that can be kept."""

    def __init__(self) -> None:
        self.of_mailbox: list[UntaggedResponse] = []
        self._changed: list[FlagState] = []
        self._vanished: list[Vanished] = []
        self._count = 0

    def take(self, event: StreamingEvent) -> None:
        """One response to the command. Raises RemoteProtocolError when it tells of the mailbox without end."""
        if isinstance(event, FetchResponse):
            state = flag_state(event)
            self._count += 1
            if state is not None and self._count <= _MOST_TOLD:
                self._changed.append(state)
        elif isinstance(event, Vanished):
            self._count += len(event.uids.ranges)
            if self._count <= _MOST_TOLD:
                self._vanished.append(event)
        elif not isinstance(event, LiteralStart | LiteralChunk | LiteralEnd):
            self.of_mailbox.append(event)
            if len(self.of_mailbox) > _MOST_TOLD:
                raise RemoteProtocolError(f"more than {_MOST_TOLD} responses of a SELECT about the mailbox")

    def changes(self) -> MailboxChanges | None:
        """All that has changed; None when that was too much."""
        if self._count > _MOST_TOLD:
            return None
        return MailboxChanges(tuple(self._changed), vanished_ranges(self._vanished))


class SessionOpening(SessionBase):
    """SELECT and EXAMINE."""

    async def open_mailbox(
        self, path: str, *, writable: bool = False, since: KnownState | None = None
    ) -> OpenedMailbox:
        """See MailSession.open_mailbox."""
        qresync = None if since is None else await self._qresync(since)
        self._selected = None
        condstore = self._has("CONDSTORE") and qresync is None
        command = Select(self._argument(path), read_only=not writable, condstore=condstore, qresync=qresync)
        result, changes = await self._select(path, command)
        self._selected, self._writable = path, writable
        exists, validity, uidnext = result.last(Exists), result.code(UidValidity), result.code(UidNext)
        self._messages = exists.count if exists is not None else 0
        self._searching.opened(exists.count if exists is not None else None)
        self._selected_uidvalidity = validity.value if validity is not None else None
        modseq, permanent, object_id = result.code(HighestModSeq), result.code(PermanentFlags), result.code(MailboxId)
        # Where not all is told of the changes, nothing of it helps: they are asked for (RFC 9738 §3).
        whole = result.code(MessageLimit) is None
        told = qresync is not None and modseq is not None and modseq.value > 0 and whole
        same = qresync is not None and validity is not None and validity.value == qresync.uidvalidity
        return OpenedMailbox(
            path=path,
            uidvalidity=self._selected_uidvalidity,
            uidnext=uidnext.value if uidnext is not None else None,
            messages=self._messages,
            highestmodseq=modseq.value if modseq is not None and modseq.value else None,
            permanent_flags=permanent.flags if permanent is not None else None,
            mailbox_id=object_id.object_id if object_id is not None else None,
            changes=changes if told and same else None,
        )

    async def _select(self, path: str, command: Select) -> tuple[CommandResult, MailboxChanges | None]:
        """Run the command; returns what it tells of the mailbox and of its changes, None for more than fit into memory.

        The rest of such an answer is read and dropped: the connection is of use all the same.
        """
        if command.qresync is None:
            return await self._on_existing(path, self._connection.execute(command)), None
        told = _Told()
        tagged = await self._on_existing(path, self._read_all(command, told))
        return CommandResult(tagged, told.of_mailbox), told.changes()

    async def _read_all(self, command: Select, told: _Told) -> TaggedResponse:
        """Raises Unavailable, and closes the connection, when no change is told, and no end, in the usual time.

        Whatever else the server says buys it none: some ask for patience again and again while their storage hangs.
        """
        seconds = self._connection.command_seconds
        now = asyncio.get_running_loop().time
        ended: list[TaggedResponse] = []
        try:
            async with (
                asyncio.timeout(seconds) as deadline,
                aclosing(self._connection.execute_streaming(command, on_end=ended.append)) as runs,
            ):
                async for run in runs:
                    for event in run:
                        told.take(event)
                    if any(isinstance(event, FetchResponse | Vanished) for event in run):
                        deadline.reschedule(now() + seconds)
        except TimeoutError as error:
            await self._connection.aclose()
            raise Unavailable(
                f"the server did not answer {command.wire_name} in {seconds:g} s", code="ETIMEDOUT"
            ) from error
        [tagged] = ended
        return tagged

    async def _qresync(self, since: KnownState) -> QresyncParameter | None:
        """What to say of `since` in SELECT; None when the server does not do QRESYNC, whatever it offers."""
        if not self._has("QRESYNC"):
            return None
        if "QRESYNC" not in self._connection.enabled:
            if self._selected is not None:
                # Enabled while a mailbox is open, it would change what is said of that one (RFC 5161 §3.1).
                if not self._has("UNSELECT"):
                    return None
                self._selected = None
                await self._connection.execute(Unselect())
            try:
                enabled = await self._connection.enable("QRESYNC")
            except CommandRejected:
                # It is one way of several to find out what changed.
                return None
            if "QRESYNC" not in enabled:
                return None
        known = uid_set(since.uids) if since.uids is not None else None
        return QresyncParameter(since.uidvalidity, since.highestmodseq, known)


def vanished_ranges(answers: Iterable[Vanished]) -> UidRanges:
    """All the UIDs that VANISHED responses name."""
    ranges = [one for answer in answers for one in answer.uids.ranges]
    return UidRanges(UidSet(ranges).ranges if ranges else ())
