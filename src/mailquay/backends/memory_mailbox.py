"""One mailbox of the mail store in memory: messages, keywords, what has vanished (RFC 9051 §2.3, RFC 7162 §2.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import cached_property
from typing import Final

from mailquay.errors import CommandRejected
from mailquay.mime.message import Part, parse_message

DELETED: Final = "\\Deleted"
SYSTEM_FLAGS: Final = frozenset(["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"])
MAX_KEYWORDS: Final = 100
"""Keywords that one mailbox may know."""

_MAX_KEYWORD_CHARACTERS = 100
_REMEMBERED_EXPUNGES = 10_000


class StoredMessage:
    """One message in one mailbox. Its bytes never change; flags and `modseq` do, by way of the store alone."""

    def __init__(
        self,
        uid: int,
        raw: bytes,
        *,
        flags: frozenset[str],
        modseq: int,
        received: datetime,
        saved: datetime,
        email_id: str,
        thread_id: str,
    ) -> None:
        self.uid = uid
        self.raw = raw
        self.flags = flags
        self.modseq = modseq
        self.received = received
        self.saved = saved
        self.email_id = email_id
        self.thread_id = thread_id
        self.expunged = False

    @cached_property
    def part(self) -> Part:
        """The parsed message."""
        return parse_message(self.raw)


class MemoryMailbox:
    """One mailbox. `special_use` holds its attributes (RFC 6154 §2); `highestmodseq` grows with every change."""

    def __init__(self, path: str, *, uidvalidity: int, mailbox_id: str, special_use: frozenset[str]) -> None:
        self.path = path
        self.uidvalidity = uidvalidity
        self.mailbox_id = mailbox_id
        self.special_use = special_use
        self.uidnext = 1
        self.highestmodseq = 1
        self.deleted = False
        self._messages: dict[int, StoredMessage] = {}
        self._vanished: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED_EXPUNGES)
        self._forgotten_modseq = 0
        self._keywords: dict[str, str] = {}
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[StoredMessage]:
        """The messages by ascending UID."""
        return iter(self._messages.values())

    @property
    def keywords(self) -> frozenset[str]:
        """Every keyword that was ever set here."""
        return frozenset(self._keywords.values())

    def get(self, uid: int) -> StoredMessage | None:
        """The message with this UID."""
        return self._messages.get(uid)

    def after(self, uid: int) -> list[StoredMessage]:
        """The messages with a higher UID, ascending; quick when there are few."""
        found: list[StoredMessage] = []
        for message in reversed(self._messages.values()):
            if message.uid <= uid:
                break
            found.append(message)
        return found[::-1]

    def vanished_since(self, modseq: int) -> list[int]:
        """The UIDs, ascending, of messages expunged after that mod-sequence (RFC 7162 §3.2.10).

        Where that is too long ago to be remembered, all UIDs that were ever given and have no message.
        """
        if modseq < self._forgotten_modseq:
            return [uid for uid in range(1, self.uidnext) if uid not in self._messages]
        return sorted(uid for gone_at, uid in self._vanished if gone_at > modseq)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every change, until the function that is returned is called."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def spell(self, flags: Collection[str]) -> frozenset[str]:
        """These flags as this mailbox spells them: keywords ignore case (RFC 9051 §2.3.2), \\Recent is not kept.

        Raises CommandRejected (LIMIT) for more keywords than a mailbox may have.
        """
        keywords = {flag.lower(): flag for flag in flags if not flag.startswith("\\")}
        added = {lower: flag for lower, flag in keywords.items() if lower not in self._keywords}
        if len(self._keywords) + len(added) > MAX_KEYWORDS or any(
            len(flag) > _MAX_KEYWORD_CHARACTERS for flag in added
        ):
            raise CommandRejected("no more keywords here", response_code="LIMIT")
        self._keywords |= added
        return SYSTEM_FLAGS.intersection(flags).union(self._keywords[lower] for lower in keywords)

    # Changes; only the store calls these, since it counts the bytes.

    def next_modseq(self) -> int:
        """A mod-sequence above all others of the mailbox."""
        self.highestmodseq += 1
        return self.highestmodseq

    def add(self, message: StoredMessage) -> None:
        """Take a message that carries the next UID."""
        self._messages[message.uid] = message
        self.uidnext = message.uid + 1

    def remove(self, message: StoredMessage, modseq: int) -> None:
        """Forget a message; sessions that still show it keep it. `modseq` is the state in which it is gone."""
        del self._messages[message.uid]
        message.expunged = True
        if len(self._vanished) == _REMEMBERED_EXPUNGES:
            self._forgotten_modseq = self._vanished[0][0]
        self._vanished.append((modseq, message.uid))

    def tell(self) -> None:
        """Call the listeners."""
        for listener in list(self._listeners):
            listener()
