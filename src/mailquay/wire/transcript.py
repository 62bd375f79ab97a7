"""What both protocols' transcripts share: bytes cut into lines as people read them, and what stands for a secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

LINE_BYTES: Final = 1000
HIDDEN: Final = "******"
_TAIL_BYTES = 32
_SHORTEST_SECRET = 4


class Line(NamedTuple):
    """A line without its end: its first bytes, its last ones, and how long it is in all."""

    head: bytes
    tail: bytes
    length: int

    @property
    def text(self) -> str:
        """The line for people; a long one is cut and says so."""
        return self.shown + self.note

    @property
    def shown(self) -> str:
        """As much of the line as is shown."""
        return self.head.decode("utf-8", "replace")

    @property
    def note(self) -> str:
        """What says that the line was cut; empty when it was not."""
        beyond = self.length - len(self.head)
        return f"… ({beyond} more bytes)" if beyond else ""


class LineCutter:
    """Cuts one direction of a connection into lines. Of a line it keeps LINE_BYTES, of what is skipped nothing."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._length = 0
        self._skip = 0
        self.untouched = False
        """Whether something is to be skipped and none of it has come yet."""

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that `data` completes. Between two of them `skip` may be called."""
        start = 0
        while start < len(data):
            if self._skip:
                skipped = min(self._skip, len(data) - start)
                self._skip -= skipped
                self.untouched = False
                start += skipped
                continue
            end = data.find(b"\n", start)
            if end < 0:
                self._keep(data[start:])
                return
            self._keep(data[start:end])
            start = end + 1
            yield self._take()

    def skip(self, size_bytes: int) -> None:
        """Show nothing of so many of the next bytes."""
        self._skip = size_bytes
        self.untouched = size_bytes > 0

    def _keep(self, data: bytes) -> None:
        self._head += data[: max(0, LINE_BYTES - len(self._head))]
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self._length += len(data)

    def _take(self) -> Line:
        ended = self._tail.endswith(b"\r")
        length = self._length - ended
        line = Line(self._head[:length], self._tail[:-1] if ended else self._tail, length)
        self._head, self._tail, self._length = b"", b"", 0
        return line


class Secrets:
    """What must not be shown of a login, should the server repeat it: the credentials, and how they went out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = tuple(secrets)
        escaped = (secret.replace("\\", "\\\\").replace('"', '\\"') for secret in known)
        self._known = tuple(dict.fromkeys((*known, *escaped)))
        self._sent: list[str] = []
        self._beginnings: list[str] = []

    def sent(self, part: bytes, line: Line) -> None:
        """Remember a part of a login as it stood on the wire, at the end of a line."""
        secret = part.decode("utf-8", "replace").strip()
        (self._beginnings if line.note else self._sent).append(secret)

    def forget_sent(self) -> None:
        """The login is over."""
        self._sent.clear()
        self._beginnings.clear()

    def hide(self, line: Line) -> str:
        """The line without them. Very short ones stay: they would be found in every other word."""
        text = line.shown
        for secret in self._beginnings:
            if len(secret) >= _SHORTEST_SECRET:
                text = re.sub(re.escape(secret) + r"\S*", HIDDEN, text)
        for secret in (*self._known, *self._sent):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, HIDDEN)
        if line.note:
            for secret in (*self._known, *self._sent, *self._beginnings):
                text = _without_beginning_at_end(text, secret)
        return text + line.note


def _without_beginning_at_end(text: str, secret: str) -> str:
    """The text without a secret that was cut off with it."""
    for size in range(min(len(secret), len(text)), _SHORTEST_SECRET - 1, -1):
        if text.endswith(secret[:size]):
            return text[:-size] + HIDDEN
    return text
