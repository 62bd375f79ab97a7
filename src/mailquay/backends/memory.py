"""A mail store in memory: one user's mailboxes with everything that IMAP asks of them (RFC 9051 §2.3, RFC 7162 §2.2).

There is no I/O in it and no lock: it belongs to one event loop. What a session saw stays readable after others have
expunged it, since a session may learn of that only later (RFC 9051 §7.5.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from mailquay.backends.memory_mailbox import MemoryMailbox, StoredMessage
from mailquay.errors import CommandRejected, MailboxNotFound
from mailquay.mime.references import message_ids

DELIMITER: Final = "/"
_NOT_IN_ALL_MAIL: Final = frozenset(["\\Junk", "\\Trash"])
_MAX_MAILBOXES = 1000
_MAX_PATH_CHARACTERS = 500
_MAX_DEPTH = 20
DEFAULT_QUOTA_BYTES: Final = 256 * 1024 * 1024


class StoreEventKind(Enum):
    """What has happened in a store."""

    ARRIVED = "arrived"
    EXPUNGED = "expunged"
    FLAGS = "flags"
    MAILBOX_NAME = "mailbox name"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """Something that has happened to a mailbox; `old_path` is set after a rename."""

    kind: StoreEventKind
    path: str
    old_path: str | None = None


class MemoryMailStore:
    """All mailboxes of one user, INBOX always among them.

    `clock` gives the time; `first_uidvalidity` must grow from one life of the user to the next. `quota_bytes` bounds
    what all messages together may weigh.
    """

    def __init__(
        self,
        *,
        first_uidvalidity: int = 1,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
    ) -> None:
        self._clock = clock
        self._quota_bytes = quota_bytes
        self._used_bytes = 0
        self._first_uidvalidity = self._next_uidvalidity = first_uidvalidity
        self._mailboxes: dict[str, MemoryMailbox] = {}
        self.subscribed: set[str] = set()
        self.all_mail: str | None = None
        """A mailbox that gets whatever arrives anywhere but in Trash and Junk, as Gmail has one."""
        self._listeners: list[Callable[[StoreEvent], None]] = []
        self._insert("INBOX", frozenset())
        self.subscribe("INBOX")

    @property
    def quota_bytes(self) -> int:
        """What all messages together may weigh."""
        return self._quota_bytes

    @property
    def used_bytes(self) -> int:
        """What all messages together weigh."""
        return self._used_bytes

    def listen(self, listener: Callable[[StoreEvent], None]) -> Callable[[], None]:
        """Call `listener` for every event in any mailbox, until the function that is returned is called."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _tell(self, kind: StoreEventKind, path: str, old_path: str | None = None) -> None:
        for listener in list(self._listeners):
            listener(StoreEvent(kind, path, old_path))

    # -- mailboxes -------------------------------------------------------------------------------

    def mailboxes(self) -> list[MemoryMailbox]:
        """Every mailbox, INBOX first, then by path."""
        return [self._mailboxes[path] for path in sorted(self._mailboxes, key=lambda path: (path != "INBOX", path))]

    def mailbox(self, path: str) -> MemoryMailbox:
        """The mailbox with this path. Raises MailboxNotFound."""
        found = self._mailboxes.get(_canonical(path))
        if found is None:
            raise MailboxNotFound(f"there is no mailbox {path}")
        return found

    def has_children(self, path: str) -> bool:
        """Whether there are mailboxes below this path."""
        return any(other.startswith(path + DELIMITER) for other in self._mailboxes)

    def create(self, path: str, special_use: frozenset[str] = frozenset()) -> MemoryMailbox:
        """Make a mailbox and those above it that are missing (RFC 9051 §6.3.4).

        Raises CommandRejected: ALREADYEXISTS, CANNOT for a name that cannot be, USEATTR for a use that is taken, LIMIT.
        """
        path = _canonical(path.removesuffix(DELIMITER))
        if path in self._mailboxes:
            raise CommandRejected("that mailbox exists", response_code="ALREADYEXISTS")
        levels = path.split(DELIMITER)
        if not all(levels) or len(path) > _MAX_PATH_CHARACTERS or len(levels) > _MAX_DEPTH:
            raise CommandRejected("that cannot be the name of a mailbox", response_code="CANNOT")
        if any(special_use & box.special_use for box in self._mailboxes.values()):
            raise CommandRejected("another mailbox has that use", response_code="USEATTR")
        if len(self._mailboxes) + len(levels) > _MAX_MAILBOXES:
            raise CommandRejected("too many mailboxes", response_code="LIMIT")
        for depth in range(1, len(levels)):
            above = _canonical(DELIMITER.join(levels[:depth]))
            if above not in self._mailboxes:
                self._insert(above, frozenset())
        return self._insert(path, special_use)

    def _insert(self, path: str, special_use: frozenset[str]) -> MemoryMailbox:
        mailbox = MemoryMailbox(
            path,
            uidvalidity=self._next_uidvalidity,
            mailbox_id=f"F{self._first_uidvalidity:x}-{self._next_uidvalidity - self._first_uidvalidity}",
            special_use=special_use,
        )
        self._next_uidvalidity += 1
        self._mailboxes[path] = mailbox
        self._tell(StoreEventKind.MAILBOX_NAME, path)
        return mailbox

    def delete(self, path: str) -> None:
        """Remove a mailbox with its messages; a subscription stays (RFC 9051 §6.3.5).

        Raises MailboxNotFound, CommandRejected (CANNOT for INBOX, HASCHILDREN).
        """
        mailbox = self.mailbox(path)
        if mailbox.path == "INBOX":
            raise CommandRejected("INBOX cannot be deleted", response_code="CANNOT")
        if self.has_children(mailbox.path):
            raise CommandRejected("there are mailboxes below it", response_code="HASCHILDREN")
        del self._mailboxes[mailbox.path]
        mailbox.deleted = True
        self.expunge(mailbox, list(mailbox))
        mailbox.tell()
        self._tell(StoreEventKind.MAILBOX_NAME, mailbox.path)

    def rename(self, path: str, new_path: str) -> None:
        """Rename a mailbox and all below it; renaming INBOX moves its messages away (RFC 9051 §6.3.6).

        Raises MailboxNotFound, CommandRejected (as `create`).
        """
        mailbox = self.mailbox(path)
        if mailbox.path == "INBOX":
            self.move(mailbox, list(mailbox), self.create(new_path).path)
            return
        old, new = mailbox.path + DELIMITER, new_path.removesuffix(DELIMITER)
        if new.startswith(old):
            raise CommandRejected("a mailbox cannot move below itself", response_code="CANNOT")
        # Made and taken out again: creating it applies all rules, and makes the mailboxes above it.
        del self._mailboxes[self.create(new).path]
        moving = [box for box in self._mailboxes.values() if box is mailbox or box.path.startswith(old)]
        for box in moving:
            old_path = box.path
            del self._mailboxes[old_path]
            box.path = new + old_path[len(old) - len(DELIMITER) :]
            self._mailboxes[box.path] = box
            self._tell(StoreEventKind.MAILBOX_NAME, box.path, old_path)

    def subscribe(self, path: str) -> None:
        """Add a mailbox to the list of those that the user wants to see. Raises MailboxNotFound."""
        canonical = self.mailbox(path).path
        self.subscribed.add(canonical)
        self._tell(StoreEventKind.SUBSCRIPTION, canonical)

    def unsubscribe(self, path: str) -> None:
        """Take a path, existing or not, from that list."""
        self.subscribed.discard(_canonical(path))
        self._tell(StoreEventKind.SUBSCRIPTION, _canonical(path))

    # -- messages --------------------------------------------------------------------------------

    def append(
        self, path: str, raw: bytes, flags: Collection[str] = (), received: datetime | None = None
    ) -> StoredMessage:
        """Add a message. Raises MailboxNotFound, CommandRejected (OVERQUOTA, LIMIT)."""
        mailbox = self.mailbox(path)
        spelt = mailbox.spell(flags)
        self._take_room(len(raw))
        message = StoredMessage(
            mailbox.uidnext,
            raw,
            flags=spelt,
            modseq=mailbox.next_modseq(),
            received=received or self._clock(),
            saved=self._clock(),
            email_id="M" + hashlib.sha256(raw).hexdigest()[:20],
            thread_id="",
        )
        message.thread_id = _thread_id(message)
        mailbox.add(message)
        mailbox.tell()
        self._tell(StoreEventKind.ARRIVED, mailbox.path)
        self._keep_in_all_mail(mailbox, [message])
        return message

    def _keep_in_all_mail(self, mailbox: MemoryMailbox, messages: Sequence[StoredMessage]) -> None:
        path = self.all_mail
        if path is None or path == mailbox.path:
            return
        if mailbox.special_use & _NOT_IN_ALL_MAIL:
            self._take_from_labels(mailbox, messages)
            return
        there = {message.email_id for message in self.mailbox(path)}
        self.copy([message for message in messages if message.email_id not in there], path)
        self._labels_changed(mailbox, [message for message in messages if message.email_id in there])

    def _take_from_labels(self, mailbox: MemoryMailbox, messages: Sequence[StoredMessage]) -> None:
        """What is thrown away is nowhere else any more."""
        ids = {message.email_id for message in messages}
        for other in self.mailboxes():
            if not other.special_use & _NOT_IN_ALL_MAIL:
                self.expunge(other, [message for message in other if message.email_id in ids])

    def _labels_changed(self, mailbox: MemoryMailbox, messages: Sequence[StoredMessage]) -> None:
        """Labels are part of the messages in All Mail, whose mod-sequences grow as with flags."""
        if self.all_mail is None or self.all_mail == mailbox.path or not messages:
            return
        ids = {message.email_id for message in messages}
        all_mail = self.mailbox(self.all_mail)
        for message in [message for message in all_mail if message.email_id in ids]:
            message.modseq = all_mail.next_modseq()
        all_mail.tell()
        self._tell(StoreEventKind.FLAGS, all_mail.path)

    def copy(self, messages: Sequence[StoredMessage], path: str) -> list[StoredMessage]:
        """Copy messages with flags and dates, all or none (RFC 9051 §6.4.7); the copies in the same order.

        Raises MailboxNotFound, CommandRejected (OVERQUOTA, LIMIT).
        """
        mailbox = self.mailbox(path)
        flags = [mailbox.spell(message.flags) for message in messages]
        self._take_room(sum(len(message.raw) for message in messages))
        copies: list[StoredMessage] = []
        for message, spelt in zip(messages, flags, strict=True):
            copied = StoredMessage(
                mailbox.uidnext,
                message.raw,
                flags=spelt,
                modseq=mailbox.next_modseq(),
                received=message.received,
                saved=self._clock(),
                email_id=message.email_id,
                thread_id=message.thread_id,
            )
            mailbox.add(copied)
            copies.append(copied)
        if copies:
            mailbox.tell()
            self._tell(StoreEventKind.ARRIVED, mailbox.path)
            self._keep_in_all_mail(mailbox, copies)
        return copies

    def move(self, source: MemoryMailbox, messages: Sequence[StoredMessage], path: str) -> list[StoredMessage]:
        """Copy, then expunge from `source` (RFC 6851 §3.3). Raises as `copy`."""
        copies = self.copy(messages, path)
        self.expunge(source, messages)
        return copies

    def expunge(self, mailbox: MemoryMailbox, messages: Sequence[StoredMessage]) -> None:
        """Remove messages for good; those that are gone already are passed over."""
        there = [message for message in messages if not message.expunged]
        if not there:
            return
        modseq = mailbox.next_modseq()
        for message in there:
            mailbox.remove(message, modseq)
            self._used_bytes -= len(message.raw)
        mailbox.tell()
        self._tell(StoreEventKind.EXPUNGED, mailbox.path)
        self._labels_changed(mailbox, there)

    def set_flags(self, mailbox: MemoryMailbox, flags: Sequence[tuple[StoredMessage, frozenset[str]]]) -> None:
        """Give messages these flags; those whose flags do not change keep their mod-sequence.

        Raises CommandRejected (LIMIT).
        """
        spelt = [(message, mailbox.spell(wanted)) for message, wanted in flags]
        changed = [(message, wanted) for message, wanted in spelt if message.flags != wanted and not message.expunged]
        for message, wanted in changed:
            message.flags = wanted
            message.modseq = mailbox.next_modseq()
        if changed:
            mailbox.tell()
            self._tell(StoreEventKind.FLAGS, mailbox.path)

    def _take_room(self, size_bytes: int) -> None:
        if self._used_bytes + size_bytes > self._quota_bytes:
            raise CommandRejected("the mailbox is full", response_code="OVERQUOTA")
        self._used_bytes += size_bytes


def _canonical(path: str) -> str:
    """INBOX ignores case, also as the first level of a path."""
    first, delimiter, rest = path.partition(DELIMITER)
    return "INBOX" + delimiter + rest if first.upper() == "INBOX" else path


def _thread_id(message: StoredMessage) -> str:
    """One id for all messages that name the same first message in References (RFC 8474 §5.2 leaves the rule to us)."""
    headers = message.part.headers
    for name in ("References", "In-Reply-To", "Message-ID"):
        ids = message_ids(headers.text(name))
        if ids:
            return "T" + hashlib.sha256(ids[0].encode("utf-8", "replace")).hexdigest()[:20]
    return "T" + hashlib.sha256(message.raw).hexdigest()[:20]
