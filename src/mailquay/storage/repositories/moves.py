"""Messages that have just left a mailbox or come into one: where both happened to one message, it was moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailquay.model.account import AccountNumber
from mailquay.model.mailbox import MailboxNumber
from mailquay.storage.codec import to_json
from mailquay.storage.interface import Pending, Row, Run, RunMany, Script, Unit

_CANDIDATES_EACH = 4
_CANDIDATES_MORE = 100


@dataclass(frozen=True, slots=True)
class Passing:
    """A message that left this mailbox or came into it; `digest` recognises it elsewhere (64 bits, signed)."""

    digest: int
    mailbox: MailboxNumber
    uid: int
    path: str
    special_use: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """One message, where it was and where it is."""

    left: Passing
    arrived: Passing


class MoveRepository:
    """Units of work that pair departures with arrivals. Whoever comes second finds the first, and uses it up."""

    def pair(
        self, account: AccountNumber, passing: Sequence[Passing], *, arrived: bool, now_ms: int, window_ms: int
    ) -> Unit[list[Move]]:
        """Messages of one mailbox have arrived, or have left: where the other half is no older than that, they moved.

        The rest is kept for the other half to come. The candidates that are read are limited: a message that is there
        tens of thousands of times finds its like in the end, or is just told as deleted and new.
        """

        def script(_pending: Pending) -> Script[list[Move]]:
            if not passing:
                return []
            limit = _CANDIDATES_EACH * len(passing) + _CANDIDATES_MORE
            digests = to_json(sorted({one.digest for one in passing}))
            here = passing[0].mailbox
            rows = yield Run("passing_find", (account, int(not arrived), now_ms - window_ms, digests, limit, here))
            others: dict[int, list[Passing]] = {}
            for row in rows:
                others.setdefault(row[0], []).append(_passing(row))
            pairs: list[tuple[Passing, Passing]] = []
            alone = []
            for one in passing:
                other = _take(one, others.get(one.digest, []))
                if other is None:
                    alone.append(one)
                else:
                    pairs.append((one, other))
            if pairs:
                yield RunMany("passing_take", [_key(account, other, not arrived) for _, other in pairs])
            if alone:
                yield _keep(account, alone, arrived, now_ms)
            return [Move(other, one) if arrived else Move(one, other) for one, other in pairs]

        return script

    def expire(self, before_ms: int, limit: int) -> Unit[int]:
        """Forget those that have waited since before a time, some at a time; returns how many."""

        def script(_pending: Pending) -> Script[int]:
            return len((yield Run("passing_expire", (before_ms, limit))))

        return script


def _take(one: Passing, others: list[Passing]) -> Passing | None:
    """Take the first of `others` that can be the other half: of another mailbox, and as large if both sizes are known.

    A mailbox that was renamed, or read anew under another UIDVALIDITY, is no other one.
    """
    for position, other in enumerate(others):
        sizes = {one.size_bytes, other.size_bytes} - {None}
        if other.mailbox != one.mailbox and other.path != one.path and len(sizes) < 2:
            return others.pop(position)
    return None


def _keep(account: AccountNumber, passing: Sequence[Passing], arrived: bool, now_ms: int) -> Run:
    """One statement for all: there may be tens of thousands, a thousand at a time."""
    first = passing[0]
    rows = to_json([(one.digest, one.uid, one.size_bytes) for one in passing])
    place = (first.mailbox, first.path, first.special_use)
    return Run("passing_keep", (account, int(arrived), *place, now_ms, rows))


def _key(account: AccountNumber, one: Passing, arrived: bool) -> tuple[int, int, int, int, int]:
    return account, int(arrived), one.digest, one.mailbox, one.uid


def _passing(row: Row) -> Passing:
    return Passing(row[0], MailboxNumber(row[1]), row[2], row[3], row[4], row[5])
