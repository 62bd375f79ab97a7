"""SEARCHRES: `$`, the result of the last SEARCH that was told to save it (RFC 5182, RFC 9051 §6.4.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from mailquay.wire.imap.sequence_set import NumberSet


@dataclass(frozen=True, slots=True)
class SavedResult:
    """`$` in place of a set. Only the server knows its members, so that any number may be among them.

    `uid` tells whether the command or search key that holds it is the UID form; the saved messages are the same.
    """

    uid: bool = True

    def encode(self) -> bytes:
        """The set on the wire."""
        return b"$"

    def overlaps(self, _other: NumberSet | SavedResult) -> bool:
        """Whether the two may share a number."""
        return True

    def __contains__(self, _number: int) -> bool:
        return True
