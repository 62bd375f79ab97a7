"""What was read of messages, kept for whoever asks for the same again: bytes never change behind an id."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from mailquay.services.message_content import MessageContent

_OVERHEAD_BYTES = 2048
"""What an entry takes besides its bytes, roughly: keys, structure."""


@dataclass(frozen=True, slots=True)
class ContentKey:
    """Which message, and how much of it; `parts` are the texts that a text id names."""

    mailbox: int
    uid: int
    text_type: str | None
    limit_bytes: int | None
    parts: tuple[tuple[str, ...], ...] = ()


class ContentCache:
    """The contents that were asked for last, up to a number of bytes; of one message at most an eighth of that."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[ContentKey, tuple[MessageContent, int]] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: ContentKey) -> MessageContent | None:
        """The content, if it is still there; its flags are those of back then."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: ContentKey, content: MessageContent) -> None:
        """Keep a content; the one that nobody asked for the longest goes."""
        size = _OVERHEAD_BYTES + content.total_bytes
        if 8 * size > self._max_bytes:
            return
        if key in self._kept:
            self.size_bytes -= self._kept.pop(key)[1]
        self._kept[key] = (content, size)
        self.size_bytes += size
        while self.size_bytes > self._max_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self.size_bytes -= gone
