"""What callers ask of a message, and the stream they get of its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How much of a message to show.

    `text_type` is "plain", "html", "*" or None for no text; `max_characters` cuts each text. `embed_attached_images`
    None follows `web_safe_html`.
    """

    text_type: str | None = None
    max_characters: int | None = None
    web_safe_html: bool = False
    embed_attached_images: bool | None = None
    pre_process_html: bool = False
    mark_as_seen: bool = False


@dataclass(frozen=True, slots=True)
class MessageChanges:
    """Flags and labels to add, delete, or set as a whole; `set` wins over the others. None leaves them alone."""

    add: tuple[str, ...] | None = None
    delete: tuple[str, ...] | None = None
    set: tuple[str, ...] | None = None
    labels_add: tuple[str, ...] | None = None
    labels_delete: tuple[str, ...] | None = None
    labels_set: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Which bytes are wanted: `first` (from 0) to `last`, or to the end; without `first` the last so many."""

    first: int | None
    last: int | None

    def within(self, size_bytes: int) -> tuple[int, int] | None:
        """The first and the last byte of it that there are (RFC 9110 §14.1.2); None when there is none."""
        if self.first is None:
            first, last = max(0, size_bytes - (self.last or 0)), size_bytes - 1
        else:
            first, last = self.first, size_bytes - 1 if self.last is None else min(self.last, size_bytes - 1)
        return (first, last) if first <= last else None


@dataclass(frozen=True, slots=True)
class Download:
    """A part of a message, all of it, or another file, as a stream of decoded chunks; its size where it is known.

    `part` tells that the chunks are only some of the bytes: the first and the last one.
    """

    content_type: str
    filename: str | None
    chunks: AsyncIterator[bytes]
    size_bytes: int | None = None
    part: tuple[int, int] | None = None
