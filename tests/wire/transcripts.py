"""Conversations for the tests of what a log shows of a connection."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Protocol

PASSWORD = "hunter2secret"
PLAIN = base64.b64encode(f"\0ann\0{PASSWORD}".encode()).decode()

Talk = list[tuple[str, bytes]]
"""Who says what: "c" or "s", and bytes."""


class Transcript(Protocol):
    """What both protocols' transcripts do."""

    def sent(self, data: bytes) -> Iterator[str]:
        """The lines that became complete with what the client sent."""
        ...

    def received(self, data: bytes) -> Iterator[str]:
        """The lines that became complete with what the server sent."""
        ...


def lines_of(
    transcript: Transcript, talk: Talk, cut: Callable[[bytes], list[bytes]] = lambda data: [data]
) -> list[str]:
    """The lines of a conversation, as "c: …" and "s: …"."""
    lines = []
    for side, data in talk:
        show = transcript.sent if side == "c" else transcript.received
        lines += [f"{side}: {line}" for piece in cut(data) for line in show(piece)]
    return lines
