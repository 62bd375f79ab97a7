"""Sets of message numbers. `SeqSet` and `UidSet` are different types, so that one cannot be passed for the other.

Sets are kept sorted and merged, since some servers refuse anything else (RFC 9051 §9, sequence-set).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from mailquay.errors import LocalProtocolError, RemoteProtocolError

STAR: Final = 2**32
"""Stands for `*`, the highest number in use; larger than any real number."""

_MAX = 2**32 - 1
_RANGE = re.compile(rb"(\d{1,10}|\*)(?::(\d{1,10}|\*))?")

S = TypeVar("S", bound="NumberSet")


def parse_ranges(raw: bytes, max_ranges: int) -> tuple[tuple[int, int], ...]:
    """Read ranges in the order given, each with its bounds in order; `*` becomes STAR.

    Raises RemoteProtocolError for zero, numbers over 32 bits, bad syntax and more than `max_ranges` ranges.
    """
    pieces = raw.split(b",", max_ranges)
    if len(pieces) > max_ranges:
        raise RemoteProtocolError(f"sequence set of more than {max_ranges} ranges")
    ranges = []
    for piece in pieces:
        match = _RANGE.fullmatch(piece)
        if match is None:
            raise RemoteProtocolError(f"not a sequence set: {raw[:40]!r}")
        first, second = match.groups()
        low = _bound(first)
        high = low if second is None else _bound(second)
        if low > high:
            low, high = high, low
        ranges.append((low, high))
    return tuple(ranges)


def _bound(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    number = int(raw)
    if not 0 < number <= _MAX:
        raise RemoteProtocolError(f"number out of range in sequence set: {number}")
    return number


def format_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """Write ranges in the order given."""
    return ",".join(_number(low) if low == high else f"{_number(low)}:{_number(high)}" for low, high in ranges).encode(
        "ascii"
    )


def _number(value: int) -> str:
    return "*" if value == STAR else str(value)


def _merge(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1 and not (low == STAR and merged[-1][1] == _MAX):
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return tuple(merged)


class NumberSet:
    """A non-empty, immutable set of numbers from 1 to 2^32-1, perhaps open-ended with `*`.

    Building one with 0 or nothing at all raises LocalProtocolError: `0:*` must never reach a server.
    """

    __slots__ = ("ranges",)

    ranges: tuple[tuple[int, int], ...]
    """Inclusive bounds, ascending, disjoint; STAR for `*`."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        merged = _merge((low, high) if low <= high else (high, low) for low, high in ranges)
        if not merged:
            raise LocalProtocolError("a sequence set cannot be empty")
        if merged[0][0] < 1 or merged[-1][1] > STAR:
            raise LocalProtocolError("a sequence set holds numbers from 1 to 4294967295")
        object.__setattr__(self, "ranges", merged)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("number sets are immutable")

    @classmethod
    def of(cls: type[S], numbers: Iterable[int]) -> S:
        """The set of these numbers."""
        return cls(_runs(numbers))

    @classmethod
    def span(cls: type[S], first: int, last: int = STAR) -> S:
        """All numbers from `first` to `last`, by default to `*`."""
        return cls(((first, last),))

    @classmethod
    def parse(cls: type[S], raw: bytes, max_ranges: int = 100_000) -> S:
        """Read a set as a peer wrote it. Raises RemoteProtocolError when it is malformed."""
        return cls(parse_ranges(raw, max_ranges))

    @classmethod
    def parse_finite(cls: type[S], raw: bytes, max_ranges: int = 100_000) -> S:
        """Read a set from a response, where `*` has no meaning. Raises RemoteProtocolError when it holds one."""
        numbers = cls.parse(raw, max_ranges)
        if numbers.has_star():
            raise RemoteProtocolError('"*" in the numbers of a response')
        return numbers

    def encode(self) -> bytes:
        """The set on the wire."""
        return format_ranges(self.ranges)

    def has_star(self) -> bool:
        """Whether the set is open-ended."""
        return self.ranges[-1][1] == STAR

    def resolve(self: S, highest: int) -> S | None:
        """The set with `*` replaced by `highest` and cut there, as a server does; None when nothing is left."""
        if highest < 1:
            return None
        ranges = [
            (min(low, highest) if low == STAR or high == STAR else low, min(high, highest))
            for low, high in self.ranges
            if low <= highest or high == STAR
        ]
        return type(self)(ranges) if ranges else None

    def below(self: S, number: int) -> S | None:
        """The members lower than `number`; None when there are none."""
        ranges = [(low, min(high, number - 1)) for low, high in self.ranges if low < number]
        return type(self)(ranges) if ranges else None

    def split(self: S, max_numbers: int) -> Iterator[S]:
        """Cut a finite set into sets of at most `max_numbers` numbers each, ascending."""
        taken: list[tuple[int, int]] = []
        room = max_numbers
        for low, high in self._finite():
            while low <= high:
                end = min(high, low + room - 1)
                taken.append((low, end))
                room -= end - low + 1
                low = end + 1
                if not room:
                    yield type(self)(taken)
                    taken, room = [], max_numbers
        if taken:
            yield type(self)(taken)

    def overlaps(self, other: NumberSet) -> bool:
        """Whether the two share a number; a `*` may be any number."""
        if self.has_star() or other.has_star():
            return self.ranges[-1][1] >= other.ranges[0][0] and other.ranges[-1][1] >= self.ranges[0][0]
        return any(low <= end and start <= high for low, high in self.ranges for start, end in other.ranges)

    def __contains__(self, number: int) -> bool:
        first, last = 0, len(self.ranges)
        while first < last:
            middle = (first + last) // 2
            if self.ranges[middle][1] < number:
                first = middle + 1
            else:
                last = middle
        return first < len(self.ranges) and self.ranges[first][0] <= number

    def __iter__(self) -> Iterator[int]:
        for low, high in self._finite():
            yield from range(low, high + 1)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self._finite())

    def __bool__(self) -> bool:
        return True

    def _finite(self) -> tuple[tuple[int, int], ...]:
        if self.has_star():
            raise LocalProtocolError("a set with * has no known members")
        return self.ranges

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, NumberSet) and other.ranges == self.ranges

    def __hash__(self) -> int:
        return hash((type(self), self.ranges))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encode().decode()})"


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    low = high = 0
    for number in sorted(numbers):
        if number <= high + 1 and low:
            high = max(high, number)
            continue
        if low:
            yield low, high
        low = high = number
        if number < 1:
            raise LocalProtocolError("a sequence set holds numbers from 1 to 4294967295")
    if low:
        yield low, high


class SeqSet(NumberSet):
    """Message sequence numbers (RFC 9051 §2.3.1.2)."""

    __slots__ = ()


class UidSet(NumberSet):
    """Unique identifiers (RFC 9051 §2.3.1.1)."""

    __slots__ = ()
