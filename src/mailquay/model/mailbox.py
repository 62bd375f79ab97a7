"""Mailboxes: what the server lists, and what we hold of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

from mailquay.model.account import AccountNumber

MailboxNumber = NewType("MailboxNumber", int)
"""Our number of one mailbox (account, path, UIDVALIDITY), unique in the database, 32 bits; part of message ids."""

SPECIAL_USES = ("\\Inbox", "\\Flagged", "\\Sent", "\\Drafts", "\\All", "\\Archive", "\\Junk", "\\Trash")
"""Special-use attributes (RFC 6154 §2 and our \\Inbox) in the order in which mailboxes are listed."""


@dataclass(frozen=True, slots=True)
class ListedMailbox:
    """One mailbox as LIST shows it, special use decided. `special_use_source`: user, extension or name.

    `label`: it only shows messages that stand in another mailbox of the account, the one with `all_mail` (Gmail's).
    `groupware`: it holds appointments, contacts or the like, which are no mail (Exchange's).
    """

    path: str
    delimiter: str | None
    attributes: frozenset[str]
    subscribed: bool = True
    listed: bool = True
    special_use: str | None = None
    special_use_source: str | None = None
    mailbox_id: str | None = None
    label: bool = False
    all_mail: bool = False
    groupware: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit(self.delimiter, 1)[-1] if self.delimiter else self.path

    @property
    def parent_path(self) -> str | None:
        """The path without its last part; None at the top."""
        if self.delimiter and self.delimiter in self.path:
            return self.path.rsplit(self.delimiter, 1)[0]
        return None

    @property
    def selectable(self) -> bool:
        """Whether it can hold messages (RFC 9051 §7.3.1)."""
        return not self.attributes & {"\\noselect", "\\nonexistent"}


@dataclass(frozen=True, slots=True)
class MailboxEvidence:
    """What the server last said of a mailbox; None where it did not say."""

    uidvalidity: int | None = None
    uidnext: int | None = None
    messages: int | None = None
    unseen: int | None = None
    highestmodseq: int | None = None

    @property
    def empty(self) -> bool:
        """Whether it is certain that there is no message, and known where the next one will stand."""
        return self.messages == 0 and bool(self.uidvalidity) and bool(self.uidnext)


@dataclass(frozen=True, slots=True)
class MailboxCursor:
    """Up to where our index of a mailbox agrees with the server: the state that the index was built from.

    `initial_uidnext` is UIDNEXT when the mailbox was first seen: messages below it are never announced as new.
    `uidvalidity` is 0 where the server gives none.
    """

    uidvalidity: int
    uidnext: int
    highestmodseq: int | None
    messages: int
    initial_uidnext: int
    synced_at_ms: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The index was compared with the server: it has `messages`, of which `missing` were unknown to us until then."""

    at_ms: int
    messages: int
    missing: int


@dataclass(frozen=True, slots=True)
class IndexVerification:
    """The verifications of several mailboxes together: the oldest of them, what was looked at, what was unknown.

    `at_ms` is None until each mailbox was verified once.
    """

    at_ms: int | None
    messages: int
    missing: int

    @property
    def coverage(self) -> float:
        """Which part of the server's messages was in the index when they were compared."""
        return 1.0 if not self.messages else 1 - self.missing / self.messages


TEXTS_COMPLETE = 1
"""The text index holds every message of a mailbox that can be read."""

TEXTS_AS_WANTED = 2
"""It holds those that were received since the time from which on messages are read in advance."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox as stored. `cursor` is None until its first sync; `evidence_epoch` is the observer's lease epoch.

    `uidvalidity` is what the ids with this number stand for, known from the beginning of the first sync on; messages
    below `announced_below` were dealt with before, also when the index is built anew. `texts_state` is one of the two
    above, or 0 or less: texts are lacking, and it is another number after each message that was indexed without one.
    """

    number: MailboxNumber
    account: AccountNumber
    listing: ListedMailbox
    cursor: MailboxCursor | None
    evidence: MailboxEvidence
    evidence_at_ms: int
    evidence_epoch: int
    missing_since_ms: int | None = None
    uidvalidity: int | None = None
    announced_below: int | None = None
    verification: Verification | None = None
    texts_state: int = 0

    @property
    def current(self) -> bool:
        """Whether the index agrees with the last evidence, so that a listing may be answered from it."""
        cursor, evidence = self.cursor, self.evidence
        if cursor is None or cursor.uidvalidity != (evidence.uidvalidity or 0):
            return False
        if evidence.uidnext is not None and evidence.uidnext != cursor.uidnext:
            return False
        if evidence.messages is not None and evidence.messages != cursor.messages:
            return False
        return evidence.highestmodseq is None or evidence.highestmodseq == cursor.highestmodseq


def listing_order(mailboxes: Sequence[ListedMailbox]) -> list[ListedMailbox]:
    """Special mailboxes first, in the order of SPECIAL_USES, then by path."""
    rank = {use: position for position, use in enumerate(SPECIAL_USES)}
    return sorted(mailboxes, key=lambda box: (rank.get(box.special_use or "", len(rank)), box.path))
