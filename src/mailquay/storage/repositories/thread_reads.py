"""What is read of threads: which there are in a mailbox, and who is in them, ours and those of servers alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import IndexEntry
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Row
from mailquay.storage.repositories.messages import read_entry

ThreadKey = int | str
"""A thread of ours by its number, one of the server by the id that it gives."""


@dataclass(frozen=True, slots=True)
class ThreadSums:
    """How many messages of a thread the index holds, how many unseen, and when the first and the last came (ms)."""

    messages: int
    unseen: int
    first_ms: int | None
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class ThreadMember:
    """A message of a thread, and the mailbox in which it stands."""

    mailbox: MailboxNumber
    entry: IndexEntry

    @property
    def thread(self) -> ThreadKey | None:
        """The thread that it is in."""
        return self.entry.thread_id if self.entry.thread_id is not None else self.entry.thread


class ThreadReads:
    """Reads of threads, for lists and single ones; mailboxes that have vanished are left out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(self, mailbox: MailboxNumber, *, limit: int, offset: int) -> list[int]:
        """The UIDs of the newest message of each thread in a mailbox, descending."""
        return [uid for (uid,) in await self._database.fetch("thread_heads", mailbox, limit, offset)]

    async def sums(self, account: AccountNumber, threads: Sequence[ThreadKey]) -> dict[ThreadKey, ThreadSums]:
        """The sums of these threads over all mailboxes."""
        found: dict[ThreadKey, ThreadSums] = {}
        for kind, keys in _by_kind(threads):
            for key, messages, unseen, first_ms, last_ms in await self._database.fetch(
                f"{kind}_sums", account, to_json(keys)
            ):
                found[key] = ThreadSums(int(messages), int(unseen), first_ms, last_ms)
        return found

    async def latest(self, account: AccountNumber, threads: Sequence[ThreadKey], each: int) -> list[ThreadMember]:
        """Up to so many messages of each thread, the last received first."""
        found: list[ThreadMember] = []
        for kind, keys in _by_kind(threads):
            rows = await self._database.fetch(f"{kind}_latest", account, to_json(keys), each)
            found += [_member(row[:-1]) for row in rows]
        return found

    async def members(self, account: AccountNumber, thread: ThreadKey, limit: int) -> list[ThreadMember]:
        """The messages of a thread, the first received first, up to a number."""
        [(kind, _)] = _by_kind([thread])
        return [_member(row) for row in await self._database.fetch(f"{kind}_members", account, thread, limit)]


def _by_kind(threads: Sequence[ThreadKey]) -> list[tuple[str, list[ThreadKey]]]:
    ours: list[ThreadKey] = [key for key in threads if isinstance(key, int)]
    servers: list[ThreadKey] = [key for key in threads if isinstance(key, str)]
    return [(kind, keys) for kind, keys in (("our_thread", ours), ("server_thread", servers)) if keys]


def _member(row: Row) -> ThreadMember:
    return ThreadMember(MailboxNumber(row[0]), read_entry(row[1:]))
