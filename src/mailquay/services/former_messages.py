"""Recognising messages under new UIDs: by provider id, by Message-ID, size and date, or by size and date alone."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

from mailquay.model.account import AccountNumber
from mailquay.model.digest import message_digest
from mailquay.model.message import IndexEntry, MessageRef
from mailquay.storage.repositories.replacements import Former

Shape = tuple[int | None, int | None]
"""Size in bytes and received date in seconds."""

_Alike = dict[Shape, deque[Former]]


class FormerMessages:
    """What a mailbox held before its UIDVALIDITY changed; each message is found again once.

    A Message-ID alone is enough (a restored mailbox has new dates, a migrated one sometimes new sizes); among several
    with the same one, size and date decide. Size and date alone are enough only where no Message-ID is known. Provider
    ids come first, but a server that makes new UIDs often makes new ids too.
    """

    def __init__(self, account: AccountNumber) -> None:
        self._account = account
        # Nearly all keys have one message, which then needs no collection of its own: there may be a million.
        self._candidates: dict[int, Former | _Alike] = {}
        self._left: dict[MessageRef, Former] = {}
        self._ids_outlive = False

    def add(self, formers: Sequence[Former]) -> None:
        """Take in messages that may be found again."""
        for former in formers:
            self._left[former.ref] = former
            shape = _shape(former.size_bytes, former.internal_date_ms)
            keys = _keys(former.email_id, former.digest)
            for key in keys if former.digest is not None else [*keys, _key("shape", shape)]:
                self._add(key, shape, former)

    def _add(self, key: int, shape: Shape, former: Former) -> None:
        first = self._candidates.setdefault(key, former)
        if first is former:
            return
        if isinstance(first, Former):
            alike: _Alike = {_shape(first.size_bytes, first.internal_date_ms): deque([first])}
            self._candidates[key] = first = alike
        first.setdefault(shape, deque()).append(former)

    def take(self, entry: IndexEntry) -> Former | None:
        """The message that this one was; None when it is a new one."""
        shape = _shape(entry.size_bytes, entry.internal_date_ms)
        message_id = None if entry.envelope is None else entry.envelope.message_id
        digest = message_digest(self._account, message_id) if message_id else None
        for key in (*_keys(entry.email_id, digest), _key("shape", shape)):
            former = self._pop(key, shape)
            if former is not None:
                del self._left[former.ref]
                self._ids_outlive = self._ids_outlive or (
                    former.email_id is not None and former.email_id == entry.email_id
                )
                return former
        return None

    def _pop(self, key: int, shape: Shape) -> Former | None:
        """The next candidate of this shape, else of any; each is looked at once, however many are alike."""
        candidates = self._candidates.get(key, {})
        if isinstance(candidates, Former):
            del self._candidates[key]
            return candidates if candidates.ref in self._left else None
        while candidates:
            chosen = shape if shape in candidates else next(iter(candidates))
            former = candidates[chosen].popleft()
            if not candidates[chosen]:
                del candidates[chosen]
            if former.ref in self._left:
                return former
        return None

    def left(self) -> list[Former]:
        """Those that were not found again."""
        return list(self._left.values())

    def recognisable(self, former: Former) -> bool:
        """Whether a message would have been found again wherever it stood: it is gone if it was not.

        A provider id proves that only where one has been seen to outlive the change.
        """
        return former.digest is not None or (self._ids_outlive and former.email_id is not None)


def _keys(email_id: str | None, digest: int | None) -> list[int]:
    keys = [_key("email", email_id)] if email_id else []
    return keys if digest is None else [*keys, _key("message", digest)]


def _shape(size_bytes: int | None, date_ms: int | None) -> Shape:
    return size_bytes, None if date_ms is None else date_ms // 1000


def _key(kind: str, value: object) -> int:
    """64 bits in place of the text: there may be hundreds of thousands."""
    return int.from_bytes(
        hashlib.blake2b(f"{kind} {value!r}".encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big"
    )
