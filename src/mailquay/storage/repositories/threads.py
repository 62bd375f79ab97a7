"""Threads of our own, for servers that have none: which keys of messages belong together, and who is in a thread.

A thread is named by a key, the root of all keys that were ever held together with it. `thread_links` leads from every
other key to it. When two threads turn out to be one, the messages of the one are moved to the other, and its name leads
there from then on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber
from mailquay.model.message import MessageRef, Uid
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Pending, Row, Run, RunMany, Script, Unit
from mailquay.storage.thread_forest import Family, ThreadForest

MOVED_AT_MOST = 1000
"""A thread with more messages is not moved into another; those of others are moved to it instead."""

_LONGEST_WAY = 1000
"""How many links are followed, one statement each. Every write shortens the ways that it went: two are rare."""

_FEW = 100


class ThreadRepository:
    """Reads and units of work about threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(self, account: AccountNumber, families: Sequence[Family]) -> Unit[list[int | None]]:
        """Hold the keys of each family together from now on; returns the thread of each, None for an empty family.

        To be run by the owner of the account alone, under its fence.
        """

        def script(_pending: Pending) -> Script[list[int | None]]:
            forest = ThreadForest((yield from _links(account, families)))
            sizes: list[Row] = []
            if rivals := forest.rivals(families):
                sizes = yield Run("thread_sizes", (to_json(rivals), MOVED_AT_MOST + 1))
            peopled = {root for root, size in sizes if size}
            heavy = {root for root, size in sizes if size > MOVED_AT_MOST}
            threads = [forest.join(family, heavy) if family else None for family in families]
            if changed := forest.changed():
                yield RunMany("thread_link_put", [(account, *link) for link in changed])
            if moved := [(former, now) for former, now in forest.merged() if former in peopled]:
                yield RunMany("thread_move", moved)
            return [None if thread is None else forest.root(thread) for thread in threads]

        return script

    async def roots(self, account: AccountNumber, keys: Sequence[int]) -> list[int]:
        """The thread that each key belongs to: a name of the past leads to the present one."""
        read = self._database.point if len(keys) <= _FEW else self._database.fetch
        reading = _links(account, [keys])
        try:
            statement = next(reading)
            while True:
                statement = reading.send(await read(statement.name, *statement.params))
        except StopIteration as end:
            forest = ThreadForest(end.value)
        return [forest.root(key) for key in keys]

    async def messages(self, account: AccountNumber, thread: int) -> list[MessageRef]:
        """The messages of a thread that the index holds, in all mailboxes, by mailbox and UID."""
        rows = await self._database.fetch("thread_messages", account, thread)
        return [MessageRef(MailboxNumber(mailbox), Uid(uid)) for mailbox, uid in rows]


def _links(account: AccountNumber, families: Iterable[Family]) -> Generator[Run, list[Row], dict[int, int]]:
    """Read the links of these keys, and those further on, up to the roots."""
    links: dict[int, int] = {}
    asked: set[int] = set()
    wanted = {key for family in families for key in family}
    for _ in range(_LONGEST_WAY):
        if not wanted:
            break
        asked |= wanted
        rows = yield Run("thread_links_of", (account, to_json(list(wanted))))
        links.update((link, thread) for link, thread in rows)
        wanted = {thread for _, thread in rows} - asked
    return links
