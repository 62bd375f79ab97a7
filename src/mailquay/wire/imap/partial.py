"""PARTIAL: a page of what a SEARCH or UID FETCH finds (RFC 9394, RFC 5267 §4.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from mailquay.errors import LocalProtocolError, RemoteProtocolError
from mailquay.wire.imap.lexer import Reader
from mailquay.wire.imap.sequence_set import SeqSet, UidSet

T = TypeVar("T")
_RANGE: Final = re.compile(rb"(?:(\d{1,10}):(\d{1,10})|-(\d{1,10}):-(\d{1,10}))(?=[ )]|\Z)")
_MAX: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class PartialRange:
    """The matches from number `first` to number `last`, counted from 1 at the oldest, or from the newest.

    Raises LocalProtocolError for bounds out of order or out of range.
    """

    first: int
    last: int
    from_newest: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= _MAX:
            raise LocalProtocolError(f"not a page: {self.first}:{self.last}")

    def encode(self) -> bytes:
        """The range on the wire, as `1:100` or `-1:-100`."""
        return (b"-%d:-%d" if self.from_newest else b"%d:%d") % (self.first, self.last)


def cut_page(found: Sequence[T], page: PartialRange) -> Sequence[T]:
    """The page of what was found, oldest first either way; shorter or empty where there is no more."""
    if not page.from_newest:
        return found[page.first - 1 : page.last]
    return found[max(0, len(found) - page.last) : max(0, len(found) - page.first + 1)]


def read_partial_range(r: Reader) -> PartialRange:
    """Read a range; 500:400 means 400:500. Raises RemoteProtocolError for zero, `*` and mixed signs."""
    match = r.match(_RANGE)
    if match is None:
        raise r.error("a range such as 1:100 or -1:-100")
    old_first, old_last, new_first, new_last = match.groups()
    from_newest = old_first is None
    bounds = sorted((int(new_first), int(new_last)) if from_newest else (int(old_first), int(old_last)))
    if not 1 <= bounds[0] <= bounds[1] <= _MAX:
        raise RemoteProtocolError(f"not a page: {match.group()!r}")
    return PartialRange(bounds[0], bounds[1], from_newest)


@dataclass(frozen=True, slots=True)
class PartialResult:
    """What an ESEARCH response holds of the page asked for; `numbers` is None when there is nothing on it."""

    page: PartialRange
    numbers: UidSet | SeqSet | None = None


def read_partial_result(r: Reader, *, uid: bool) -> PartialResult:
    """Read the value of PARTIAL in an ESEARCH response (RFC 9394 §3.1)."""
    r.expect(b"(")
    page = read_partial_range(r)
    r.space()
    numbers: UidSet | SeqSet | None = None
    if not r.nil():
        raw = r.atom_of_set()
        limit = r.limits.max_list_items
        numbers = UidSet.parse_finite(raw, limit) if uid else SeqSet.parse_finite(raw, limit)
    r.expect(b")")
    return PartialResult(page, numbers)


def format_partial_result(result: PartialResult) -> bytes:
    """Write the value of PARTIAL in an ESEARCH response."""
    return b"(%s %s)" % (result.page.encode(), b"NIL" if result.numbers is None else result.numbers.encode())
