"""UIDPLUS: the UIDs that APPEND, COPY and MOVE gave to their messages (RFC 4315 §3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mailquay.errors import RemoteProtocolError
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.sequence_set import STAR, format_ranges, parse_ranges

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class AppendUid:
    """APPENDUID: where the appended messages are; usually one UID (RFC 4315 §3, RFC 3502 for more)."""

    uidvalidity: int
    ranges: Ranges

    @property
    def uid(self) -> int:
        """The UID of the (first) appended message."""
        return self.ranges[0][0]


@dataclass(frozen=True, slots=True)
class CopyUid:
    """COPYUID: the UIDs in the source, in the order given, and the ones they became under `uidvalidity`.

    Sets stay as ranges, since a set of ten bytes may stand for four billion UIDs.
    """

    uidvalidity: int
    source: Ranges
    destination: Ranges

    def __len__(self) -> int:
        return count(self.source)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """(old UID, new UID) of each message."""
        return zip(_numbers(self.source), _numbers(self.destination), strict=True)


def count(ranges: Ranges) -> int:
    """How many numbers the ranges hold."""
    return sum(high - low + 1 for low, high in ranges)


def _numbers(ranges: Ranges) -> Iterator[int]:
    for low, high in ranges:
        yield from range(low, high + 1)


def _read_ranges(r: Reader) -> Ranges:
    ranges = parse_ranges(r.atom_of_set(), r.limits.max_list_items)
    if any(high == STAR for _, high in ranges):
        raise RemoteProtocolError('"*" in the UIDs of a response code')
    return ranges


def read_appenduid(r: Reader) -> AppendUid:
    """Read the arguments of APPENDUID. Raises RemoteProtocolError when the set holds "*" or is malformed."""
    uidvalidity = r.number()
    r.space()
    return AppendUid(uidvalidity, _read_ranges(r))


def read_copyuid(r: Reader) -> CopyUid:
    """Read the arguments of COPYUID.

    Raises RemoteProtocolError when a set holds "*", or the two differ in length.
    """
    uidvalidity = r.number()
    r.space()
    source = _read_ranges(r)
    r.space()
    destination = _read_ranges(r)
    if count(source) != count(destination):
        raise RemoteProtocolError("COPYUID sets differ in length")
    return CopyUid(uidvalidity, source, destination)


def format_appenduid(code: AppendUid) -> bytes:
    """The response code without brackets."""
    return b"APPENDUID %d %s" % (code.uidvalidity, format_ranges(code.ranges))


def format_copyuid(code: CopyUid) -> bytes:
    """The response code without brackets."""
    return b"COPYUID %d %s %s" % (code.uidvalidity, format_ranges(code.source), format_ranges(code.destination))
