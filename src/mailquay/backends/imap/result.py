"""What a command brought back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from mailquay.backends.imap.refusal import backoff_seconds
from mailquay.wire.imap.response import TaggedResponse, UntaggedResponse, UntaggedStatus
from mailquay.wire.imap.response_code import ResponseCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The tagged OK, and the untagged responses that the command claimed, in order."""

    tagged: TaggedResponse
    untagged: list[UntaggedResponse]

    def all(self, kind: type[T]) -> list[T]:
        """The untagged responses of one type."""
        return [response for response in self.untagged if isinstance(response, kind)]

    def last(self, kind: type[T]) -> T | None:
        """The last untagged response of one type."""
        return next((response for response in reversed(self.untagged) if isinstance(response, kind)), None)

    def codes(self) -> list[ResponseCode]:
        """All response codes: of untagged OKs first, then of the tagged one."""
        codes = [
            response.code
            for response in self.untagged
            if isinstance(response, UntaggedStatus) and response.code is not None
        ]
        return [*codes, self.tagged.code] if self.tagged.code is not None else codes

    def code(self, kind: type[T]) -> T | None:
        """The last response code of one type, as UidValidity or CopyUid, wherever the server put it."""
        return next((code for code in reversed(self.codes()) if isinstance(code, kind)), None)

    @property
    def backoff_seconds(self) -> float | None:
        """The pause the server asks for although it said OK."""
        return backoff_seconds(self.tagged.text)
