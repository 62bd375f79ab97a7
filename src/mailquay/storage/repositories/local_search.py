"""Searches of the index over many mailboxes at once, of one account or of several."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailquay.mime.words import Sought
from mailquay.model.mailbox import Mailbox, MailboxNumber
from mailquay.model.message import IndexEntry, MessageRef, Uid
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Database, Row
from mailquay.storage.repositories.mailboxes import read_mailbox
from mailquay.storage.repositories.messages import folded, read_entry

_ALL = 2**40
_READ_AT_ONCE = 500
"""Rows that are read on the loop; more of them would keep other requests waiting for milliseconds."""
_FLAGS = ("seen", "flagged", "answered", "draft", "deleted")


@dataclass(frozen=True, slots=True)
class LocalTerms:
    """What messages are looked for; all of it must apply. Texts are found anywhere in what they are looked for in.

    `words` are found in the text index, which also has the recipients. Sizes in bytes and times in milliseconds:
    `larger` and `smaller` exclusive, `…_from` inclusive, `…_before` exclusive. `received` is the server's date, `dated`
    that of the message. `thread_id` is the server's; `threads` are ours, of `email_ids` and of those any.
    """

    subject: str = ""
    sender: str = ""
    to: str = ""
    cc: str = ""
    bcc: str = ""
    words: tuple[Sought, ...] = ()
    larger: int | None = None
    smaller: int | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)
    received_from_ms: int | None = None
    received_before_ms: int | None = None
    dated_from_ms: int | None = None
    dated_before_ms: int | None = None
    thread_id: str | None = None
    threads: tuple[int, ...] | None = None
    email_ids: tuple[str, ...] | None = None

    @property
    def needs_texts(self) -> bool:
        """Whether only the text index knows."""
        return bool(self.words or self.to or self.cc or self.bcc)


@dataclass(frozen=True, slots=True)
class Found:
    """How many messages were found, and one page of them, the last dated first."""

    total: int
    places: tuple[MessageRef, ...]


class LocalSearch:
    """Reads that any node can do; each of them may take long, and is given so many seconds.

    All raise TimeoutError when these are over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        mailboxes: Mapping[int, Sequence[int]],
        terms: LocalTerms,
        *,
        limit: int = _ALL,
        offset: int = 0,
        seconds: float,
    ) -> Found:
        """Messages of mailboxes, which are given by the numbers of their accounts."""
        numbers = [number for several in mailboxes.values() for number in several]
        flags = [-1 if terms.flags.get(name) is None else int(terms.flags[name]) for name in _FLAGS]
        texts = (terms.subject, terms.sender, terms.to, terms.cc, terms.bcc)
        params: tuple[Any, ...] = (
            to_json(numbers),
            *map(folded, texts),
            -1 if terms.larger is None else terms.larger,
            -1 if terms.smaller is None else terms.smaller,
            *flags,
            terms.received_from_ms,
            terms.received_before_ms,
            terms.thread_id or "",
            "" if terms.email_ids is None else to_json(list(terms.email_ids)),
            terms.dated_from_ms,
            terms.dated_before_ms,
            limit,
            offset,
            "" if terms.threads is None else to_json(list(terms.threads)),
        )
        if terms.words:
            sought = [_query(account, several, terms.words) for account, several in mailboxes.items() if several]
            rows = await self._database.search(seconds, "local_search_words", *params, to_json(sought))
        else:
            rows = await self._database.search(seconds, "local_search", *params)
        total = next(row[0] for row in rows if not row[1])
        page = sorted(((row[0], row[1], row[2]) for row in rows if row[1]), reverse=True)
        return Found(total, tuple(MessageRef(MailboxNumber(mailbox), Uid(uid)) for _, mailbox, uid in page))

    async def entries(self, places: Sequence[MessageRef]) -> dict[MessageRef, IndexEntry]:
        """What the index has of messages, wherever they stand."""
        pairs = to_json([(place.mailbox, place.uid) for place in places])
        rows = await self._database.fetch("local_entries", pairs)
        return {MessageRef(MailboxNumber(row[0]), Uid(row[1])): read_entry(row[1:]) for row in rows}

    async def mailboxes(self, accounts: Sequence[int]) -> list[Mailbox]:
        """The mailboxes of several accounts."""
        rows = await self._database.fetch("local_mailboxes", to_json(list(accounts)))
        if len(rows) <= _READ_AT_ONCE:
            return _read_mailboxes(rows)
        return await asyncio.to_thread(_read_mailboxes, rows)

    async def threads(self, accounts: Sequence[int], thread: int) -> tuple[int, ...]:
        """By what names a thread of ours has gone since it had this one, in whichever of these accounts it is."""
        rows = await self._database.fetch("local_threads", to_json(list(accounts)), thread)
        return tuple(number for (number,) in rows)

    async def with_unread(self, mailboxes: Sequence[int]) -> set[int]:
        """Those of the mailboxes that have messages without an envelope."""
        return {number for (number,) in await self._database.fetch("local_unread", to_json(list(mailboxes)))}


def _read_mailboxes(rows: Sequence[Row]) -> list[Mailbox]:
    return [read_mailbox(row) for row in rows]


def _query(account: int, mailboxes: Sequence[int], words: Sequence[Sought]) -> dict[str, Any]:
    """What is looked for in one account, in the languages of both databases. No word holds a quote or a blank."""
    scope = f"{account}·"
    phrases, lexemes, in_order = [], [], []
    for sought in words:
        phrases.append('"' + " ".join(scope + word for word in sought.words) + '"' + ("*" if sought.prefix else ""))
        *whole, last = (f"'{scope}{word}'" for word in sought.words)
        lexemes += [*whole, last + (":*" if sought.prefix else "")]
        if len(sought.words) > 1:
            in_order.append(" " + " ".join(sought.words) + ("" if sought.prefix else " "))
    return {
        "match": " AND ".join(phrases),
        "first": min(mailboxes),
        "last": max(mailboxes),
        "lexemes": " & ".join(lexemes),
        "phrases": in_order,
    }
