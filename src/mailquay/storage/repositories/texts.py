"""The text index: the words of messages and their recipients, for accounts that want them to be kept.

A row belongs to a row of the index of messages, and the database itself takes it away with that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailquay.model.mailbox import TEXTS_AS_WANTED, TEXTS_COMPLETE, MailboxNumber
from mailquay.model.message import IndexEntry
from mailquay.storage.interface import Database, Pending, Run, RunMany, Script, Unit
from mailquay.storage.repositories.messages import folded_addresses, held, read_entry

_SHARE_BYTES = 16
_MOST_BYTES = 900_000
"""A message may have so many bytes of different words, 16 more counted for each: PostgreSQL takes no more than 1 MB."""


@dataclass(frozen=True, slots=True)
class MessageWords:
    """What is looked for in a message: the words of its text, in their order. The entry holds its recipients."""

    entry: IndexEntry
    words: str


def joined_words(words: Sequence[str]) -> str:
    """Words as they are stored, as many of the first as fit into a row."""
    left, seen = _MOST_BYTES, set()
    for position, word in enumerate(words):
        if word not in seen:
            seen.add(word)
            left -= len(word.encode()) + _SHARE_BYTES
            if left < 0:
                return " ".join(words[:position])
    return " ".join(words)


class TextIndex:
    """Reads and units of work about the texts of messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, mailbox: MailboxNumber, texts: Sequence[MessageWords]) -> Unit[None]:
        """Add texts of messages that are in the index with an envelope and have none yet.

        Nothing happens when the account does not want them any more, or the mailbox has been removed.
        """
        recipients = [_recipients(one.entry) for one in texts]

        def script(_pending: Pending) -> Script[None]:
            keeper = (yield from held(mailbox)) if texts else None
            if keeper is None or not keeper.keeps_texts:
                return
            place = [(mailbox, one.entry.uid, keeper.account) for one in texts]
            rows = zip(place, recipients, texts, strict=True)
            yield RunMany("text_put", [(*key, *addresses, one.words) for key, addresses, one in rows])

        return script

    async def lacking(
        self, mailbox: int, *, below: int = 2**32, since_ms: int | None = None, limit: int
    ) -> list[IndexEntry]:
        """Messages with an envelope and no text, received at a time or later, below a UID; the highest UID first."""
        since = -(2**63) + 1 if since_ms is None else since_ms
        return [read_entry(row) for row in await self._database.fetch("text_lacking", mailbox, below, since, limit)]

    def complete(self, mailbox: MailboxNumber, seen_state: int, *, everything: bool) -> Unit[bool]:
        """Note that no text is lacking, of all messages or of those that are read in advance.

        False, and nothing noted, when a message was indexed without a text since the mailbox was in `seen_state`.
        """
        state = TEXTS_COMPLETE if everything else TEXTS_AS_WANTED

        def script(_pending: Pending) -> Script[bool]:
            return bool((yield Run("mailbox_has_texts", (mailbox, seen_state, state))))

        return script


def _recipients(entry: IndexEntry) -> tuple[str, str, str]:
    envelope = entry.envelope
    if envelope is None:
        return "", "", ""
    return folded_addresses(envelope.to), folded_addresses(envelope.cc), folded_addresses(envelope.bcc)
