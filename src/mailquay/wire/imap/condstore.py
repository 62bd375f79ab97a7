"""CONDSTORE and QRESYNC: modification sequences, and what has vanished since one (RFC 7162)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.sequence_set import SeqSet, UidSet
from mailquay.wire.imap.writer import Writer


@dataclass(frozen=True, slots=True)
class HighestModSeq:
    """HIGHESTMODSEQ: the highest mod-sequence of the mailbox (RFC 7162 §3.1.2.1)."""

    value: int


@dataclass(frozen=True, slots=True)
class Modified:
    """MODIFIED: the messages a conditional STORE left alone (RFC 7162 §3.1.3).

    They are UIDs after UID STORE and sequence numbers after STORE, which only the sender of the command knows.
    """

    ranges: tuple[tuple[int, int], ...]

    def uids(self) -> UidSet:
        """The set, read as UIDs."""
        return UidSet(self.ranges)

    def seqs(self) -> SeqSet:
        """The set, read as sequence numbers."""
        return SeqSet(self.ranges)


@dataclass(frozen=True, slots=True)
class Vanished:
    """VANISHED: UIDs that are gone; `earlier` when they went before this session looked (RFC 7162 §3.2.10)."""

    uids: UidSet
    earlier: bool = False


def read_vanished(r: Reader) -> Vanished:
    """Read what follows `* VANISHED `."""
    earlier = r.skip(b"(EARLIER)")
    if earlier:
        r.space()
    uids = UidSet.parse_finite(r.atom_of_set(), r.limits.max_list_items)
    r.expect_end()
    return Vanished(uids, earlier)


def write_vanished(w: Writer, vanished: Vanished) -> None:
    """Write `VANISHED ...`."""
    w.raw(b"VANISHED " + (b"(EARLIER) " if vanished.earlier else b"") + vanished.uids.encode())


@dataclass(frozen=True, slots=True)
class QresyncParameter:
    """What a client knows when it selects a mailbox with QRESYNC (RFC 7162 §3.2.5).

    `known_uids` limits the answer to those. `sequence_match` pairs sequence numbers with UIDs so that a server that
    forgets expunges can tell where the two sides begin to differ.
    """

    uidvalidity: int
    modseq: int
    known_uids: UidSet | None = None
    sequence_match: tuple[SeqSet, UidSet] | None = None


def read_qresync(r: Reader) -> QresyncParameter:
    """Read the list behind QRESYNC in SELECT."""
    r.expect(b"(")
    uidvalidity = r.number()
    r.space()
    modseq = r.number64()
    known_uids, match = None, None
    while r.skip(b" "):
        if r.skip(b"("):
            seqs = SeqSet.parse(r.atom_of_set(), r.limits.max_list_items)
            r.space()
            match = (seqs, UidSet.parse(r.atom_of_set(), r.limits.max_list_items))
            r.expect(b")")
        else:
            known_uids = UidSet.parse(r.atom_of_set(), r.limits.max_list_items)
    r.expect(b")")
    return QresyncParameter(uidvalidity, modseq, known_uids, match)


def write_qresync(w: Writer, parameter: QresyncParameter) -> None:
    """Write the list behind QRESYNC in SELECT."""
    w.raw(b"(%d %d" % (parameter.uidvalidity, parameter.modseq))
    if parameter.known_uids is not None:
        w.raw(b" " + parameter.known_uids.encode())
    if parameter.sequence_match is not None:
        seqs, uids = parameter.sequence_match
        w.raw(b" (%s %s)" % (seqs.encode(), uids.encode()))
    w.raw(b")")
