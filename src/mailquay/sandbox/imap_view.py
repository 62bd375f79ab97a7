"""What one session believes about its selected mailbox: sequence numbers stand until the session has been told.

Expunged messages keep their numbers, and stay readable, until an EXPUNGE may be sent (RFC 9051 §7.5.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mailquay.backends.memory_mailbox import MemoryMailbox, StoredMessage
from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.command_message import MessageSet
from mailquay.wire.imap.condstore import Vanished
from mailquay.wire.imap.fetch import FetchResponse
from mailquay.wire.imap.response import Exists, Expunge, UntaggedResponse
from mailquay.wire.imap.searchres import SavedResult
from mailquay.wire.imap.sequence_set import STAR, UidSet


@dataclass(slots=True, eq=False)
class Entry:
    """A message as the session knows it; `told_modseq` is the state whose flags it has heard of."""

    message: StoredMessage
    told_modseq: int


class Numbered(NamedTuple):
    """A message with its sequence number of the moment."""

    seq: int
    entry: Entry

    @property
    def message(self) -> StoredMessage:
        """The message itself."""
        return self.entry.message


class MailboxView:
    """The selected mailbox of one session."""

    def __init__(self, mailbox: MemoryMailbox, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self._entries = [Entry(message, message.modseq) for message in mailbox]
        self._synced_modseq = mailbox.highestmodseq
        self._expunges_held = False
        self.saved_uids: frozenset[int] = frozenset()
        """What `$` stands for (RFC 5182 §2.1)."""

    def __len__(self) -> int:
        return len(self._entries)

    def numbered(self) -> list[Numbered]:
        """Every message the session knows, by sequence number."""
        return [Numbered(seq, entry) for seq, entry in enumerate(self._entries, 1)]

    @property
    def highest_uid(self) -> int:
        """The last message's UID, 0 when there is none."""
        return self._entries[-1].message.uid if self._entries else 0

    def resolve(self, messages: MessageSet) -> list[Numbered]:
        """The messages a set means. UIDs that are not there are passed over, expunged ones count as such.

        Raises RemoteProtocolError for a sequence number beyond the last message (RFC 9051 §2.3.1.2).
        """
        if isinstance(messages, SavedResult):
            return [one for one in self.numbered() if one.message.uid in self.saved_uids and not one.message.expunged]
        if isinstance(messages, UidSet):
            uids = messages.resolve(max(self.highest_uid, 1))
            if uids is None:
                return []
            return [one for one in self.numbered() if one.message.uid in uids and not one.message.expunged]
        if any(high > len(self) for _, high in messages.ranges if high != STAR):
            raise RemoteProtocolError("no message has that number")
        seqs = messages.resolve(len(self))
        if seqs is None:
            return []
        return [Numbered(seq, self._entries[seq - 1]) for seq in seqs]

    def uid_of(self, seq: int) -> int:
        """The UID of the message with this sequence number."""
        return self._entries[seq - 1].message.uid

    def news(self, *, expunges: bool, modseqs: bool, vanished: bool) -> list[UntaggedResponse]:
        """What the session has not heard yet; `expunges` says whether it may hear of those now.

        `vanished` tells of them by their UIDs (RFC 7162 §3.2.10).
        """
        if self._synced_modseq == self.mailbox.highestmodseq and not (expunges and self._expunges_held):
            return []
        self._synced_modseq = self.mailbox.highestmodseq
        news: list[UntaggedResponse] = []
        if expunges:
            news += self._take_expunged(vanished)
        self._expunges_held = any(entry.message.expunged for entry in self._entries)
        arrived = self.mailbox.after(self.highest_uid)
        if arrived:
            self._entries += [Entry(message, message.modseq) for message in arrived]
            news.append(Exists(len(self)))
        for one in self.numbered():
            if one.message.modseq > one.entry.told_modseq and not one.message.expunged:
                news.append(flags_of(one, modseqs=modseqs))
        return news

    def _take_expunged(self, vanished: bool) -> list[UntaggedResponse]:
        """Drop what is gone, highest number first, so that the numbers still to come stay right."""
        gone = [one for one in self.numbered() if one.message.expunged]
        self._entries = [entry for entry in self._entries if not entry.message.expunged]
        if vanished:
            return [Vanished(UidSet.of(one.message.uid for one in gone))] if gone else []
        return [Expunge(one.seq) for one in reversed(gone)]


def flags_of(one: Numbered, *, modseqs: bool) -> FetchResponse:
    """The FETCH response that tells of a message's flags, with its UID; it counts as told."""
    one.entry.told_modseq = one.message.modseq
    return FetchResponse(
        one.seq, uid=one.message.uid, flags=one.message.flags, modseq=one.message.modseq if modseqs else None
    )
