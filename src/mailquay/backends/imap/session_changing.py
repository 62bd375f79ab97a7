"""Changing messages: flags, copies and moves, expunging, appending (RFC 9051 §6.3.12, §6.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from mailquay.backends.imap.message_limit import left_over
from mailquay.backends.imap.result import CommandResult
from mailquay.backends.imap.searching import MAX_FOUND
from mailquay.backends.imap.session_base import flag_state, uid_set
from mailquay.backends.imap.session_reading import SessionReading
from mailquay.backends.interface import Appended, FlagChange, FlagState, UidMap
from mailquay.errors import CommandRejected, MessageTooLarge, Unavailable
from mailquay.wire.imap.append import Append
from mailquay.wire.imap.capability import Extension, capability_number
from mailquay.wire.imap.command import Command
from mailquay.wire.imap.command_mailbox import StatusCommand
from mailquay.wire.imap.command_message import Copy, ExpungeCommand, Store, StoreMode
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.flag import DELETED
from mailquay.wire.imap.message_limit import MessageLimit
from mailquay.wire.imap.move import Move
from mailquay.wire.imap.search import Simple
from mailquay.wire.imap.sequence_set import UidSet
from mailquay.wire.imap.status import StatusItem, StatusResponse
from mailquay.wire.imap.uidplus import AppendUid, CopyUid
from mailquay.wire.imap.writer import StreamedMessage

_SLOWEST_UPLOAD_BYTES_PER_SECOND: Final = 32 * 1024
_CHANGE_MODES: Final = {
    FlagChange.SET: StoreMode.REPLACE,
    FlagChange.ADD: StoreMode.ADD,
    FlagChange.REMOVE: StoreMode.REMOVE,
}


class SessionChanging(SessionReading):
    """The commands that change messages."""

    async def store_flags(
        self, uids: str, change: FlagChange, flags: Sequence[str], *, labels: bool = False
    ) -> list[FlagState]:
        """See MailSession.store_flags."""
        await self._need_writable()

        def store(part: UidSet) -> Store:
            return Store(
                part,
                _CHANGE_MODES[change],
                flags=None if labels else frozenset(flags),
                labels=tuple(flags) if labels else None,
            )

        results = await self._for_all(uid_set(uids), store)
        states = [flag_state(row) for result in results for row in result.all(FetchResponse)]
        return [state for state in states if state is not None]

    async def move(self, uids: str, path: str) -> UidMap | None:
        """See MailSession.move."""
        await self._need_writable()
        if not self._has("MOVE"):
            copied = await self.copy(uids, path)
            await self.expunge(uids)
            return copied
        target = self._argument(path)
        return _uid_map(await self._for_all(uid_set(uids), lambda part: Move(part, target)))

    async def copy(self, uids: str, path: str) -> UidMap | None:
        """See MailSession.copy."""
        target = self._argument(path)
        return _uid_map(await self._for_all(uid_set(uids), lambda part: Copy(part, target)))

    async def expunge(self, uids: str) -> None:
        """See MailSession.expunge."""
        await self._need_writable()
        chosen = uid_set(uids)
        if self._has("UIDPLUS"):
            await self._mark(StoreMode.ADD, chosen)
            try:
                await self._for_all(chosen, ExpungeCommand)
            except CommandRejected:
                # Some offer UIDPLUS and refuse it: then as if they did not.
                pass
            else:
                return
        # EXPUNGE removes whatever is marked: other messages' marks are taken off while ours go.
        marked = set(await self._searching.find(Simple.DELETED)) - set(await self._searching.find(chosen))
        if marked:
            await self._mark(StoreMode.REMOVE, UidSet.of(marked))
        await self._mark(StoreMode.ADD, chosen)
        await self._expunge_marked()
        if marked:
            await self._mark(StoreMode.ADD, UidSet.of(marked))

    async def _expunge_marked(self) -> None:
        """EXPUNGE, until nothing is left to remove."""
        below: UidSet | None = UidSet.span(1)
        while below is not None:
            result = await self._connection.execute(ExpungeCommand())
            below = left_over(result.code(MessageLimit), below)

    async def _mark(self, mode: StoreMode, uids: UidSet) -> None:
        await self._for_all(uids, lambda part: Store(part, mode, flags=frozenset([DELETED]), silent=True))

    async def _for_all(self, uids: UidSet, command: Callable[[UidSet], Command]) -> list[CommandResult]:
        """Run a command on all of these messages, as often as a server with a MESSAGELIMIT needs (RFC 9738 §3)."""
        results: list[CommandResult] = []
        pending = await self._parts(uids)
        while pending:
            part = pending.pop()
            try:
                result = await self._connection.execute(command(part))
            except CommandRejected as error:
                if error.response_code != "MESSAGELIMIT":
                    raise
                # Nothing was done (COPY is all or nothing), and what the limit is, not every server has said before.
                existing = await self._searching.find(part)
                if len(existing) < 2:
                    raise
                middle = len(existing) // 2
                pending += [UidSet.of(existing[middle:]), UidSet.of(existing[:middle])]
                continue
            results.append(result)
            if (rest := left_over(result.code(MessageLimit), part)) is not None:
                pending.append(rest)
        return results

    async def _parts(self, chosen: UidSet) -> list[UidSet]:
        """The set as given, or cut into such as a server with a MESSAGELIMIT takes, the oldest messages last."""
        limit = capability_number(self.capabilities, Extension.MESSAGELIMIT)
        if not limit or (not chosen.has_star() and len(chosen) <= limit):
            return [chosen]
        existing = await self._searching.find(chosen)
        return list(UidSet.of(existing).split(limit))[::-1] if existing else []

    async def append(
        self,
        path: str,
        body: AsyncIterator[bytes],
        size_bytes: int,
        *,
        flags: Sequence[str] = (),
        internal_date_ms: int | None = None,
    ) -> Appended:
        """See MailSession.append."""
        await self._check_size(path, size_bytes)
        date = None
        if internal_date_ms is not None:
            date = datetime.fromtimestamp(internal_date_ms / 1000, UTC)
        command = Append(self._argument(path), StreamedMessage(size_bytes), frozenset(flags), date)
        seconds = self._connection.command_seconds + size_bytes / _SLOWEST_UPLOAD_BYTES_PER_SECOND
        try:
            result = await self._connection.execute(command, timeout_seconds=seconds, body=body)
        except CommandRejected as error:
            if error.response_code == "TOOBIG":
                raise MessageTooLarge(f"the mail server refuses a message of {size_bytes} bytes: {error}") from error
            raise
        code = result.code(AppendUid)
        return Appended() if code is None else Appended(code.uidvalidity, code.uid)

    async def _check_size(self, path: str, size_bytes: int) -> None:
        """Raise MessageTooLarge when the server says beforehand that it takes no message of this size (RFC 7889)."""
        limit = capability_number(self.capabilities, Extension.APPENDLIMIT)
        if limit is None and self._has(Extension.APPENDLIMIT):
            # Each mailbox has a limit of its own, or none (§2).
            try:
                command = StatusCommand(self._argument(path), (StatusItem.APPENDLIMIT,))
                answer = (await self._connection.execute(command)).last(StatusResponse)
            except CommandRejected:
                # Then the server tells by refusing the message.
                return
            limit = answer.appendlimit if answer is not None else None
        if limit is not None and size_bytes > limit:
            raise MessageTooLarge(
                f"the message has {size_bytes} bytes, and the mail server takes messages of up to {limit} bytes"
            )

    async def _need_writable(self) -> None:
        if self._selected is None or self._writable:
            return
        before = self._selected_uidvalidity
        opened = await self.open_mailbox(self._selected, writable=True)
        if opened.uidvalidity != before:
            # The UIDs at hand mean messages of the mailbox that was open, which has another path now, or none.
            raise Unavailable("another mailbox has taken the place of the one that was open")


def _uid_map(results: Sequence[CommandResult]) -> UidMap | None:
    """Where all of them went; None when the server leaves out any of it."""
    uids: dict[int, int] = {}
    code: CopyUid | None = None
    for result in results:
        code = result.code(CopyUid)
        if code is None or len(code) > MAX_FOUND:
            return None
        uids |= dict(code.pairs())
    return None if code is None else UidMap(code.uidvalidity, uids)
